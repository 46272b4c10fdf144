"""The dashboard for people who sign in: a load balancer that asks a user pool, and a function that renders pages."""

from aws_cdk import CfnOutput, Duration, RemovalPolicy
from aws_cdk import aws_certificatemanager as acm
from aws_cdk import aws_cognito as cognito
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_elasticloadbalancingv2 as elb
from aws_cdk import aws_elasticloadbalancingv2_actions as elb_actions
from aws_cdk import aws_elasticloadbalancingv2_targets as elb_targets
from constructs import Construct

from deploy.config import Config
from deploy.parts.database import DatabaseAccess
from deploy.parts.function import Assets, Function
from deploy.parts.nag import accept
from deploy.stacks.base import BaseStack
from deploy.stacks.store import StoreStack


class DashboardStack(BaseStack):
    """Made only with DASHBOARD_CONFIG.domain_name: a sign-in needs a name and a certificate of the site's own."""

    def __init__(
        self, scope: Construct, *, config: Config, store: StoreStack, database: DatabaseAccess, assets: Assets
    ) -> None:
        super().__init__(scope, "dashboard", config=config, description="dashboard behind a sign-in")
        if database.place.vpc is None:
            raise TypeError("the dashboard's load balancer stands in the VPC of the database")
        settings = config.DASHBOARD_CONFIG
        pages = Function(
            self,
            "Pages",
            function_name=self.names.function("dashboard"),
            description="Renders the status pages",
            handler="cloud.dashboard.handler.handler",
            code=assets.code("dashboard"),
            environment={**database.environment(), "DASHBOARD_NAME": settings.domain_name},
            settings=config.LAMBDA_CONFIG,
            place=database.place,
            log_key=store.key.key,
            timeout=Duration.seconds(30),
        )
        database.grant(pages.role)
        pool, client, domain = self._people(settings.domain_name)
        balancer = self._balancer(database.place.vpc, settings.allowed_cidr, store)
        target = elb.ApplicationTargetGroup(self, "Target", targets=[elb_targets.LambdaTarget(pages.function)])
        balancer.add_listener(
            "Https",
            port=443,
            open=False,
            certificates=[acm.Certificate.from_certificate_arn(self, "Certificate", settings.certificate_arn)],
            ssl_policy=elb.SslPolicy.TLS13_RES,
            default_action=elb_actions.AuthenticateCognitoAction(
                user_pool=pool,
                user_pool_client=client,
                user_pool_domain=domain,
                session_timeout=Duration.hours(8),
                next=elb.ListenerAction.forward([target]),
            ),
        )
        CfnOutput(self, "Address", value=f"https://{settings.domain_name}/")
        CfnOutput(self, "PointTheNameTo", value=balancer.load_balancer_dns_name, description="CNAME or alias record")
        CfnOutput(self, "UserPool", value=pool.user_pool_id, description="aws cognito-idp admin-create-user …")

    def _people(self, name: str) -> tuple[cognito.UserPool, cognito.UserPoolClient, cognito.UserPoolDomain]:
        """Make the pool: nobody signs up alone, everybody has a second factor."""
        pool = cognito.UserPool(
            self,
            "People",
            self_sign_up_enabled=False,
            sign_in_aliases=cognito.SignInAliases(email=True),
            mfa=cognito.Mfa.REQUIRED,
            mfa_second_factor=cognito.MfaSecondFactor(sms=False, otp=True),
            feature_plan=cognito.FeaturePlan.PLUS,
            standard_threat_protection_mode=cognito.StandardThreatProtectionMode.FULL_FUNCTION,
            password_policy=cognito.PasswordPolicy(
                min_length=14, require_digits=True, require_lowercase=True, require_symbols=True, require_uppercase=True
            ),
            account_recovery=cognito.AccountRecovery.EMAIL_ONLY,
            deletion_protection=True,
            removal_policy=RemovalPolicy.RETAIN,
        )
        client = pool.add_client(
            "Balancer",
            generate_secret=True,
            o_auth=cognito.OAuthSettings(
                flows=cognito.OAuthFlows(authorization_code_grant=True),
                scopes=[cognito.OAuthScope.OPENID],
                callback_urls=[f"https://{name}/oauth2/idpresponse"],
            ),
            prevent_user_existence_errors=True,
        )
        prefix = f"{self.names.stack}-{self.node.addr[-8:]}".lower()
        domain = pool.add_domain("SignIn", cognito_domain=cognito.CognitoDomainOptions(domain_prefix=prefix))
        return pool, client, domain

    def _balancer(self, vpc: ec2.IVpc, cidr: str, store: StoreStack) -> elb.ApplicationLoadBalancer:
        group = ec2.SecurityGroup(
            self, "Front", vpc=vpc, allow_all_outbound=False, description="Load balancer of the dashboard"
        )
        group.add_ingress_rule(ec2.Peer.ipv4(cidr), ec2.Port.tcp(443), "People who sign in")
        group.add_egress_rule(ec2.Peer.any_ipv4(), ec2.Port.tcp(443), "The user pool")
        balancer = elb.ApplicationLoadBalancer(
            self,
            "Balancer",
            vpc=vpc,
            vpc_subnets=ec2.SubnetSelection(subnet_type=ec2.SubnetType.PUBLIC),
            internet_facing=True,
            security_group=group,
            deletion_protection=True,
            drop_invalid_header_fields=True,
        )
        balancer.log_access_logs(store.buckets.logs, "dashboard")
        if cidr == "0.0.0.0/0":
            accept(group, {"EC23": "a sign-in page for people of many sites; DASHBOARD_CONFIG.allowed_cidr narrows it"})
        return balancer

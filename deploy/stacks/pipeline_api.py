"""The image pipeline's API (P050-P056, P169): an HTTP API of API Gateway, and a function with the application."""

import json

from aws_cdk import Aws, CfnOutput, Duration, RemovalPolicy
from aws_cdk import aws_apigatewayv2 as apigateway
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from constructs import Construct

from deploy.config import Config
from deploy.parts.database import DatabaseAccess
from deploy.parts.function import Assets, Function
from deploy.parts.nag import accept
from deploy.stacks.base import BaseStack
from deploy.stacks.database import existing_database
from deploy.stacks.store import StoreStack

#: Requests a second, and at once; a run asks four times, and a page of uploads once for some parts.
RATE, BURST = 100, 200
UPLOADS = "subjecteventcrffile/*"
_LOGGED = {
    "requestId": "$context.requestId",
    "time": "$context.requestTime",
    "address": "$context.identity.sourceIp",
    "method": "$context.httpMethod",
    "path": "$context.path",
    "status": "$context.status",
    "bytes": "$context.responseLength",
}


class PipelineApiStack(BaseStack):
    """Made with PIPELINE_API_CONFIG.enabled; its address is the pipelines' EDC_HOST."""

    def __init__(
        self, scope: Construct, *, config: Config, store: StoreStack, database: DatabaseAccess | None, assets: Assets
    ) -> None:
        super().__init__(scope, "pipeline-api", config=config, description="the image pipeline's API")
        access = database or existing_database(self, config.DB_CONFIG.secret_arn)
        settings = config.PIPELINE_API_CONFIG
        told = {
            "EDC_IMAGE_PIPELINE_PLUGIN": "1" if settings.plugin else "0",
            "UPLOAD_BUCKET": settings.upload_bucket,
            "EDC_SECRET_ARN": settings.edc_secret_arn,
        }
        answers = Function(
            self,
            "Api",
            function_name=self.names.function("pipeline-api"),
            description="Answers the image pipeline's API",
            handler="cloud.pipeline.api.handler.handler",
            code=assets.code("api"),
            environment={**access.environment(), **{name: value for name, value in told.items() if value}},
            settings=config.LAMBDA_CONFIG,
            place=access.place,
            log_key=store.key.key,
            timeout=Duration.seconds(30),  # the gateway waits no longer
        )
        access.grant(answers.role)
        self._grant(answers.role)
        if settings.edc_cidr and access.place.security_group is not None:
            access.place.security_group.add_egress_rule(
                ec2.Peer.ipv4(settings.edc_cidr), ec2.Port.tcp(5432), "Database of the EDC"
            )
        self._open_to_the_world(answers.function, store)

    def _grant(self, role: iam.Role) -> None:
        """Let it read the EDC's secret, and sign and complete uploads into the EDC's bucket."""
        settings = self.config.PIPELINE_API_CONFIG
        if settings.edc_secret_arn:
            _allow(role, "EdcSecret", ["secretsmanager:GetSecretValue"], [settings.edc_secret_arn])
        if settings.upload_bucket:
            bucket = f"arn:{Aws.PARTITION}:s3:::{settings.upload_bucket}"
            _allow(
                role,
                "Uploads",
                ["s3:PutObject", "s3:GetObject", "s3:AbortMultipartUpload", "s3:ListMultipartUploadParts"],
                [f"{bucket}/{UPLOADS}"],
            )
            _allow(role, "IsItThere", ["s3:ListBucket"], [bucket])
            reason = "uploads of the EDC come and go, all in one folder of one bucket"
            accept(role, {f"IAM5[Resource::arn:<AWS::Partition>:s3:::{settings.upload_bucket}/{UPLOADS}]": reason})
        if settings.key_arns:
            via = [f"{service}.{Aws.REGION}.amazonaws.com" for service in ("s3", "secretsmanager")]
            role.add_to_principal_policy(
                iam.PolicyStatement(
                    sid="Keys",
                    actions=["kms:Decrypt", "kms:GenerateDataKey"],
                    resources=list(settings.key_arns),
                    conditions={"StringEquals": {"kms:ViaService": via}},
                )
            )

    def _open_to_the_world(self, function: lambda_.Function, store: StoreStack) -> None:
        api = apigateway.CfnApi(self, "Gateway", name=self.names.part("pipeline-api"), protocol_type="HTTP")
        integration = apigateway.CfnIntegration(
            self,
            "Integration",
            api_id=api.ref,
            integration_type="AWS_PROXY",
            integration_uri=function.function_arn,
            payload_format_version="2.0",
        )
        route = apigateway.CfnRoute(
            self,
            "Everything",
            api_id=api.ref,
            route_key="$default",
            authorization_type="NONE",
            target=f"integrations/{integration.ref}",
        )
        accept(route, {"APIG4": "the application judges tokens, which it issued; its pages and /health are open"})
        log = logs.LogGroup(
            self,
            "Log",
            log_group_name=f"/aws/vendedlogs/apigateway/{self.names.part('pipeline-api')}",
            encryption_key=store.key.key,
            retention=logs.RetentionDays.ONE_YEAR,
            removal_policy=RemovalPolicy.RETAIN,
        )
        apigateway.CfnStage(
            self,
            "Stage",
            api_id=api.ref,
            stage_name="$default",
            auto_deploy=True,
            default_route_settings=apigateway.CfnStage.RouteSettingsProperty(
                throttling_rate_limit=RATE, throttling_burst_limit=BURST
            ),
            access_log_settings=apigateway.CfnStage.AccessLogSettingsProperty(
                destination_arn=log.log_group_arn, format=json.dumps(_LOGGED)
            ),
        )
        lambda_.CfnPermission(
            self,
            "GatewayMay",
            action="lambda:InvokeFunction",
            function_name=function.function_name,
            principal="apigateway.amazonaws.com",
            source_arn=f"arn:{Aws.PARTITION}:execute-api:{Aws.REGION}:{Aws.ACCOUNT_ID}:{api.ref}/*",
        )
        CfnOutput(self, "ApiId", value=api.ref)
        CfnOutput(self, "Address", value=api.attr_api_endpoint, description="EDC_HOST of the pipelines")


def _allow(role: iam.Role, sid: str, actions: list[str], resources: list[str]) -> None:
    role.add_to_principal_policy(iam.PolicyStatement(sid=sid, actions=actions, resources=resources))

"""The dashboard as a Lambda function behind a load balancer that lets in only who has signed in.

The balancer asks the user pool, and says who came in a header that it alone can set: nothing else may invoke the
function. A request without that header is refused all the same, so that a listener without sign-in shows nothing.
"""

from functools import cache
from typing import Any

from mangum import Mangum

from cloud.compose import open_index
from cloud.config import SignedInSettings, load_settings
from cloud.dashboard.app import build_app
from cloud.events import configure_logging

SIGNED_IN = "x-amzn-oidc-identity"


@cache
def _pages() -> Mangum:
    settings = load_settings(SignedInSettings)
    configure_logging(settings.LOGLEVEL)
    engine = open_index(settings, read_only=True)
    return Mangum(build_app(engine, hosts=frozenset({settings.DASHBOARD_NAME.lower()})), lifespan="off")


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Answer one request of the load balancer."""
    headers = {name.lower(): value for name, value in (event.get("headers") or {}).items()}
    if not headers.get(SIGNED_IN):
        return {
            "statusCode": 401,
            "statusDescription": "401 Unauthorized",
            "headers": {"Content-Type": "text/plain", "Cache-Control": "no-store"},
            "body": "sign in first",
            "isBase64Encoded": False,
        }
    return dict(_pages()(event, context))

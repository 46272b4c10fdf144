"""What S3 answers, and what that means for a stage: pure data, so that both wings say the same (D6).

A code is S3's own (``AccessDenied``), the HTTP status of an answer without a body (``403``), or the class name of what
boto3 raised when no answer came (``EndpointConnectionError``).
"""

from collections.abc import Callable, Collection

from edge.contract.errors import EdgeError, StoreAway, StoreDenied, StoreFault

_NETWORK = "nothing is lost, the upload goes on when the link is back: check network, DNS, proxy and AWS_ENDPOINT_URL"
_BUSY = "nothing to do: the store asks to wait, and the upload goes on by itself"
_RIGHTS = (
    "the key may not do this: the role needs s3:PutObject, s3:GetObject, s3:AbortMultipartUpload and "
    "s3:ListMultipartUploadParts on its prefixes, s3:ListBucket, and kms:GenerateDataKey and kms:Decrypt on the"
    " bucket's key"
)
_CHANGED = "bytes changed on the way or on disk: the object was not stored; if it happens again, check disk and link"

#: code -> (what to raise, hint); ``{bucket}`` and ``{region}`` are filled in.
ANSWERS: dict[str, tuple[type[EdgeError], str]] = {
    # No answer came, or one that asks to wait.
    "EndpointConnectionError": (StoreAway, _NETWORK),
    "ConnectTimeoutError": (StoreAway, _NETWORK),
    "ReadTimeoutError": (StoreAway, _NETWORK),
    "ConnectionClosedError": (StoreAway, _NETWORK),
    "HTTPClientError": (StoreAway, _NETWORK),
    "ConnectionError": (StoreAway, _NETWORK),
    "ResponseStreamingError": (StoreAway, _NETWORK),
    "IncompleteReadError": (StoreAway, _NETWORK),
    "ResponseParserError": (StoreAway, "what answers is no S3: a proxy or captive portal on the way?"),
    "ProxyConnectionError": (StoreAway, "the proxy does not answer: check HTTPS_PROXY and the proxy"),
    "SSLError": (StoreAway, "TLS failed: check the clock, the CA bundle and whether a proxy opens TLS"),
    "CredentialRetrievalError": (StoreAway, "the token service gave no credentials: check Greengrass on this box"),
    "NoCredentialsError": (StoreAway, "no credentials: set AWS_ACCESS_KEY and AWS_SECRET_KEY, or start Greengrass"),
    "MetadataRetrievalError": (StoreAway, "the token service gave no credentials: check Greengrass on this box"),
    "ExpiredToken": (StoreAway, "the token has expired and a new one is waited for: check Greengrass and the clock"),
    "ExpiredTokenException": (StoreAway, "the token has expired and a new one is waited for: check Greengrass"),
    "TokenRefreshRequired": (StoreAway, "a new token is waited for: check Greengrass on this box"),
    "400": (StoreAway, "a head carries no reason: the token has expired, or bucket {bucket} is not in {region}"),
    "RequestTimeTooSkewed": (StoreAway, "the clock of this box is wrong by more than 15 minutes: check NTP"),
    "RequestExpired": (StoreAway, "the clock of this box is wrong, or the link too slow: check NTP"),
    "RequestTimeout": (StoreAway, _NETWORK),
    "IncompleteBody": (StoreAway, _NETWORK),
    "SlowDown": (StoreAway, _BUSY),
    "Throttling": (StoreAway, _BUSY),
    "ThrottlingException": (StoreAway, _BUSY),
    "TooManyRequests": (StoreAway, _BUSY),
    "KMS.ThrottlingException": (StoreAway, _BUSY),
    "InternalError": (StoreAway, _BUSY),
    "ServiceUnavailable": (StoreAway, _BUSY),
    "OperationAborted": (StoreAway, _BUSY),
    "ConditionalRequestConflict": (StoreAway, "another upload of this key is under way: it is tried again"),
    "NoSuchUpload": (StoreAway, "the multipart upload was ended by someone else: it is begun again"),
    # Every object meets these alike.
    "403": (StoreDenied, _RIGHTS),
    "AccessDenied": (StoreDenied, _RIGHTS),
    "AllAccessDisabled": (StoreDenied, "the account is closed to requests: ask who runs it"),
    "AccountProblem": (StoreDenied, "the account is closed to requests: ask who runs it"),
    "InvalidAccessKeyId": (StoreDenied, "the store does not know AWS_ACCESS_KEY: wrong, deleted, or another store's"),
    "InvalidToken": (StoreDenied, "the session token does not belong to AWS_ACCESS_KEY"),
    "SignatureDoesNotMatch": (StoreDenied, "AWS_SECRET_KEY does not belong to AWS_ACCESS_KEY"),
    "PartialCredentialsError": (StoreDenied, "set both AWS_ACCESS_KEY and AWS_SECRET_KEY"),
    "NoSuchBucket": (StoreDenied, "bucket {bucket} does not exist in region {region}: check BUCKETNAME, REGION_NAME"),
    "InvalidBucketName": (StoreDenied, "{bucket} is no name of a bucket: check BUCKETNAME"),
    "PermanentRedirect": (StoreDenied, "bucket {bucket} lies in another region than {region}: check REGION_NAME"),
    "301": (StoreDenied, "bucket {bucket} lies in another region than {region}: check REGION_NAME"),
    "AuthorizationHeaderMalformed": (StoreDenied, "bucket {bucket} does not lie in {region}: check REGION_NAME"),
    "IllegalLocationConstraintException": (StoreDenied, "bucket {bucket} does not lie in {region}: check REGION_NAME"),
    "NoRegionError": (StoreDenied, "set REGION_NAME"),
    "InvalidEndpointURL": (StoreDenied, "AWS_ENDPOINT_URL is no address"),
    "KMS.DisabledException": (StoreDenied, "the KMS key is disabled: check KMS_KEY_ID"),
    "KMS.NotFoundException": (StoreDenied, "the KMS key does not exist in {region}: check KMS_KEY_ID"),
    "KMS.KMSInvalidStateException": (StoreDenied, "the KMS key cannot be used now: check KMS_KEY_ID"),
    # This object alone.
    "BadDigest": (StoreFault, _CHANGED),
    "InvalidDigest": (StoreFault, _CHANGED),
    "XAmzContentChecksumMismatch": (StoreFault, _CHANGED),
    "XAmzContentSHA256Mismatch": (StoreFault, _CHANGED),
    "EntityTooLarge": (StoreFault, "the object is larger than S3 takes"),
    "KeyTooLongError": (StoreFault, "the key is longer than 1,024 bytes"),
    "MetadataTooLarge": (StoreFault, "the object's metadata is larger than 2 KB"),
}


def store_error(verb: str, code: str, status: int | None, *, bucket: str, region: str) -> EdgeError:
    """Return the error to raise for one answer; an unknown one is waited for from 500 on, and for 408 and 429."""
    known = ANSWERS.get(code)
    if known is None:
        waits = status is not None and (status >= 500 or status in (408, 429))
        known = (StoreAway, _BUSY) if waits else (StoreFault, "look the code up in the S3 API's list of errors")
    kind, hint = known
    where = f" (HTTP {status})" if status else ""
    return kind(f"{verb}: the store answered {code}{where}", hint=hint.format(bucket=bucket, region=region))


def holds_nothing(code: str, status: int | None, key: str, first_names: Callable[[str], Collection[str]]) -> bool:
    """Tell whether a head or read of ``key`` failed because nothing is held; raises what ``first_names`` raises.

    Who may list his own prefixes only, as the edge's role, is answered 403 for a missing key: the condition on
    s3:prefix does not hold for a head. So the names are asked, which he may: ``first_names`` lists the first of those
    that begin with a key. A key that is listed is kept from him, any other is not there. Of a version that was deleted
    this says the same: its key is listed no more.
    """
    if status == 403 and code in ("403", "AccessDenied"):  # a head's answer has no body, and so no code
        return key not in first_names(key)
    return status == 404 and code != "NoSuchBucket"

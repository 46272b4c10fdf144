"""Servers for the whole session, a data store and buckets for each test."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.healthimaging import HealthImaging, healthimaging
from tests.imagesets.local_aws import whole_cloudformation
from tests.imagesets.site import IDC_COUNTS, LocalAws, Site, fill_idc
from tests.ministack import aws_endpoint
from tests.seaweed import S3Endpoint, s3_endpoint

__all__ = ["aws_endpoint", "s3_endpoint"]


@pytest.fixture(scope="session")
def imaging(tmp_path_factory: pytest.TempPathFactory, s3_endpoint: S3Endpoint) -> Iterator[HealthImaging]:
    """A local HealthImaging over the session's S3."""
    with healthimaging(tmp_path_factory.mktemp("healthimaging"), s3_endpoint) as server:
        yield server


@pytest.fixture
def site(imaging: HealthImaging, s3_endpoint: S3Endpoint, tmp_path: Path) -> Iterator[Site]:
    """A data store and two buckets of this test's own."""
    made = Site(imaging, s3_endpoint, tmp_path).make()
    yield made
    made.take_away()


@pytest.fixture(scope="session")
def local_aws(tmp_path_factory: pytest.TempPathFactory, aws_endpoint: str) -> Iterator[LocalAws]:
    """A local AWS with CloudFormation, and a HealthImaging that reads its S3."""
    store = S3Endpoint(url=aws_endpoint, access_key="test", secret_key="test")
    with (
        healthimaging(tmp_path_factory.mktemp("healthimaging-aws"), store) as server,
        whole_cloudformation(aws_endpoint, server.url) as cloudformation,
    ):
        yield LocalAws(imaging=server, s3=store, cloudformation=cloudformation)


@pytest.fixture
def stacks(local_aws: LocalAws, tmp_path: Path) -> Site:
    """What makes its data store and buckets by a stack."""
    return Site(local_aws.imaging, local_aws.s3, tmp_path, cloudformation=local_aws.cloudformation)


@pytest.fixture(scope="session")
def idc(tmp_path_factory: pytest.TempPathFactory, s3_endpoint: S3Endpoint) -> None:
    """A bucket of the Imaging Data Commons' name with its four folders, small generated files in their numbers."""
    fill_idc(s3_endpoint, tmp_path_factory.mktemp("idc"), IDC_COUNTS)


@pytest.fixture(scope="session")
def idc_in_local_aws(tmp_path_factory: pytest.TempPathFactory, local_aws: LocalAws) -> None:
    """The same bucket in the local AWS, with the smallest folder."""
    name, count = next(iter(IDC_COUNTS.items()))
    fill_idc(local_aws.s3, tmp_path_factory.mktemp("idc"), {name: count})

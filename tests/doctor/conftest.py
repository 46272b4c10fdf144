"""The local AWS that the doctor is tried on."""

from tests.ministack import aws_endpoint  # noqa: F401  a fixture

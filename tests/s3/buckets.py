"""Buckets on a test server; the mirror itself never creates one."""

import hashlib
import uuid

from reconcile.mirror.store.s3_http import S3Client, S3Request
from tests.s3.access import S3Server


def make(server: S3Server, bucket: str) -> None:
    """Create a bucket."""
    S3Client(server.location(bucket), server.credentials).fetch(
        S3Request("PUT", "s3:CreateBucket", "")
    )


def fresh(server: S3Server) -> str:
    """Create a bucket with a new name and return the name."""
    name = f"test-{uuid.uuid4().hex[:16]}"
    make(server, name)
    return name


def allow(server: S3Server, bucket: str, policy: str) -> None:
    """Set the policy of a bucket."""
    body = policy.encode()
    S3Client(server.location(bucket), server.credentials).fetch(
        S3Request(
            "PUT",
            "s3:PutBucketPolicy",
            "",
            query={"policy": ""},
            parts=(body,),
            digest=hashlib.sha256(body).hexdigest(),
        )
    )

"""The S3 client: endpoint and credentials from the AWS_* environment, bounded retries, readable errors."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pipeline.errors import UserError

CONNECT_TIMEOUT_S = 10
READ_TIMEOUT_S = 120
MAX_ATTEMPTS = 5


def filesystem() -> Any:
    """An s3fs file system (fsspec keeps one per process and set of options)."""
    import s3fs

    client = {}
    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    if endpoint:
        client["endpoint_url"] = endpoint
    region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    if region:
        client["region_name"] = region
    return s3fs.S3FileSystem(
        client_kwargs=client,
        config_kwargs={
            "retries": {"max_attempts": MAX_ATTEMPTS, "mode": "standard"},
            "connect_timeout": CONNECT_TIMEOUT_S,
            "read_timeout": READ_TIMEOUT_S,
        },
        # Other processes write below the same prefix; a remembered listing would hide their work.
        use_listings_cache=False,
    )


@contextmanager
def readable_errors(uri: str) -> Iterator[None]:
    """Turn what a user can mend (credentials, endpoint, bucket, rights) into UserError."""
    import botocore.exceptions as boto

    try:
        yield
    except boto.NoCredentialsError:
        raise UserError(
            uri,
            "there are no S3 credentials.",
            "Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE.",
        ) from None
    except (boto.EndpointConnectionError, boto.ConnectTimeoutError, boto.ConnectionClosedError) as error:
        raise UserError(
            uri, f"the S3 server does not answer ({error}).", "Check AWS_ENDPOINT_URL and the network."
        ) from None
    except PermissionError as error:
        raise UserError(
            uri, f"the S3 server refuses access ({error}).", "Check the credentials and the bucket's policy."
        ) from None
    except FileNotFoundError as error:
        if "bucket does not exist" in str(error).lower():
            raise UserError(uri, "the bucket does not exist.", "Create it, or name another one.") from None
        raise

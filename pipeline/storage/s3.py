"""The S3 client: endpoint and credentials from the AWS_* environment, bounded retries, readable errors."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pipeline.errors import StorageError

CONNECT_TIMEOUT_S = 10
READ_TIMEOUT_S = 120
MAX_ATTEMPTS = 5
_ONE_REQUEST = 256 << 20  # bytes; larger objects come in parts, side by side


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
        # Other processes write below the same prefix; a cached listing would hide their files.
        use_listings_cache=False,
    )


def call(uri: str, act: Callable[[Any], Any]) -> Any:
    """What ``act`` does with the file system, with readable errors that name ``uri``."""
    with readable_errors(uri):
        return act(filesystem())


def download(uri: str, size: int, place: Path) -> None:
    """Write an object to a local file. Raises StorageError if it has other than ``size`` bytes by now."""
    # A download in parts takes one request more than there are parts.
    parts = {"max_concurrency": 1} if size <= _ONE_REQUEST else {}
    call(uri, lambda fs: fs.get_file(uri, str(place), **parts))
    if place.stat().st_size != size:
        raise StorageError(
            uri,
            f"has {place.stat().st_size} bytes where {size} were listed.",
            "It was written in the meantime: run the same command again when that has ended.",
        )


@contextmanager
def readable_errors(uri: str) -> Iterator[None]:
    """Turn errors that a user can mend (credentials, endpoint, bucket, rights, server) into StorageError.

    Each of them comes after several tries. A missing file stays FileNotFoundError, and an error of the local
    disk stays OSError.
    """
    import aiohttp
    import botocore.exceptions as boto

    broken_off = (boto.ConnectionError, boto.HTTPClientError, boto.IncompleteReadError, aiohttp.ClientError)

    try:
        yield
    except boto.NoCredentialsError:
        raise StorageError(
            uri,
            "there are no S3 credentials.",
            "Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE.",
        ) from None
    except (*broken_off, TimeoutError) as error:
        raise StorageError(
            uri,
            f"the S3 server does not answer ({_plain(error)}).",
            "Check AWS_ENDPOINT_URL and the network, then run the same command to go on.",
        ) from None
    except FileNotFoundError as error:
        if "bucket does not exist" in str(error).lower():
            raise StorageError(uri, "the bucket does not exist.", "Create it, or name another one.") from None
        raise
    except OSError as error:
        if not isinstance(error.__cause__, boto.ClientError):
            raise  # of this machine's disk
        if isinstance(error, PermissionError):
            raise StorageError(
                uri,
                f"the S3 server refuses access ({error}).",
                "Check the credentials and the bucket's policy.",
            ) from None
        raise StorageError(
            uri,
            f"the S3 server fails ({_plain(error.__cause__)}).",
            "Wait until it is well, then run the same command to go on.",
        ) from None


class ReadFile(io.BufferedIOBase):
    """A remote file that is read in blocks, with readable errors for each of them."""

    def __init__(self, file: Any, uri: str) -> None:
        self._file, self._uri = file, uri

    def read(self, size: int | None = -1) -> bytes:
        """Up to ``size`` bytes, all for -1."""
        with readable_errors(self._uri):
            return self._file.read(-1 if size is None else size)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to a place in the file."""
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        """The place in the file."""
        return self._file.tell()

    def readable(self) -> bool:
        """Always."""
        return True

    def seekable(self) -> bool:
        """Always."""
        return True

    def close(self) -> None:
        """Free the cached blocks."""
        self._file.close()
        super().close()


def _plain(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__

"""The text of a location: an absolute local path, or ``s3://bucket/key`` without a trailing slash."""

from __future__ import annotations

import os
import posixpath
from typing import Final

from pipeline.errors import UserError

S3: Final = "s3://"


def parse(text: str) -> str:
    """The location that a user means by a path (``~`` works, relative to the working folder) or a URI.

    Raises UserError for other schemes, credentials, and ``..`` on S3.
    """
    if "://" not in text:
        return os.path.abspath(os.path.expanduser(text))
    scheme, _, rest = text.partition("://")
    if scheme == "file":
        return os.path.abspath(rest)
    bucket, _, key = rest.partition("/")
    if scheme != "s3" or not bucket:
        raise UserError(
            text,
            "is not a place that can be read or written.",
            "Give a local path or s3://bucket/prefix.",
        )
    if "@" in bucket:
        raise UserError(
            f"s3://…@{bucket.rpartition('@')[2]}",
            "holds credentials.",
            "Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY instead.",
        )
    parts = [p for p in key.split("/") if p and p != "."]
    if ".." in parts:
        raise UserError(text, "has `..` in it.", "Write the path without it.")
    return S3 + "/".join([bucket, *parts])


def bucket_and_key(uri: str) -> tuple[str, str]:
    """Bucket and key of a remote location."""
    bucket, _, key = uri.removeprefix(S3).partition("/")
    return bucket, key


def below(uri: str, rel: str) -> str:
    """The place ``rel`` below ``uri``. Raises UserError for an absolute path, or one with ``..``."""
    parts = [p for p in rel.split("/") if p not in ("", ".")]
    if rel.startswith("/") or "://" in rel or "\\" in rel or "\0" in rel or ".." in parts:
        raise UserError(
            uri, f"the path {rel!r} leaves this folder.", "Use a plain path below it, without `..`."
        )
    return posixpath.join(uri, *parts) if parts else uri

"""Records the requests to a real S3 server."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from tests.pipeline.faulty_s3 import Plan, faulty


@contextmanager
def counted(server: str) -> Iterator[tuple[str, list[str]]]:
    """The URL of a proxy in front of ``server`` that lets every request through, and their list, in order,
    each as ``GET /bucket/key?query``."""
    requests: list[str] = []

    def note(method: str, path: str) -> bool:
        requests.append(f"{method} {path}")
        return False

    with faulty(server, Plan((), 0, note)) as url:
        yield url, requests

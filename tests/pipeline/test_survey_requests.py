"""A survey of sources on S3 requests the pages of their listings, not each file."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.artifacts.survey import survey, with_records
from pipeline.plan.load import load_plan
from pipeline.storage.location import Location
from tests.conftest import PLAN
from tests.pipeline.counting_s3 import counted

IMAGES = 150


def test_label_images_are_listed_and_not_requested_one_by_one(
    s3_bucket: str, s3_server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fails if each image takes a request, or if reading only the records again requests images at all."""
    root = Location.parse(s3_bucket, tmp_path / "cache")
    for n in range(IMAGES):
        (root / f"labels/a/{n:05d}.png").write_bytes(bytes(n))
    (root / "labels/meta.json").write_text("{}")
    path = tmp_path / "plan.yaml"
    path.write_text(PLAN.format(root=tmp_path / "store"))
    plan = load_plan(str(path), [f"data.sources.0.annotations={s3_bucket}/labels"])
    first = survey(plan)
    with counted(s3_server) as (url, requests):
        monkeypatch.setenv("AWS_ENDPOINT_URL", url)
        plan_status = survey(plan)
        assert plan_status.fingerprints == first.fingerprints
        assert len(requests) <= 5, requests
        requests.clear()
        assert with_records(plan_status) == plan_status
        assert not requests
        (root / "labels/a/00007.png").write_bytes(bytes(8))
        assert survey(plan).fingerprints["prepare"] != first.fingerprints["prepare"]

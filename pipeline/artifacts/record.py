"""The record of an artifact: its inputs, code and content. It is written last, so present means done."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from pipeline.artifacts.fingerprint import CodeVersion
from pipeline.errors import UserError
from pipeline.storage.credentials import without_credentials
from pipeline.storage.location import Location

RECORD_FORMAT = 1
RECORD_NAME = "record.json"


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class InputRef(_Frozen):
    """An artifact or a file that went into a step."""

    uri: str
    fingerprint: str  # empty for a file
    digest: str


class ArtifactRecord(_Frozen):
    """How an artifact was made, from which inputs, and with which result."""

    format: int = RECORD_FORMAT
    step: str
    kind: str
    fingerprint: str  # of settings and inputs
    digest: str  # of the content
    schema_version: int
    code: CodeVersion
    inputs: dict[str, InputRef]
    places: dict[str, tuple[str, ...]] = {}  # media folders, by source; not in the fingerprint
    config: dict[str, Any]  # the part of the plan that identifies the artifact
    plan: dict[str, Any] = {}  # the whole plan with every default, for `ufvideo rebuild`
    summary: dict[str, Any]  # counts and the like
    created: str  # UTC, ISO 8601
    seconds: float  # how long the step took


@dataclass(frozen=True)
class Artifact:
    """A finished artifact: the folder and its record."""

    location: Location
    record: ArtifactRecord

    @property
    def ref(self) -> InputRef:
        """How the records of later steps name it."""
        return InputRef(
            uri=without_credentials(self.location.uri),
            fingerprint=self.record.fingerprint,
            digest=self.record.digest,
        )


def now() -> str:
    """The present moment in UTC, to the second."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def commit_artifact(location: Location, record: ArtifactRecord) -> Artifact:
    """Write the record, which is what makes an artifact present."""
    text = json.dumps(record.model_dump(mode="json"), indent=1, ensure_ascii=False)
    (location / RECORD_NAME).write_text(text + "\n")
    return Artifact(location, record)


def load_artifact(location: Location) -> Artifact | None:
    """The artifact in a folder, or None if it is not finished.

    Raises UserError for a record of another format or a damaged one, StorageError where storage cannot be
    read: then it is unknown whether the artifact exists.
    """
    place = location / RECORD_NAME
    try:
        data = json.loads(place.read_bytes())
        version = data["format"]
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(
            place.uri, f"is not an artifact record ({error}).", "Delete its folder and run the plan again."
        ) from None
    if version != RECORD_FORMAT:
        raise UserError(
            place.uri,
            f"is a record of format {version}, this code reads format {RECORD_FORMAT}.",
            "Use the version of the code that made it, or delete its folder and run the plan again.",
        )
    try:
        return Artifact(location, ArtifactRecord.model_validate(data))
    except ValidationError as error:
        first = error.errors()[0]
        raise UserError(
            place.uri,
            f"has a bad field {'.'.join(map(str, first['loc']))}: {first['msg']}.",
            "Delete its folder and run the plan again.",
        ) from None

"""The question that a browser sends, checked before anything is done with it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from evaluation.serve.limits import MOST_REGIONS, QUESTION_LETTERS, RequestError
from pipeline.errors import UserError
from pipeline.media.pointing import Box, Point, Region
from pipeline.records.sample import REGION


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class _Box(_Model):
    kind: Literal["box"]
    frame: Annotated[int, Field(ge=0)]
    x1: float
    y1: float
    x2: float
    y2: float


class _Point(_Model):
    kind: Literal["point"]
    frame: Annotated[int, Field(ge=0)]
    x: float
    y: float


class _Asked(_Model):
    video: str
    text: Annotated[str, Field(max_length=QUESTION_LETTERS)]
    regions: Annotated[
        list[Annotated[_Box | _Point, Field(discriminator="kind")]], Field(max_length=MOST_REGIONS)
    ] = []


def read_question(body: bytes) -> tuple[str, str, tuple[Region, ...]]:
    """Id of the video, text and regions. Raises RequestError in the page's words."""
    try:
        asked = _Asked.model_validate_json(body)
        regions = tuple(
            Box(r.frame, r.x1, r.y1, r.x2, r.y2) if isinstance(r, _Box) else Point(r.frame, r.x, r.y)
            for r in asked.regions
        )
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(map(str, first["loc"])) or "the request"
        raise RequestError(400, f"the question, {place}", f"does not fit: {first['msg']}.") from error
    except UserError as error:
        raise RequestError(400, error.where, error.problem, error.fix) from error
    named, drawn = asked.text.count(REGION), len(regions)
    if named != drawn:
        pointed = f"{drawn} are" if drawn > 1 else f"{drawn or 'nothing'} is"
        raise RequestError(
            400,
            "the question",
            f"has {named or 'no'} {REGION}, and {pointed} pointed at.",
            f"Write {REGION} once for each box or point, in their order, or remove what is too much.",
        )
    return asked.video, asked.text, regions

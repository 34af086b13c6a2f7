"""The model card of an exported checkpoint: what it was made from, its scores, and what loads it.

Holds no path of the machine that made it: artifacts are named by their digests.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pipeline.artifacts.record import ArtifactRecord, load_artifact
from pipeline.artifacts.steps import Kind
from pipeline.errors import UserError
from pipeline.storage.location import Location

CARD = "README.md"
_METRICS = "metrics.json"  # evaluation/scores.py writes it
_PUBLISHED = """\
| Code | Loads it? |
|---|---|
| this project | yes: `ufvideo predict FOLDER VIDEO QUESTION`, `evaluation.load_checkpoint(FOLDER)`, `model.weights.whole` of a plan |
| `transformers.AutoTokenizer` | yes |
| `transformers.AutoModel` and its kin, also with `trust_remote_code=True` | no: transformers has no model type `videorefer_qwen2`, and this folder holds weights and no code |
| the published UFVideo code | not tried: names and shapes of the weights are the published ones, `config.json` has the published fields as far as they are known |
"""  # noqa: E501
_LANGUAGE_ONLY = """\
| Code | Loads it? |
|---|---|
| `transformers.AutoModelForCausalLM`, `AutoTokenizer` | yes, as a plain Qwen2 |
| anything, for video | no: what sees, points and segments is not here |
"""


def evaluations_of(record: ArtifactRecord, places: Sequence[Location]) -> list[list[dict[str, Any]]]:
    """The headline numbers of evaluations of this checkpoint, as ``metrics.json`` has them.

    Raises UserError for a folder that is no evaluation, and for one of another checkpoint.
    """
    found = []
    for place in places:
        made = load_artifact(place)
        if made is None or made.record.kind != Kind.EVALUATE:
            raise UserError(
                f"--scores {place.uri}", "is no finished evaluation.", "Give the folder of evaluate-...."
            )
        content = json.loads((place / _METRICS).read_bytes())
        if content["made_from"]["checkpoint"] != record.digest:
            scored = str(content["made_from"]["checkpoint"])[:12]
            raise UserError(
                f"--scores {place.uri}",
                f"has the scores of another checkpoint (digest {scored}, this one is {record.digest[:12]}).",
                "Give an evaluation of the checkpoint that you export.",
            )
        found.append([row | content["made_from"] for row in content["metrics"] if _is_headline(row)])
    return found


def model_card(
    record: ArtifactRecord | None,
    scores: Sequence[Sequence[Mapping[str, Any]]] = (),
    *,
    language_only: bool = False,
) -> str:
    """The card as Markdown, with the header that the hub reads. ``record``: the checkpoint's, if there is."""
    tags = ["qwen2"] if language_only else ["video", "ufvideo", "video-text-to-text"]
    head = ["---", "tags:", *(f"- {tag}" for tag in tags), "---", ""]
    title = "The language model of a UFVideo checkpoint" if language_only else "A UFVideo checkpoint"
    parts = [*head, f"# {title}", "", *_made(record), "## What loads it", ""]
    parts += [_LANGUAGE_ONLY if language_only else _PUBLISHED, *_data(record), *_scores(scores)]
    return "\n".join(parts).rstrip() + "\n"


def _made(record: ArtifactRecord | None) -> Iterator[str]:
    if record is None:
        yield from ("Its record was not beside it, so nothing is known about how it was made.", "")
        return
    yield from (
        f"Made by step `{record.step}` of the UFVideo platform, code {record.code.short}.",
        "",
        "| Artifact | Digest |",
        "|---|---|",
        f"| this checkpoint | `{record.digest}` |",
    )
    for name, ref in record.inputs.items():
        what = "the dataset" if name == "prepare" else f"`{name}`, which it started from"
        yield f"| {what} | `{ref.digest}` |"
    yield ""


def _data(record: ArtifactRecord | None) -> Iterator[str]:
    mixture = record.summary.get("mixture") if record else None
    if not mixture:
        return
    yield from (
        "## Data",
        "",
        "| Source | samples in the dataset | samples used | visits |",
        "|---|---:|---:|---:|",
    )
    for row in mixture:
        numbers = " | ".join(f"{row[name]:,}" for name in ("available", "used", "realised"))
        yield f"| `{row['source']}` | {numbers} |"
    yield ""


def _scores(scores: Sequence[Sequence[Mapping[str, Any]]]) -> Iterator[str]:
    yield from ("## Scores", "")
    if not scores:
        yield "None were given to the export."
        return
    for rows in scores:
        if not rows:
            continue
        yield from (f"On the dataset `{rows[0]['dataset']}`; ± is the standard error by video.", "")
        yield "| Benchmark | Metric | Score | Baseline | Samples | Failures |"
        yield "|---|---|---:|---:|---:|---:|"
        for row in rows:
            error = f" ± {_number(row, 'error')}" if row.get("error") is not None else ""
            name = row.get("baseline_name")
            baseline = f"{_number(row, 'baseline')} ({name})" if name else ""
            cells = (f"`{row['benchmark']}`", row["metric"], _number(row, "value") + error, baseline)
            yield f"| {' | '.join(cells)} | {row['samples']:,} | {row['failures']:,} |"
        yield ""


def _is_headline(row: Mapping[str, Any]) -> bool:
    return bool(row.get("main")) and not row.get("category")


def _number(row: Mapping[str, Any], name: str) -> str:
    value = row.get(name)
    if value is None:
        return "not scored"
    return f"{100 * value:.1f} %" if row.get("unit", "share") == "share" else f"{value:.2f}"

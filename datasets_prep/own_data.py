"""What a list of one's own records holds, before there is a plan: for ``ufvideo new``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from datasets_prep.draft import RECORD_ERRORS
from datasets_prep.sources import Files, reader_of
from pipeline.plan.data import SourceConfig
from pipeline.storage.location import Location
from pipeline.storage.unpacked import fetch_unpacked


@dataclass(kw_only=True)
class OwnData:
    """Names of the videos by task, and what is wrong with the records that cannot be read."""

    records: int = 0
    videos: dict[str, set[str]] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)


def look(records: Path, masks: Path | None, columns: Mapping[str, str]) -> OwnData:
    """Read every record once, without its video. Raises UserError for a file that cannot be read."""
    source = SourceConfig(
        name="own",
        format="jsonl",
        annotations=str(records),
        media=("videos",),
        masks=str(masks) if masks else None,
        columns=columns,
    )
    reader, found = reader_of(source.format), OwnData()
    files = Files(annotations=fetch_unpacked(Location.parse(str(records))), masks=masks)
    for record in reader.records(source, files):
        found.records += 1
        try:
            (draft,) = reader.convert(record, source, 0)
        except RECORD_ERRORS as error:  # a RejectError is one of them
            found.problems.append(f"{record.key}: {error}")
            continue
        found.counts[str(draft.task)] += 1
        found.videos.setdefault(str(draft.task), set()).add(draft.media.candidates[0])
    return found

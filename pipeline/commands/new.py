"""``ufvideo new``: a plan for one's own data."""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping, Sequence, Set
from importlib import import_module
from pathlib import Path
from typing import Protocol

PLAN, VIDEOS, MASKS = "plan.yaml", "videos", "masks"
RECORDS = ("records.jsonl", "records.json", "records.jsonl.gz", "records.json.gz", "records.parquet")
_MOST_PROBLEMS = 3
_FIRST_SEED, _SEEDS = 42, 1000


class Found(Protocol):
    """What the step says about the records."""

    records: int
    videos: Mapping[str, Set[str]]
    counts: Mapping[str, int]
    problems: Sequence[str]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of the command."""
    parser.add_argument("folder", metavar="FOLDER", help="the folder of your data; made if it does not exist")
    parser.add_argument(
        "--toy", action="store_true", help="a small model that starts from random weights, for a CPU"
    )
    parser.add_argument(
        "--columns",
        metavar="FIELD=NAME",
        nargs="+",
        default=[],
        help="names that fields have in your records: video=path answer=caption",
    )


def act(options: argparse.Namespace) -> int:
    """Write the plan. The exit code."""
    from pipeline.commands.new_plan import SCORED, plan_text
    from pipeline.errors import UserError

    folder = Path(os.path.abspath(options.folder))
    place = folder / PLAN
    if os.path.lexists(place):
        raise UserError(str(place), "exists already.", "Edit it, or name another folder.")
    if folder.exists() and not folder.is_dir():
        raise UserError(str(folder), "is not a folder.", "Name a folder.")
    columns = _columns(options.columns)
    records = next((folder / name for name in RECORDS if (folder / name).is_file()), None)
    masks = folder / MASKS if (folder / MASKS).is_dir() else None
    seed, tasks = _FIRST_SEED, tuple(SCORED)
    if records is not None:
        # pipeline imports no step; the format's own reader knows what the records hold.
        found: Found = import_module("datasets_prep.own_data").look(records, masks, columns)
        if not found.counts:
            raise UserError(
                str(records),
                f"has {found.records} records, and none can be used. {' '.join(found.problems[:1])}".rstrip(),
                "Mend them, or say what your fields are called: --columns video=path answer=caption.",
            )
        _print_what_is_there(records, found)
        tasks = tuple(task for task in SCORED if len(found.videos.get(task, ())) > 1)
        seed = dividing_seed({task: found.videos[task] for task in tasks})
        for task in SCORED:
            if len(found.videos.get(task, ())) == 1:
                print(f"{task}: all records are about one video, so none is held out")
    text = plan_text(
        folder,
        records or folder / RECORDS[0],
        masks,
        columns=columns,
        tasks=tasks,
        seed=seed,
        toy=options.toy,
    )
    folder.mkdir(parents=True, exist_ok=True)
    with open(place, "x", encoding="utf-8") as file:
        file.write(text)
    print(f"Wrote {place}")
    missing = [
        f"{what} in {folder / name}"
        for what, name in (("records", RECORDS[0]), ("videos", f"{VIDEOS}/"))
        if not ((folder / name).exists() or (what == "records" and records))
    ]
    if missing:
        print(f"Still to come: {' and '.join(missing)} (docs/own-data.md)")
    print(f"Next: ufvideo check {os.path.join(options.folder, PLAN)}")
    return 0


def dividing_seed(videos: Mapping[str, Set[str]]) -> int:
    """The first seed from 42 on with which every task has videos to train on and held-out ones.

    With many videos it is 42. Where there is none such, 42 too: preparation then says what has no video.
    """
    from pipeline.commands.new_plan import HELD_OUT, TRAIN
    from pipeline.plan.data import SelectConfig

    parts = [SelectConfig(videos=share) for share in (TRAIN, HELD_OUT)]
    for seed in range(_FIRST_SEED, _FIRST_SEED + _SEEDS):
        if all(any(part.takes_video(n, seed) for n in names) for names in videos.values() for part in parts):
            return seed
    return _FIRST_SEED


def _columns(texts: Sequence[str]) -> dict[str, str]:
    """``video=path`` as a mapping. Raises UserError for anything else, and for a field that is none."""
    from pipeline.errors import UserError
    from pipeline.plan.formats import FORMATS
    from pipeline.plan.suggest import suggest

    fields = FORMATS["jsonl"].columns
    out = {}
    for text in texts:
        field, sign, name = text.partition("=")
        if not (field and sign and name):
            raise UserError("--columns", f"{text} is not FIELD=NAME.", "Write it as video=path.")
        if field not in fields:
            raise UserError("--columns", f"{field} is no field.", suggest(field, fields, "They are"))
        out[field] = name
    return out


def _print_what_is_there(records: Path, found: Found) -> None:
    counts = ", ".join(f"{count} {task}" for task, count in sorted(found.counts.items()))
    print(f"{records}: {found.records} records; {counts}")
    for problem in found.problems[:_MOST_PROBLEMS]:
        print(f"  {problem}")
    if len(found.problems) > _MOST_PROBLEMS:
        print(f"  ... {len(found.problems)} records cannot be used")

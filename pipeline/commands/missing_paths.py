"""All inputs of a plan that do not exist, each with the name that was probably meant."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator

from pipeline.artifacts.checkpoint import CONFIG_FILE
from pipeline.artifacts.record import RECORD_NAME
from pipeline.commands.plan_paths import Key, checkpoint_paths, input_paths, media_paths
from pipeline.errors import StorageError
from pipeline.plan.identity import in_corpora
from pipeline.plan.plan import Plan
from pipeline.plan.section_errors import Problem
from pipeline.plan.suggest import suggest
from pipeline.storage.hub import hub_model, is_plain
from pipeline.storage.location import Location

_ALL_REMOTE = "*"  # if a server is down or credentials are missing, one path stands for all
_MOST_NAMES = 2000  # at most so many names of a folder are searched for a similar one


def missing_inputs(plan: Plan, unread: set[str]) -> Iterator[Problem]:
    """Annotations, weights and checkpoints that do not exist.

    ``unread`` collects storage that cannot be read: it is reported once and not tried again.
    """
    wanted = [
        (key, text)
        for key, text in input_paths(plan)
        if not in_corpora(text) and not (key[0] == "model" and hub_model(text))
    ]
    yield from _missing(plan, wanted, "does not exist", unread)
    records = [
        (key, f"{text.rstrip('/')}/{RECORD_NAME}")
        for key, text in checkpoint_paths(plan)
        if key[0] != "evaluation" or not _is_model(plan, text)
    ]
    for problem in _missing(plan, records, "is not there", unread):
        text = f"{problem.text} The folder of a finished checkpoint artifact has one."
        yield Problem(problem.key, text)


def missing_media(plan: Plan, unread: set[str]) -> Iterator[Problem]:
    """Folders of videos that do not exist; with a misspelt one every record that needs it would be lost."""
    outside = [(key, text) for key, text in media_paths(plan) if not in_corpora(text)]
    yield from _missing(plan, outside, "does not exist", unread)


def _is_model(plan: Plan, text: str) -> bool:
    """Whether a checkpoint to score is not from a plan: a model on the hub, or beside its tokenizer."""
    if is_plain(text):
        return True
    try:
        return (Location.parse(text, plan.storage.local_cache) / CONFIG_FILE).exists()
    except StorageError:  # reported where the record is looked for
        return False


def _missing(plan: Plan, paths: Iterable[tuple[Key, str]], words: str, unread: set[str]) -> Iterator[Problem]:
    known: dict[str, bool] = {}
    for key, text in paths:
        place = Location.parse(text, plan.storage.local_cache)
        bucket = "" if place.is_local else place.uri.split("/")[2]
        if bucket and unread & {bucket, _ALL_REMOTE}:
            continue
        try:
            there = known[place.uri] if place.uri in known else known.setdefault(place.uri, place.exists())
        except StorageError as error:
            if bucket:
                unread.add(bucket if "bucket" in error.problem else _ALL_REMOTE)
            yield Problem(key, f"{text} {error.problem} {error.fix}")
            continue
        if not there:
            yield Problem(key, f"{text} {words}. {_meant(place)}".strip())


def _meant(place: Location) -> str:
    """A hint: the name on this disk that is most similar to the missing one."""
    if not place.is_local:
        return ""
    folder, name = os.path.split(place.uri)
    while folder != "/" and not os.path.isdir(folder):
        folder, name = os.path.split(folder)
    try:
        names = os.listdir(folder)[:_MOST_NAMES]
    except OSError:
        return ""
    hint = suggest(name, names, "")
    return f"{folder} has no {name}." + (f" {hint}" if hint.startswith("Did") else "")

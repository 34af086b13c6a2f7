"""Inputs of a plan that are not there: all of them, with the name that was probably meant."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator

from pipeline.artifacts.record import RECORD_NAME
from pipeline.commands.plan_paths import Key, checkpoint_paths, input_paths, media_paths
from pipeline.errors import StorageError
from pipeline.plan.identity import in_corpora
from pipeline.plan.plan import Plan
from pipeline.plan.section_errors import Problem
from pipeline.plan.suggest import suggest
from pipeline.storage.hub import hub_model
from pipeline.storage.location import Location

_ALL_REMOTE = "*"  # of a server that is away, or without credentials, the first path says all
_MOST_NAMES = 2000  # of a folder, among which the meant one is looked for


def missing_inputs(plan: Plan, unread: set[str]) -> Iterator[Problem]:
    """Annotations, weights and checkpoints that are not there.

    ``unread`` collects the storage that cannot be read, which is told once and not asked again.
    """
    wanted = [
        (key, text)
        for key, text in input_paths(plan)
        if not in_corpora(text) and not (key[0] == "model" and hub_model(text))
    ]
    yield from _missing(plan, wanted, "does not exist", unread)
    records = [(key, f"{text.rstrip('/')}/{RECORD_NAME}") for key, text in checkpoint_paths(plan)]
    for problem in _missing(plan, records, "is not there", unread):
        text = f"{problem.text} The folder of a finished checkpoint artifact has one."
        yield Problem(problem.key, text)


def missing_media(plan: Plan, unread: set[str]) -> Iterator[Problem]:
    """Folders of videos that are not there: a misspelt one would cost every record that needs it."""
    outside = [(key, text) for key, text in media_paths(plan) if not in_corpora(text)]
    yield from _missing(plan, outside, "does not exist", unread)


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
    """Which name on this disk the missing one is near to."""
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

"""Which entry and which sample of one side belongs to which of the other, and what has no partner."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from evaluation.compare.side import Side
from evaluation.metrics.aggregate import Score
from evaluation.score.given import stem
from pipeline.errors import UserError

_SHA256: Final = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, kw_only=True)
class Pair:
    """An entry of both sides. ``shared`` are the scores (A, B) of the samples that both have, in A's order.

    ``only_a`` and ``only_b`` are keys. ``notes`` tell a reader about the pairing.
    """

    entry: str
    family: str
    shared: tuple[tuple[Score, Score], ...]
    only_a: tuple[str, ...]
    only_b: tuple[str, ...]
    names: tuple[str, str]
    notes: tuple[str, ...] = ()


def pair_sides(a: Side, b: Side) -> tuple[list[Pair], list[str]]:
    """Every entry that both have, and a line for each that has no partner.

    Entries are paired by name; the rest by family, if each side has exactly one of that family.
    Raises UserError if no sample is shared.
    """
    names, notes = _entries(a, b)
    pairs = [_pair(a, b, *both) for both in names]
    if not any(pair.shared for pair in pairs):
        held = [f"{side.place} has {', '.join(side.scores) or 'no scores'}" for side in (a, b)]
        example = next(
            (f"; for example {p.only_a[0]} and {p.only_b[0]}" for p in pairs if p.only_a and p.only_b), ""
        )
        other = "".join(f" {note}." for pair in pairs for note in pair.notes)
        raise UserError(
            f"{a.place}, {b.place}",
            f"share no sample: {'; '.join(held)}{example}.{other}",
            "Compare scores of the same benchmark.",
        )
    return pairs, notes


def _entries(a: Side, b: Side) -> tuple[list[tuple[str, str]], list[str]]:
    pairs = [(name, name) for name in a.scores if name in b.scores]
    rest_a = [name for name in a.scores if name not in b.scores]
    rest_b = [name for name in b.scores if name not in a.scores]
    for name in list(rest_a):
        family = a.families[name]
        others = [other for other in rest_b if family and b.families[other] == family]
        if len(others) == 1 and [a.families[n] for n in rest_a].count(family) == 1:
            pairs.append((name, others[0]))
            rest_a.remove(name)
            rest_b.remove(others[0])
    notes = []
    for side, label, rest in ((a, "A", rest_a), (b, "B", rest_b)):
        notes += [f"{name}: {len(side.scores[name])} samples, in {label} alone" for name in rest]
        notes += [
            f"{name}: not scored in {label} (its truth is hidden, or it has no answers)"
            for name in side.unscored
        ]
    return pairs, notes


def _pair(a: Side, b: Side, name_a: str, name_b: str) -> Pair:
    family_a, family_b = a.families[name_a], b.families[name_b]
    if family_a and family_b and family_a != family_b:
        raise UserError(
            f"benchmark {name_a}",
            f"is {family_a} in A and {family_b} in B.",
            "Compare evaluations in which one name means one benchmark.",
        )
    notes = []
    ours: Mapping[str, Score] = a.scores[name_a]
    theirs: Mapping[str, Score] = b.scores[name_b]
    if name_a != name_b:
        notes.append(f"{name_a} of A is {name_b} of B, by their family {family_a}")
    if not ours.keys() & theirs.keys():
        short_ours, short_theirs = _short(ours), _short(theirs)
        if short_ours.keys() & short_theirs.keys():
            ours, theirs = short_ours, short_theirs
            notes.append("samples are found by their keys without the name of the source")
    # Keys may be the numbers of lines, which another file has as well.
    foreign = {key for key in ours.keys() & theirs.keys() if not _one_video(ours[key], theirs[key])}
    if foreign:
        example = next(key for key in ours if key in foreign)
        notes.append(f"samples with another video in B, which are not compared: {len(foreign)} ({example})")
    shared = tuple((x, theirs[key]) for key, x in ours.items() if key in theirs and key not in foreign)
    if other := [x.key for x, y in shared if x.category != y.category]:
        notes.append(
            f"{len(other)} samples have another type of question in B ({other[0]}); that of A counts"
        )
    return Pair(
        entry=name_a,
        family=family_a or family_b,
        shared=shared,
        only_a=tuple(key for key in ours if key not in theirs or key in foreign),
        only_b=tuple(key for key in theirs if key not in ours or key in foreign),
        names=(name_a, name_b),
        notes=(*notes, *_settings(a, b, name_a, name_b)),
    )


def _one_video(a: Score, b: Score) -> bool:
    """Whether two scores can be of one video: where both name it by its file, the names are equal."""
    if not a.video or not b.video or _SHA256.fullmatch(a.video) or _SHA256.fullmatch(b.video):
        return True  # a video's content may differ where it was encoded again
    return stem(a.video) == stem(b.video)


def _short(scores: Mapping[str, Score]) -> dict[str, Score]:
    """By keys without the name of the source, which may differ; empty if two keys are then equal."""
    out = {key.partition("/")[2] or key: score for key, score in scores.items()}
    return out if len(out) == len(scores) else {}


def _settings(a: Side, b: Side, name_a: str, name_b: str) -> list[str]:
    """Where the two sides' descriptions of their numbers differ."""
    metrics = [
        {(row.metric, row.category) for row in side.rows if row.benchmark == name}
        for side, name in ((a, name_a), (b, name_b))
    ]
    both = metrics[0] & metrics[1]  # a file may hold the rows of one protocol alone
    parts = [
        {
            part
            for row in side.rows
            if row.benchmark == name and (row.metric, row.category) in both
            for sentence in row.description.split("; ")
            for part in sentence.split(", ")
        }
        for side, name in ((a, name_a), (b, name_b))
    ]
    if not all(parts) or parts[0] == parts[1]:
        return []
    lists = [", ".join(sorted(mine - others)) or "nothing else" for mine, others in (parts, parts[::-1])]
    return [f"made in different ways: A: {lists[0]}; B: {lists[1]}"]

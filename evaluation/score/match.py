"""Which prediction is for which sample."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from evaluation.score.given import (
    Given,
    Name,
    category_words,
    id_name,
    is_id,
    is_loose,
    stem,
    video_in_category,
    video_part,
    video_words,
)
from pipeline.records.sample import Role, Sample


@dataclass(kw_only=True, slots=True)
class Matched:
    """The prediction of each sample, and what could not be matched, under names that a person can find."""

    given: dict[int, Given] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)  # keys of samples without a prediction
    extra: list[str] = field(default_factory=list)  # predictions of no sample
    repeated: list[str] = field(default_factory=list)  # of a sample that had one; the first counts
    ambiguous: list[str] = field(default_factory=list)  # samples of several videos have the name
    contradicting: list[str] = field(default_factory=list)  # the id is that of another sample

    @property
    def fields(self) -> dict[str, int]:
        """How many of the predictions were read from a field of each name."""
        return dict(Counter(given.field for given in self.given.values() if given.field))


def match(samples: Sequence[Sample], predictions: Iterable[Given]) -> Matched:
    """Give every sample its prediction.

    Several samples of one name share a single prediction if they are of one video (one query twice); if there
    are as many predictions as samples, they are paired in order.
    """
    by_name: dict[Name, list[int]] = {}
    for number, sample in enumerate(samples):
        for name in names_of(sample):
            by_name.setdefault(name, []).append(number)
    # "0" is an expression of every video: as an id it names none of them.
    by_name = {name: of for name, of in by_name.items() if len(of) == 1 or not is_loose(name)}
    waiting: dict[tuple[int, ...], list[Given]] = {}
    out = Matched()
    for given in predictions:
        found = _found(given, by_name, out)
        if found is None:
            out.extra.append(given.where)
        else:
            waiting.setdefault(tuple(found), []).append(given)
    for numbers, group in waiting.items():
        if len(group) < len(numbers) and len({samples[n].video.path for n in numbers}) > 1:
            out.ambiguous += [given.where for given in group]
            continue
        if len(group) == 1:
            chosen = [group[0]] * len(numbers)
        else:
            chosen = group[: len(numbers)]
            out.repeated += [given.where for given in group[len(numbers) :]]
        for number, given in zip(numbers, chosen, strict=False):
            if number in out.given:
                out.repeated.append(given.where)
            else:
                out.given[number] = given
    out.missing = [_label(sample) for n, sample in enumerate(samples) if n not in out.given]
    return out


def _found(given: Given, by_name: Mapping[Name, list[int]], out: Matched) -> list[int] | None:
    """The samples that a prediction is for; None if there are none.

    The first known name counts, and the others choose among the samples that share it. An id is often the
    number of a line in somebody's file: it counts where no other name is known, or where it agrees with them.
    """
    known = [name for name in given.names if name in by_name]
    if len(known) < 2:
        return by_name[known[0]] if known else None
    known.sort(key=is_id)
    found = by_name[known[0]]
    for name in known[1:]:
        if len(found) > 1 or is_id(name):
            both = [number for number in by_name[name] if number in found]
            if both:
                found = both
            elif is_id(name):
                out.contradicting.append(given.where)
                break
    return found


def names_of(sample: Sample) -> list[Name]:
    """Every name that a prediction may use for a sample."""
    inner = _short(sample.key)
    video, last = sample.video.path, inner.rpartition("/")[2]
    question = next((turn.text for turn in sample.turns if turn.role is Role.USER), "")
    found = [id_name(inner), id_name(last)]
    if sample.category:
        found.append(video_in_category(video, sample.category))
    for text in dict.fromkeys((sample.expression, question, sample.reference)):
        if text:
            found.append(video_words(video, text))
            if sample.category:
                found.append(category_words(sample.category, text))
    above = inner.rpartition("/")[0]
    found += [video_part(above, last), video_part(PurePosixPath(video).name, last), video_part(video, last)]
    return list(dict.fromkeys(found))


def _short(key: str) -> str:
    """A key without the name of its source, which predictions of other code do not know."""
    return key.partition("/")[2] or key


def _label(sample: Sample) -> str:
    """A short key; with video and words where the key is only the number of a line."""
    short = _short(sample.key)
    told = f" ({stem(sample.video.path)}: {sample.expression})" if sample.expression else ""
    return short + told if short.isdecimal() else short

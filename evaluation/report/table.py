"""The table: benchmark, metric, one column per checkpoint, samples, failures."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from evaluation.benchmarks import benchmark_of
from evaluation.metrics.aggregate import MetricRow, Unit
from evaluation.submission.hidden import NOT_SCORED
from pipeline.plan.benchmarks import PromptStyle
from pipeline.plan.evaluation import BenchmarkConfig
from pipeline.text_table import TextTable
from pipeline.times.temporal import Outside

WIDTH = 118  # characters of the plain-text table


NOT_JUDGED = "not judged"


@dataclass(frozen=True, kw_only=True, slots=True)
class Line:
    """One metric under every checkpoint. Values are in 0-1, marks in 0-5; None where there is none.

    ``errors`` are standard errors, ``baseline`` is the score of an answer that does not look at the video.
    """

    benchmark: str
    category: str
    metric: str
    values: tuple[float | None, ...]
    failures: tuple[int, ...]
    samples: int
    main: bool  # a headline metric, not another rule for the same thing
    errors: tuple[float | None, ...] = ()
    baseline: float | None = None
    baseline_name: str = ""
    protocol: str = ""
    descriptions: tuple[str, ...] = ()
    unit: str = Unit.SHARE
    missing: tuple[int, ...] = ()  # samples without a value: not judged, or their judgement failed
    headline: bool = True  # belongs to the main table, not to the breakdown by category
    state: str = ""  # why there is no value, unless samples are missing


@dataclass(frozen=True, kw_only=True, slots=True)
class Table:
    """``columns`` are checkpoints as the plan names them, ``labels`` their names for readers."""

    columns: tuple[str, ...]
    labels: tuple[str, ...]
    lines: tuple[Line, ...]
    footnotes: tuple[str, ...]

    @property
    def headlines(self) -> tuple[Line, ...]:
        """Lines of the main table."""
        return tuple(line for line in self.lines if line.headline)

    def content(self) -> dict[str, Any]:
        """The table as plain data, for ``table.json``."""
        return {
            "columns": list(self.columns),
            "labels": list(self.labels),
            "lines": [asdict(line) for line in self.lines],
            "footnotes": list(self.footnotes),
        }


def checkpoint_label(checkpoint: str) -> str:
    """What a checkpoint is called: ``init`` -> before training, ``stage2`` -> after stage 2."""
    if checkpoint == "init":
        return "before training"
    if "/" in checkpoint:
        return checkpoint.rstrip("/").rpartition("/")[2]
    return "after " + re.sub(r"^stage[_-]?(\d+)$", r"stage \1", checkpoint)


def make_table(
    checkpoints: Sequence[str],
    metrics: Mapping[str, Sequence[MetricRow]],
    benchmarks: Sequence[BenchmarkConfig],
    counts: Mapping[str, Mapping[str, Any]],
) -> Table:
    """Rows of every checkpoint side by side. A row that a checkpoint lacks has no value there.

    ``counts`` is the summary by benchmark of any one of the evaluations (they share it but for failures).
    """
    tasks = {b.entry: benchmark_of(b.family).tasks for b in benchmarks}
    by_name = {cp: {(r.benchmark, r.category, r.metric): r for r in metrics[cp]} for cp in checkpoints}
    names = list(dict.fromkeys(name for cp in checkpoints for name in by_name[cp]))
    lines = []
    for name in names:
        rows = [by_name[cp].get(name) for cp in checkpoints]
        one = next(row for row in rows if row is not None)
        if not one.samples and not one.missing:  # a measure that no sample of this category has
            continue
        lines.append(
            Line(
                benchmark=one.benchmark,
                category=one.category,
                metric=one.metric,
                values=tuple(row.value if row else None for row in rows),
                failures=tuple(row.failures if row else 0 for row in rows),
                samples=one.samples + sum(one.missing.values()),
                main=one.main,
                errors=tuple(row.error if row else None for row in rows),
                baseline=one.baseline,
                baseline_name=one.baseline_name,
                protocol=one.protocol,
                descriptions=tuple(row.description if row else "" for row in rows),
                unit=one.unit,
                missing=tuple(sum(row.missing.values()) if row else 0 for row in rows),
                headline=bool(one.category) == tasks.get(one.benchmark, False),
                state=NOT_SCORED if counts.get(one.benchmark, {}).get("state") else "",
            )
        )
    return Table(
        columns=tuple(checkpoints),
        labels=tuple(checkpoint_label(cp) for cp in checkpoints),
        lines=tuple(lines),
        footnotes=(*_footnotes(benchmarks, counts), *_judged_notes(checkpoints, metrics)),
    )


def number_text(value: float | None, unit: str = Unit.SHARE) -> str:
    """A share as percent with one decimal, a mark with two; a dash for none."""
    if value is None:
        return "–"
    return f"{value:.2f}" if unit == Unit.MARK else f"{100 * value:.1f}"


def value_text(line: Line, at: int) -> str:
    """The value under one checkpoint: ``56.3``, ``3.59``, ``not judged``, or the line's state."""
    value = line.values[at]
    if value is None and line.unit == Unit.MARK and line.missing and line.missing[at]:
        return NOT_JUDGED
    return line.state if value is None and line.state else number_text(value, line.unit)


def cell_text(line: Line, at: int) -> str:
    """The value under one checkpoint with its standard error: ``56.3 ±1.0``."""
    return f"{value_text(line, at)} {error_text(line, at)}".strip()


def error_text(line: Line, at: int) -> str:
    """The standard error under one checkpoint, ``±1.0``, or nothing."""
    error = line.errors[at] if line.errors and line.values[at] is not None else None
    return "" if error is None else f"±{number_text(error, line.unit)}"


def baseline_text(line: Line) -> str:
    """The baseline, or nothing."""
    return number_text(line.baseline, line.unit) if line.baseline is not None else ""


def failures_text(line: Line) -> str:
    """Failures under each checkpoint: ``3 / 1 / 0``; one number where they are equal."""
    return str(line.failures[0]) if len(set(line.failures)) == 1 else " / ".join(map(str, line.failures))


def without_repeats(lines: Sequence[Line]) -> Iterator[Line]:
    """Lines without those that only repeat that a benchmark is not judged: its first one says so."""
    mentioned: set[tuple[str, str]] = set()
    for line in lines:
        if {value_text(line, at) for at in range(len(line.values))} == {NOT_JUDGED}:
            if (line.benchmark, line.category) in mentioned:
                continue
            mentioned.add((line.benchmark, line.category))
        yield line


def text_table(table: Table) -> TextTable:
    """The main table and its footnotes, to be written as plain text."""
    marks = any(line.unit == Unit.MARK for line in table.headlines)
    return TextTable(
        title="Scores in percent" + (", marks from 0 to 5" if marks else ""),
        names=("benchmark", "metric"),
        numbers=(*table.labels, "baseline", "samples", "failures"),
        rows=tuple(
            (
                f"{line.benchmark} {line.category}".strip(),
                line.metric,
                *(cell_text(line, at) for at in range(len(line.values))),
                baseline_text(line),
                str(line.samples),
                failures_text(line),
            )
            for line in without_repeats(table.headlines)
        ),
        notes=table.footnotes,
    )


def table_text(table: Table) -> str:
    """The main table and its footnotes, as ``table.txt`` has them."""
    return text_table(table).text(WIDTH)


def _submitted(entry: Mapping[str, Any]) -> str:
    """The submission of a benchmark whose truth is hidden."""
    made = entry["submission"]
    if made is None:
        return f"{entry['state']}. {entry['no_submission']}."
    parts = [f"{entry['state']}. {made['file']} of each evaluation is for it"]
    parts.append(f"{made['videos']} videos, {made['expressions']:,} expressions")
    if not made["complete"]:
        parts.append(f"not complete: {made['about']}")
    return "; ".join(parts) + "."


def _judged_notes(checkpoints: Sequence[str], metrics: Mapping[str, Sequence[MetricRow]]) -> Iterator[str]:
    """How many answers have marks, and why the others have none. All marks of an answer go together.

    What is the same for several checkpoints is one note.
    """
    noted: dict[tuple[str, str], list[str]] = {}
    for cp in checkpoints:
        first = {r.benchmark: r for r in reversed(metrics[cp]) if r.unit == Unit.MARK and not r.category}
        for entry, row in sorted(first.items()):
            missing = sum(row.missing.values())
            if missing:
                why = "; ".join(f"{count} {reason}" for reason, count in row.missing.items())
                note = f"{row.samples} of {row.samples + missing} answers are judged; {why}."
                noted.setdefault((entry, note), []).append(checkpoint_label(cp))
    for (entry, note), labels in noted.items():
        where = "" if len(labels) == len(checkpoints) else f", {' and '.join(labels)}"
        yield f"{entry}{where}: {note}"


def _footnotes(
    benchmarks: Sequence[BenchmarkConfig], counts: Mapping[str, Mapping[str, Any]]
) -> tuple[str, ...]:
    notes = [
        "A failure is an answer that cannot be used (no option, no span, no or too few masks). It stays "
        "in every mean with the score of a useless answer; several numbers are one per checkpoint."
    ]
    notes.append(
        "± is the standard error, with the samples of one video as one draw. The baseline does not look at "
        "the video: a guess among the options, or the best of the constant answers."
    )
    notes += dict.fromkeys(note for b in benchmarks if (note := benchmark_of(b.family).footnote))
    for b in benchmarks:
        entry = counts.get(b.entry, {})
        if entry and entry["samples"] < entry["available"]:
            notes.append(
                f"{b.entry}: {entry['samples']} of its {entry['available']} samples, chosen by name."
            )
        if unreadable := entry.get("unreadable"):
            notes.append(
                f"{b.entry}: the videos of {unreadable} samples could not be read; they are in no mean, "
                "and the next run asks them."
            )
        if rejects := entry.get("rejects"):
            reasons = ", ".join(f"{reason} {count}" for reason, count in sorted(rejects.items()))
            notes.append(
                f"{b.entry}: {sum(rejects.values()):,} of its {entry['read']:,} records were rejected in "
                f"preparation ({reasons}) and are in no mean."
            )
        if entry.get("state"):
            notes.append(f"{b.entry}: {_submitted(entry)}")
        if b.bare_times:
            notes.append(f"{b.entry}: numbers without a unit in an answer are read as {b.bare_times}.")
        if b.outside_times is Outside.CLAMP:
            notes.append(f"{b.entry}: a time outside the video is cut at the video's end.")
    for style in (PromptStyle.LLAVA_VIDEO, PromptStyle.PREPARED):
        asked = [b.entry for b in benchmarks if b.style is style]
        if asked:
            notes.append(f"Not asked in the benchmark's own words but in style {style}: {', '.join(asked)}.")
    if seen := [b.entry for b in benchmarks if b.seen]:
        notes.append(f"Training samples, so these numbers measure memory: {', '.join(seen)}.")
    return tuple(notes)

"""The report as plain text, for a terminal and a log."""

from __future__ import annotations

import io
from collections.abc import Iterator

from datasets_prep.doctor.summary import FindingRow, Source, Summary
from pipeline.dataset.rejects import example_line

WIDTH = 118


def text(summary: Summary) -> str:
    """One line per source and finding, those above the tolerance first, and the verdict."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    drawn = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    for name in ("source", "finding"):
        drawn.add_column(name, overflow="fold")
    for name in ("records", "share", "allowed"):
        drawn.add_column(name, justify="right", no_wrap=True)
    drawn.add_column("verdict", no_wrap=True)
    drawn.add_column("for example", overflow="fold")
    clean = [s.name for s in summary.sources if not s.rows and s.ok]
    shown = [s for s in summary.sources if s.name not in clean]
    for source in shown:
        name = source.name
        if source.problem:
            drawn.add_row(name, source.problem, f"{source.records:,}", "", "", "too much", "")
            name = ""
        for row in source.rows:
            example = row.examples[0].key.removeprefix(f"{source.name}/")
            drawn.add_row(
                name, row.finding, f"{row.count:,}", _share(row.share), _allowed(row), verdict(row), example
            )
            name = ""
        if source is not shown[-1]:
            drawn.add_section()
    out = io.StringIO()
    console = Console(file=out, width=WIDTH, force_terminal=False, color_system=None, legacy_windows=False)
    if shown:
        console.print(drawn, markup=False)
    for line in _closing_lines(summary, clean):
        console.print(line, markup=False, highlight=False, soft_wrap=line.startswith(" "))
    return "\n".join(row.rstrip() for row in out.getvalue().splitlines()) + "\n"


def verdict(row: FindingRow) -> str:
    """The plan's verdict on a finding."""
    if not row.ok:
        return "too much"
    return "to look at" if row.tolerance >= 1 else "allowed"


def outside_text(source: Source, row: FindingRow) -> str:
    """How far outside the times of a source are; empty where none are."""
    if row.outside is None:
        return ""
    outside, one = row.outside, row.outside.records == 1
    of = "a time" if one else f"times of {outside.records:,} records"
    saved = "would be saved by clamping" if row.rejects else f"{'is' if one else 'are'} clamped"
    far = f"{outside.max_s:.2f} s"
    if not one:
        far = f"a median of {outside.median_s:.2f} s and {far} at most"
    return f"{source.name}: {of} {saved}, outside by {far}"


def headline(summary: Summary) -> str:
    """The verdict in one line."""
    if summary.ok:
        return "All of it is within the plan's tolerances."
    are = "finding is" if summary.over == 1 else "findings are"
    return f"{summary.over} {are} above the plan's tolerances."


def _closing_lines(summary: Summary, clean: list[str]) -> Iterator[str]:
    examples = [line for s in summary.sources for row in s.rows if row.rejects for line in _rejects(s, row)]
    if examples:
        yield from ("Would be rejected:", *examples, "")
    notes = [note for s in summary.sources for row in s.rows if (note := outside_text(s, row))]
    if shared := summary.overlaps_in_all:
        are = "video is" if shared == 1 else "videos are"
        notes.append(f"{shared:,} {are} in training and in a benchmark, by content or by name")
    if clean:
        notes.append(f"nothing found in {', '.join(clean)}")
    records, samples = (sum(getattr(s, n) for s in summary.sources) for n in ("records", "samples"))
    yield from (f"* {note}" for note in notes)
    yield ""
    yield (
        f"{records:,} records of {len(summary.sources)} sources, {samples:,} would become samples. "
        + headline(summary)
    )


def _rejects(source: Source, row: FindingRow) -> Iterator[str]:
    """The reason with its count, then the first records and what is wrong with each."""
    yield f"  {source.name}: {row.count:,} x {row.finding}"
    for example in row.examples:
        yield example_line(example.key, example.detail)


def _share(share: float) -> str:
    """In percent; a share above zero never reads 0."""
    return f"{100 * share:.2f} %" if share >= 0.0001 else "< 0.01 %"


def _allowed(row: FindingRow) -> str:
    return "any" if row.tolerance >= 1 else f"{100 * row.tolerance:g} %"

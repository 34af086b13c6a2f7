"""Everything that the card shows, as plain text and numbers beside the drawings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from datasets_prep.card import histogram
from datasets_prep.card.gallery import Shown
from datasets_prep.card.histogram import Panel
from datasets_prep.card.measures import MEASURES, MS, Measure
from datasets_prep.card.rejects import ReasonRow
from datasets_prep.card.scan import SourceScan
from datasets_prep.card.style import CSS
from datasets_prep.card.tally import Tally, Videos
from datasets_prep.card.template import TEMPLATE
from datasets_prep.doctor.findings import FINDING_TEXTS
from pipeline.dataset.manifest import Manifest
from pipeline.page.filters import FILTER_SCRIPT, OPEN_FOLDS
from pipeline.page.render import render_page
from pipeline.records.sample import Task

SPARKS = ("video", "span", "span_share", "mask", "objects", "frames", "words", "answer_words")


@dataclass(frozen=True, kw_only=True, slots=True)
class Figure:
    """A distribution: its title, what one value is, the drawing, and the numbers of each panel."""

    title: str
    what: str
    svg: str
    numbers: tuple[tuple[str, str, histogram.Statistics], ...]  # kind (train, bench) and name


@dataclass(frozen=True, kw_only=True, slots=True)
class Cell:
    """A small histogram and its median; both empty if the source has no such value."""

    svg: str = ""
    middle: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Group:
    """The sources of one use and their totals."""

    kind: str  # train or bench
    name: str
    scans: tuple[SourceScan, ...]
    videos: Videos

    def total(self, field: str) -> int:
        """Sum of a number of the manifest's entries."""
        return sum(getattr(scan.entry, field) for scan in self.scans)

    def of_task(self, task: str) -> int:
        """Number of samples of a task."""
        return sum(scan.tasks[task] for scan in self.scans)

    def tally(self, name: str) -> Tally:
        """All values of a measure. A video that several sources share counts once."""
        if name == "video":
            tally = Tally()
            tally.add(self.videos.ticks)
            return tally
        return Tally.merged(scan.tallies[name] for scan in self.scans)


def render(
    *,
    title: str,
    seed: int,
    manifest: Manifest,
    scans: Sequence[SourceScan],
    rejects: Sequence[ReasonRow],
    irregular: Sequence[ReasonRow],
    shown: Mapping[str, Sequence[Shown]],
) -> str:
    """The card as HTML. All text is escaped; the page refers to no other file."""
    groups = [group for kind in ("train", "bench") if (group := _group(kind, scans)).scans]
    axes = {
        m.name: histogram.make_axis(m, whole)
        for m in MEASURES
        if (whole := Tally.merged(group.tally(m.name) for group in groups)).count
    }
    figures = [_figure(m, groups, axes) for m in MEASURES if m.name in axes]
    # Tasks of a newer version are shown as well.
    known = [str(task) for task in Task]
    tasks = known + sorted({task for scan in scans for task in scan.tasks} - set(known))
    columns = [m for name in SPARKS for m in MEASURES if m.name == name and name in axes]
    named = [scan.entry.name for group in groups for scan in group.scans if shown[scan.entry.name]]
    return render_page(
        TEMPLATE,
        css=CSS,
        script=FILTER_SCRIPT,
        open_folds=OPEN_FOLDS,
        numbered={name: number for number, name in enumerate(named, 1)},
        filters={"number": lambda n: f"{n:,}", "hours": _hours, "size": _size, "percent": _percent},
        title=title,
        seed=seed,
        manifest=manifest,
        groups=groups,
        videos=Videos.merged(group.videos for group in groups),
        both=groups[0].videos.shared(groups[1].videos) if len(groups) == 2 else 0,
        tasks=[task for task in tasks if any(group.of_task(task) for group in groups)],
        figures=figures,
        missing=[m.title for m in MEASURES if m.name not in axes],
        columns=columns,
        cells={scan.entry.name: [_cell(m, scan, axes) for m in columns] for scan in scans},
        notes=_notes(scans),
        rejects=rejects,
        irregular=irregular,
        words={str(finding): words for finding, words in FINDING_TEXTS.items()},
        shown=shown,
    )


def _group(kind: str, scans: Sequence[SourceScan]) -> Group:
    own = tuple(scan for scan in scans if scan.is_training == (kind == "train"))
    name = "training" if kind == "train" else "benchmarks"
    return Group(kind=kind, name=name, scans=own, videos=Videos.merged(scan.videos for scan in own))


def _figure(measure: Measure, groups: Sequence[Group], axes: Mapping[str, histogram.Axis]) -> Figure:
    panels = [Panel(kind=g.kind, name=g.name, tally=g.tally(measure.name)) for g in groups]
    panels = [panel for panel in panels if panel.tally.count]
    unit = f", {measure.unit}" if measure.unit else ""
    return Figure(
        title=measure.title + unit,
        what=measure.what,
        svg=histogram.histogram(measure, axes[measure.name], panels),
        numbers=tuple((p.kind, p.name, histogram.statistics(measure, p.tally)) for p in panels),
    )


def _cell(measure: Measure, scan: SourceScan, axes: Mapping[str, histogram.Axis]) -> Cell:
    tally = scan.tallies[measure.name]
    if not tally.count:
        return Cell()
    panel = Panel(kind="train" if scan.is_training else "bench", name=scan.entry.name, tally=tally)
    return Cell(
        svg=histogram.spark(measure, axes[measure.name], panel), middle=measure.text(tally.quantile(0.5))
    )


def _notes(scans: Sequence[SourceScan]) -> list[str]:
    """Remarks that a reader needs to interpret the numbers."""
    notes = []
    absent, measured = sum(s.absent for s in scans), sum(s.measured for s in scans)
    if measured:
        notes.append(
            f"Of {measured:,} masks whose area was measured, {absent:,} ({100 * absent / measured:.3g} %) "
            "are empty: the object is absent in that frame. They are not in the histogram."
        )
    if instants := sum(s.instants for s in scans):
        notes.append(f"Times without an end, such as <TEMP-050> alone: {instants:,}. No figure shows them.")
    if parts := [s for s in scans if s.every > 1]:
        names = ", ".join(f"{s.entry.name} (1 sample in {s.every})" for s in parts)
        notes.append(
            f"Areas of masks come from a part of the samples, chosen by a hash of seed and key: {names}."
        )
    if parts := [s for s in scans if s.videos.scale > 1]:
        names = ", ".join(f"{s.entry.name} (1 video in {s.videos.scale})" for s in parts)
        notes.append(f"Numbers, hours and lengths of videos are estimates from a part of them: {names}.")
    if by_path := sum(s.without_digest for s in scans):
        notes.append(
            f"{by_path:,} samples come without a digest of their video: it is told apart by source and path."
        )
    notes.append(
        "Text is counted in words and signs, without any tokenizer: a run of letters and digits is one, and "
        "so is each other sign and each token for an object or a time."
    )
    notes.append(
        "Quantiles are nearest ranks. Where bars grow wider to the right, the axis is not a straight scale."
    )
    return notes


def _hours(videos: Videos) -> str:
    """``12.3 h``, less than an hour in minutes, less than a minute in seconds."""
    seconds = videos.total_ticks / MS
    about = "about " if videos.scale > 1 else ""
    if seconds < 60:
        return f"{about}{seconds:.1f} s"
    if seconds < 3600:
        return f"{about}{seconds / 60:.1f} min"
    return f"{about}{seconds / 3600:,.{0 if seconds >= 360_000 else 1}f} h"


def _size(number: int) -> str:
    """Bytes in the largest unit in which they are at least 1."""
    value, unit = float(number), "bytes"
    for larger in ("kB", "MB", "GB", "TB"):
        if value < 1000:
            break
        value, unit = value / 1000, larger
    return f"{value:,.0f} {unit}" if unit == "bytes" else f"{value:,.1f} {unit}"


def _percent(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f} %" if whole else "–"

"""What the evaluation step does about entries whose truth is hidden."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from evaluation.answer_store import AnswerStore
from evaluation.benchmarks import benchmark_of
from evaluation.prediction import Unreadable
from evaluation.submission.export import Export, Index, Submission
from evaluation.submission.hidden import WHY
from evaluation.work import Item
from pipeline.dataset.reader import ShardReader
from pipeline.errors import UserError, combined_error
from pipeline.plan.plan import Plan
from pipeline.storage.location import Location


@dataclass(frozen=True, kw_only=True)
class Submissions:
    """The entries whose truth is hidden: their archives, and why some of them get none."""

    exports: Mapping[str, Export]
    trials: Mapping[str, str]

    @property
    def entries(self) -> frozenset[str]:
        """Names of all entries that are not scored here."""
        return frozenset({*self.exports, *self.trials})

    def write(
        self,
        out: Location,
        reader: ShardReader,
        store: AnswerStore,
        index: Mapping[str, Index],
        unreadable: Mapping[str, Sequence[Unreadable]],
    ) -> dict[str, dict[str, Any]]:
        """Write every archive. By entry, what metrics.json says of it.

        Raises UserError for archives that would be incomplete; the others are written.
        """
        said: dict[str, dict[str, Any]] = {
            name: {"state": WHY, "submission": None, "no_submission": why}
            for name, why in self.trials.items()
        }
        errors = []
        for name, export in self.exports.items():
            try:
                made = export.write(out, reader, store, index[export.config.source], unreadable[name])
            except UserError as error:
                errors.append(error)
                continue
            said[name] = {"state": WHY, "submission": asdict(made)}
            print(f"{name}: {out.uri}/{made.file} written, {_contents(made)}", flush=True)
        if errors:
            raise combined_error("submissions", errors)
        return said


def _contents(made: Submission) -> str:
    """How much an archive holds, in one line."""
    parts = [f"{made.videos} videos, {made.expressions:,} expressions, {made.masks:,} masks"]
    if made.empty:
        reasons = ", ".join(f"{reason} {count}" for reason, count in made.empty.items())
        parts.append(f"{sum(made.empty.values())} expressions with empty masks ({reasons})")
    if made.surplus:
        parts.append(f"the first masks of {made.surplus} answers that have several")
    parts.append("complete" if made.complete else f"not complete: {made.about}")
    return "; ".join(parts)


def plan_submissions(plan: Plan, reader: ShardReader, items: Mapping[str, Sequence[Item]]) -> Submissions:
    """Which entries are not scored here. Raises UserError for archives that can never be complete.

    A selection of samples is a trial, for which no archive is written.
    """
    assert plan.evaluation is not None
    sources = {source.name: source for source in plan.data.sources}
    exports, trials, errors = {}, {}, []
    for config in plan.evaluation.benchmarks:
        group = items[config.entry]
        layout = benchmark_of(config.family).submission
        if layout is None or not group or not all(item.hidden for item in group):
            continue
        source = sources[config.source]
        if config.limit is not None or source.select.count is not None or source.keep_types:
            trials[config.entry] = f"{len(group)} chosen expressions are a trial; no submission is written"
            continue
        try:
            export = exports[config.entry] = Export.of(config, layout, reader, group)
        except UserError as error:
            errors.append(error)
            continue
        if not export.is_complete:
            size = f"{export.videos} videos, {len(export.entries):,} expressions"
            print(f"{config.entry}: {size}, not a complete submission. {layout.about}.", flush=True)
    if errors:
        raise combined_error("submissions", errors)
    return Submissions(exports=exports, trials=trials)

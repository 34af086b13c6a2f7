"""The report as a page: one file with everything in it."""

from __future__ import annotations

from datasets_prep.doctor.findings import FINDING_TEXTS
from datasets_prep.doctor.style import CSS
from datasets_prep.doctor.summary import Summary
from datasets_prep.doctor.table import headline, outside_text, verdict
from datasets_prep.doctor.template import TEMPLATE
from pipeline.page.filters import FILTER_SCRIPT, OPEN_FOLDS
from pipeline.page.render import render_page
from pipeline.plan.doctor import Finding

_MOST_ROWS = 8
"""A longer table is closed at first."""


def render(summary: Summary, *, findings: str, code: str, created: str) -> str:
    """HTML of a summary. ``findings`` is the name of the file that has all findings."""
    found = {row.finding for source in summary.sources for row in source.rows}
    return render_page(
        TEMPLATE,
        css=CSS,
        script=FILTER_SCRIPT,
        open_folds=OPEN_FOLDS,
        most_rows=_MOST_ROWS,
        filters={
            "number": lambda n: f"{n:,}",
            "percent": _percent,
            "verdict": verdict,
            "spans": lambda row, source: outside_text(source, row),
        },
        summary=summary,
        headline=headline(summary),
        words=FINDING_TEXTS,
        met=[finding for finding in Finding if finding in found],
        findings=findings,
        code=code,
        created=created,
    )


def _percent(share: float) -> str:
    if 0 < share < 0.0001:
        return "< 0.01 %"
    return f"{100 * share:.3g} %"

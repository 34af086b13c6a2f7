"""The report as a page: one file with everything in it."""

from __future__ import annotations

from datasets_prep.doctor.findings import WORDS
from datasets_prep.doctor.style import CSS
from datasets_prep.doctor.summary import Summary
from datasets_prep.doctor.table import headline, spans_note, verdict
from datasets_prep.doctor.template import TEMPLATE
from pipeline.page.render import render_page
from pipeline.plan.doctor import Finding


def render(summary: Summary, *, findings: str, code: str, created: str) -> str:
    """HTML of a summary. ``findings`` names the file that has all of them."""
    found = {row.finding for source in summary.sources for row in source.rows}
    return render_page(
        TEMPLATE,
        css=CSS,
        filters={
            "number": lambda n: f"{n:,}",
            "percent": _percent,
            "verdict": verdict,
            "spans": lambda row, source: spans_note(source, row),
        },
        summary=summary,
        headline=headline(summary),
        words=WORDS,
        met=[finding for finding in Finding if finding in found],
        findings=findings,
        code=code,
        created=created,
    )


def _percent(share: float) -> str:
    if 0 < share < 0.0001:
        return "< 0.01 %"
    return f"{100 * share:.3g} %"

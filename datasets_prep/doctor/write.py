"""The report's files. The summary is written last, so a folder with one holds a whole report."""

from __future__ import annotations

import pyarrow as pa

from datasets_prep.doctor.examine import Examination
from datasets_prep.doctor.page import render
from datasets_prep.doctor.summary import Summary, summarise
from datasets_prep.doctor.table import text
from pipeline.artifacts.fingerprint import code_version
from pipeline.artifacts.record import now
from pipeline.commands.doctor import FINDINGS, PAGE, SUMMARY, TABLE
from pipeline.dataset.writer import parquet_bytes
from pipeline.plan.plan import Plan
from pipeline.storage.location import Location

# Columns of findings.parquet.
COLUMNS = ("source", "key", "file", "finding", "severity", "detail", "video", "outside_s")


def clear(out: Location) -> None:
    """Delete an earlier report, its summary first, so that no half of it looks whole."""
    for name in (SUMMARY, TABLE, PAGE, FINDINGS):
        (out / name).delete()


def write(plan: Plan, found: Examination, out: Location) -> Summary:
    """Write findings, page, table and summary."""
    summary = summarise(plan, found)
    table: pa.Table = found.findings.select(list(COLUMNS))
    (out / FINDINGS).write_bytes(parquet_bytes(table))
    page = render(summary, findings=FINDINGS, code=code_version().short, created=now())
    (out / PAGE).write_text(page)
    (out / TABLE).write_text(text(summary))
    (out / SUMMARY).write_text(summary.model_dump_json(indent=1) + "\n")
    return summary

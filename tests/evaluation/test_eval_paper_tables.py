"""The paper's tables: consistent published numbers, and this project's beside them by protocol."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from evaluation.benchmarks import benchmark_of
from evaluation.metrics.aggregate import MetricRow, Unit
from evaluation.report import table
from evaluation.report.paper_tables import Entry, PaperTable, paper_tables
from evaluation.report.paper_text import latex, markdown
from evaluation.report.published import NOTHING, published_tables
from pipeline.plan.benchmarks import FAMILIES
from pipeline.plan.evaluation import BenchmarkConfig

FIRST = {"published": "published", "mode": "multi"}


def row(
    benchmark: str, category: str, metric: str, protocol: str, value: float | None, **more: object
) -> MetricRow:
    metric_row = MetricRow(
        benchmark=benchmark, category=category, metric=metric, value=value, samples=200, failures=0,
        protocol=protocol, error=0.01,
    )  # fmt: skip
    return replace(metric_row, **more)  # type: ignore[arg-type]


def ours() -> table.Table:
    found = [
        row("mv", "", "accuracy", "read", 0.672, samples=4000),
        row("mv", "", "accuracy, mean of tasks", "read", 0.6),
        row("mv", "", "accuracy, UFVideo's rule", "as-published", 0.684, samples=4000),
        row("mv", "Action Sequence", "accuracy", "read", 0.81),
        row("mv", "Action Sequence", "accuracy, UFVideo's rule", "as-published", 0.82),
        row("mevis_u", "", "J&F", "standard", 0.51),
        row("mevis_u", "", "J&F, UFVideo's averaging", "as-published", 0.61),
        row("mevis_v", "", "J&F", "standard", None),
        row("d_single", "", "Avg", "judged", 3.5, unit=Unit.MARK, error=0.02),
        row("d_multi", "", "Avg", "judged", None, unit=Unit.MARK, samples=0, missing={"no judge": 400}),
    ]
    sources = {"mv": "mvbench", "mevis_u": "mevis", "mevis_v": "mevis"} | dict.fromkeys(
        ("d_single", "d_multi"), "videorefer_bench_d"
    )
    configs = [BenchmarkConfig(source=name, family=family) for name, family in sources.items()]
    counts = {name: {"samples": 1, "available": 1} for name in sources}
    hidden = {"state": "not scored here", "submission": None, "no_submission": "it is cut"}
    return table.make_table(
        ("stage2",), {"stage2": found}, configs, counts | {"mevis_v": counts["mevis_v"] | hidden}
    )


def entry(name: str, family: str, **more: str) -> Entry:
    return Entry(**{"name": name, "family": family, "style": "published", "mode": "multi", **more})


ENTRIES = (
    entry("mv", "mvbench"),
    entry("mevis_u", "mevis"),
    entry("mevis_v", "mevis"),
    entry("d_single", "videorefer_bench_d", mode="single"),
    entry("d_multi", "videorefer_bench_d"),
)


@pytest.fixture
def tables() -> dict[str, PaperTable]:
    return {one.name: one for one in paper_tables(ours(), ENTRIES)[0]}


def cells(one: PaperTable, label: str, protocol: str = "") -> dict[str, str]:
    heads = [f"{group} {head}".strip() for group, heads in one.groups for head in heads]
    [found] = [r for r in one.rows if r.label == label and protocol in ("", r.protocol)]
    return dict(zip(heads, found.cells, strict=True))


def numbers(name: str, model: str) -> list[list[float | None]]:
    [found] = [one for one in published_tables() if one.name == name]
    [values] = [r.values for r in found.rows if r.model == model]
    return [[None if v == NOTHING else float(v) for v in part] for part in values]


def test_published_means_are_those_of_the_published_numbers() -> None:
    """To the rounding of the numbers in the same row."""
    [mvbench] = numbers("mvbench", "UFVideo 7B")
    assert sum(mvbench[:20]) / 20 == pytest.approx(67.3, abs=0.05)
    checked = 0
    for one in published_tables():
        for r in one.rows:
            for block, values in zip(one.blocks, r.values, strict=True):
                found = {c.head: v for c, v in zip(block.columns, values, strict=True)}
                if "J&F" in found and NOTHING not in (found["J"], found["F"]):
                    mean = (float(found["J"]) + float(found["F"])) / 2
                    assert float(found["J&F"]) == pytest.approx(mean, abs=0.11), (one.name, r.model)
                    checked += 1
                if "TD" in found and found["Avg"] != NOTHING:
                    mean = sum(float(found[d]) for d in ("SC", "AD", "TD", "HD")) / 4
                    assert float(found["Avg"]) == pytest.approx(mean, abs=0.0126), (one.name, r.model)
                    checked += 1
    assert checked == 30
    assert numbers("charades_sta", "UFVideo 7B") == [[71.2, 49.6, 24.1, 44.7]]
    assert numbers("ufvideo_bench", "UFVideo 7B")[2] == [49.64, 51.61, 31.42, 33.08, 32.25, 4.13]


def test_columns_name_metrics_that_exist() -> None:
    checked = 0
    for one in published_tables():
        for block in one.blocks:
            if block.family in FAMILIES.names():
                names = [metric.name for metric in benchmark_of(block.family).metrics]
                for column in block.columns:
                    assert column.metric in names, (block.family, column.metric)
                    checked += 1
        for r in one.rows:
            heads = {column.head for block in one.blocks for column in block.columns}
            assert r.doubts.keys() <= heads
    assert checked > 0


def test_each_number_is_listed_under_its_protocol(tables: dict[str, PaperTable]) -> None:
    one = tables["mvbench"]
    assert [(r.label, r.protocol, r.marks, r.samples) for r in one.rows][:2] == [
        ("UFVideo 7B", "as-published", "", ""),
        ("LLaVA-ST 7B", "reported", "†", ""),
    ]
    assert [(r.protocol, r.samples) for r in one.rows if r.ours] == [
        ("read", "200 to 4,000"),
        ("as-published", "200 to 4,000"),
    ]
    assert cells(one, "after stage 2", "read")["Avg"] == "67.2 ±1.0"
    assert cells(one, "after stage 2", "as-published")["Avg"] == "68.4 ±1.0"
    assert cells(one, "after stage 2", "as-published")["AS"] == "82.0 ±1.0"
    assert cells(one, "after stage 2", "read")["AP"] == "–"
    assert cells(one, "UFVideo 7B")["AL"] == "56.6?"
    assert "? AL of UFVideo 7B: a task of 200 questions has no 56.6." in one.notes


def test_a_prompt_style_of_its_own_is_named_in_the_protocol() -> None:
    styled = [replace(e, style="llava_video") if e.name == "mv" else e for e in ENTRIES]
    [one] = [t for t in paper_tables(ours(), styled)[0] if t.name == "mvbench"]
    assert {r.protocol for r in one.rows if r.ours} == {
        "read, asked as llava_video",
        "as-published, asked as llava_video",
    }
    assert all(r.marks == "†" for r in one.rows if not r.ours)


def test_hidden_truth_and_modes_have_their_own_columns(tables: dict[str, PaperTable]) -> None:
    one = tables["segmentation"]
    assert [title for title, _ in one.groups] == ["MeViS valid_u", "MeViS valid"]
    standard = cells(one, "after stage 2", "standard")
    assert (standard["MeViS valid_u J&F"], standard["MeViS valid J&F"]) == ("51.0 ±1.0", "not scored here")
    assert cells(one, "after stage 2", "as-published")["MeViS valid_u J&F"] == "61.0 ±1.0"
    assert all(r.marks for r in one.rows if not r.ours)
    assert "puts the answer into the prompt" in one.notes[0]
    marks = cells(tables["videorefer_bench_d"], "after stage 2")
    assert (marks["single frame Avg"], marks["multi frame Avg"]) == ("3.50 ±0.02", "not judged")
    not_asked = paper_tables(ours(), ENTRIES)[1]
    assert "Segmentation ReVOS" in not_asked
    assert "Charades-STA" in not_asked
    assert "MVBench" not in not_asked


def test_a_benchmark_that_is_asked_twice_has_two_rows() -> None:
    twice = [*ENTRIES, replace(ENTRIES[1], name="mevis_u")]
    [one] = [t for t in paper_tables(ours(), twice)[0] if t.name == "segmentation"]
    labels = [r.label for r in one.rows if r.ours and r.protocol == "standard"]
    assert labels == ["after stage 2 (mevis_u, mevis_v)", "after stage 2 (mevis_u)"]


def test_markdown_tables_are_complete_and_escaped(tables: dict[str, PaperTable]) -> None:
    text = markdown("plan|x", list(tables.values()), ["Charades-STA"], ["a note"])
    lines = text.splitlines()
    assert lines[0] == "# plan\\|x"
    at = lines.index("## MVBench")
    rows = [line for line in lines[at : at + 20] if line.startswith("|")]
    assert {len(re.findall(r"(?<!\\)\|", line)) for line in rows} == {25}
    assert "| after stage 2 | as-published | 200 to 4,000 | **82.0 ±1.0** | – |" in rows[-1]
    assert "Also in the paper and not asked here: Charades-STA." in text


def test_latex_tables_have_equal_rows_and_no_special_characters(tables: dict[str, PaperTable]) -> None:
    text = latex(list(tables.values()))
    assert text.count("\\begin{table*}") == text.count("\\end{table*}") == 3
    assert "LLaVA-ST 7B $^\\dagger$" in text
    assert "68.4\\,$\\pm$\\,1.0" in text
    assert "MeViS valid\\_u" in text
    assert "J\\&F" in text
    for block in re.findall(r"\\toprule\n(.*?)\\bottomrule", text, re.S):
        body = [line for line in block.splitlines() if line.endswith("\\\\") and "multicolumn" not in line]
        assert len({len(re.findall(r"(?<!\\)&", line)) for line in body}) == 1
    assert not set(text) & set("±†–")

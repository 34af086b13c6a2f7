"""What is true of every registered benchmark family, and how another package registers one."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import ValidationError
from tiny_bench import MORE, SOURCES, flawless, sample

from evaluation.benchmarks import Benchmark, benchmark_of
from evaluation.prediction import Prediction
from pipeline.errors import UserError
from pipeline.plan import registry
from pipeline.plan.benchmarks import FAMILIES, PromptStyle
from pipeline.plan.evaluation import BenchmarkConfig
from pipeline.records.sample import Role, Sample

REPO = Path(__file__).resolve().parents[2]
OWN = sorted(FAMILIES.own())
LIKE = {
    "ref_youtube_vos": "mevis",
    "revos": "mevis",
    "ref_davis": "mevis",
}  # families whose samples are those of another one


def example(name: str) -> Sample:
    """A sample of the family, from the tiny benchmarks."""
    name = LIKE.get(name, name)
    source = next((source for source, family in (SOURCES | MORE).items() if family == name), None)
    assert source is not None, f"tests/evaluation/tiny_bench.py has no sample of {name}; add one"
    return sample(source, 1)


def prediction_of(one: Sample, **more: object) -> Prediction:
    return Prediction(key=one.key, source=one.dataset, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", OWN)
def test_the_row_of_a_family_is_complete(name: str):
    row = benchmark_of(name)
    assert isinstance(row, Benchmark)
    assert row.about
    assert PromptStyle.PUBLISHED in row.styles
    assert len({metric.name for metric in row.metrics}) == len(row.metrics)
    assert any(metric.main for metric in row.metrics), "no metric is in the main table"


def test_rows_load_without_pyarrow_scipy_and_torch():
    """`ufvideo check` reads them."""
    code = (
        "import sys; from evaluation.benchmarks import benchmark_of; "
        "from pipeline.plan.benchmarks import FAMILIES; "
        "[benchmark_of(name) for name in FAMILIES.own()]; "
        "print(*{'pyarrow', 'pandas', 'scipy', 'torch', 'ray'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not done.stdout.strip()


@pytest.mark.parametrize("name", OWN)
def test_the_docs_list_the_family(name: str):
    assert f"`{name}`" in (REPO / "docs" / "evaluation.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", OWN)
def test_a_flawless_answer_scores_full_marks_and_a_failure_scores_none(name: str):
    """Catches: a metric of a measure that no score has, a failure that does not count as 0."""
    row, one = benchmark_of(name), example(name)
    text, masks = flawless(one)
    spans = {"spans": one.spans} if row.times else {}
    best = row.score(one, prediction_of(one, text=text, masks=masks, **spans))
    assert not best.failures
    assert {metric.measure for metric in row.metrics} & set(best.values) or row.judged
    assert all(best.values[m.measure] == pytest.approx(1) for m in row.metrics if m.measure in best.values)
    failed = row.score(one, prediction_of(one, failure="it failed"))
    assert failed.values.keys() == best.values.keys()
    # An empty mask is right on frames without the object.
    assert all(value <= 0.25 for value in failed.values.values())
    assert set(failed.failures.values()) == {"it failed"}
    nothing = row.score(one, prediction_of(one))
    assert all(value <= 0.25 for measure, value in nothing.values.items() if measure not in _READ_EVERY_TEXT)
    assert nothing.failures


# The published rules for multiple choice read an option from every text.
_READ_EVERY_TEXT = ("accuracy published", "accuracy first word")


@pytest.mark.parametrize("name", OWN)
def test_every_prompt_is_one_question_without_the_answer(name: str):
    """Catches: a prompt that holds the truth."""
    row, one = benchmark_of(name), example(name)
    answers = [t.text for t in one.turns if t.role is Role.ASSISTANT]
    for style in row.styles:
        try:
            turns = row.prompt(one, style)
        except UserError:  # a prepared question that does not name its options
            assert style is PromptStyle.PREPARED
            continue
        assert [turn.role for turn in turns] == [Role.USER]
        assert turns[0].text.strip()
        assert not any(text in turns[0].text for text in answers)


@pytest.mark.parametrize("name", OWN)
def test_styles_and_rules_for_times_are_accepted_or_refused_by_the_row(name: str):
    for style in PromptStyle:
        if style in FAMILIES[name].styles:
            BenchmarkConfig(source="s", family=name, style=style)
            continue
        with pytest.raises(ValidationError, match=f"style {style} does not suit {name}; choose"):
            BenchmarkConfig(source="s", family=name, style=style)
    if FAMILIES[name].times:
        BenchmarkConfig.model_validate({"source": "s", "family": name, "bare_times": "seconds"})
    else:
        with pytest.raises(ValidationError, match=f"{name} asks for no time"):
            BenchmarkConfig.model_validate({"source": "s", "family": name, "outside_times": "clamp"})


def test_an_unknown_family_is_refused_with_the_nearest_name():
    with pytest.raises(ValidationError, match=r"unknown benchmark family mvbnch\. Did you mean mvbench"):
        BenchmarkConfig(source="s", family="mvbnch")


OTHER = """
    from evaluation.benchmarks import Benchmark, prompts
    from evaluation.metrics.aggregate import Metric, Score

    def prompt(sample, style):
        return prompts.single_turn(prompts.question(sample))

    def score(sample, prediction):
        return Score(key=sample.key, category="", values={"words": float(bool(prediction.text))})

    WORDS = Benchmark(
        name="words", about="Whether anything is said", prompt=prompt, score=score,
        metrics=(Metric(name="words", measure="words"),),
    )
"""


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A distribution on sys.path, as pip would install it, that registers a benchmark."""
    info = tmp_path / "other_words-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: other-words\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[ufvideo.benchmarks]\nwords = other_words:WORDS\n")
    (tmp_path / "other_words.py").write_text(textwrap.dedent(OTHER))
    monkeypatch.syspath_prepend(str(tmp_path))
    registry._foreign.cache_clear()
    yield
    registry._foreign.cache_clear()
    sys.modules.pop("other_words", None)


def test_an_installed_package_registers_a_benchmark(package: None):
    assert BenchmarkConfig(source="s", family="words").family == "words"
    one = sample("bench/refer", 0)
    assert benchmark_of("words").score(one, prediction_of(one, text="yes")).values == {"words": 1.0}

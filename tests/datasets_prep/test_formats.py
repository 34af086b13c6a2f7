"""Properties of every registered annotation format, and how another package registers one."""

from __future__ import annotations

import json
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import ValidationError

from datasets_prep.draft import RejectError
from datasets_prep.sources import Files, Format, format_of
from datasets_prep.sources.bases.reader import Reader
from pipeline.errors import UserError
from pipeline.plan import registry
from pipeline.plan.data import SourceConfig
from pipeline.plan.formats import FORMATS, FormatOption, TemporalTask
from pipeline.plan.load import load_plan

REPO = Path(__file__).resolve().parents[2]
OWN = sorted(FORMATS.own())
MARKED = {
    name
    for name, field in SourceConfig.model_fields.items()
    if any(isinstance(mark, FormatOption) for mark in field.metadata)
}
# Formats whose readers refuse every file unless masks are given.
WITH_MASKS = {"ref_davis", "ref_sav", "refcoco"}
# Values that are not the default, for options that are paths or choices.
SET = {
    "columns": {"video": "path"},
    "region_mode": "multi",
    "temporal_task": "referring",
    "question_templates": ["{expression} {span} {regions}"],
    "answer_templates": ["[SEG] {expression} {span} {answer}"],
}


def source(name: str, **options: object) -> SourceConfig:
    needed: dict[str, object] = dict.fromkeys(FORMATS[name].needs, "x")
    if "void" in options:  # for the scores of a benchmark
        needed["use"] = "benchmark"
    return SourceConfig.model_validate(
        {"name": "s", "format": name, "annotations": "x", "media": ["m"], **needed, **options}
    )


def value_of(option: str) -> object:
    default = SourceConfig.model_fields[option].default
    return SET.get(option, True if default is False else "x")


@pytest.mark.parametrize("name", OWN)
def test_the_row_of_a_format_is_complete(name: str):
    row = format_of(name)
    assert isinstance(row, Format)
    assert row.about
    assert not row.about.endswith(".")
    assert row.accepts <= MARKED, "an option that no source has, or that every format knows"
    assert set(row.needs) <= row.accepts
    assert len(set(row.temporal_tasks)) == len(row.temporal_tasks)
    assert row.reader.suffixes
    for method in ("chunks", "records", "media", "convert"):
        assert callable(getattr(row.reader, method))


def test_the_row_of_a_format_is_looked_up_once(monkeypatch: pytest.MonkeyPatch):
    """Readers ask for it at every record; listing the folder each time took most of the time of reading."""
    rows = {name: FORMATS[name] for name in ("didemo", "coin")}  # coin has no module of its name
    monkeypatch.setattr(registry.pkgutil, "iter_modules", lambda *_: pytest.fail("it is listed again"))
    assert {name: FORMATS[name] for name in rows} == rows


@pytest.mark.parametrize("name", OWN)
def test_the_documentation_lists_the_format(name: str):
    assert f"`{name}`" in (REPO / "docs" / "data-format.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", OWN)
def test_the_row_decides_which_options_a_source_may_have(name: str):
    """Catches an option that a reader does not know and would silently ignore."""
    for option in sorted(MARKED):
        if option in FORMATS[name].accepts:
            source(name, **{option: value_of(option)})
            continue
        with pytest.raises(ValidationError, match=f"{option} is for .*, not for {name}"):
            source(name, **{option: value_of(option)})


@pytest.mark.parametrize("name", [name for name in OWN if FORMATS[name].needs])
def test_a_source_without_what_its_format_needs_is_refused(name: str):
    for option, reason in FORMATS[name].needs.items():
        with pytest.raises(ValidationError) as error:
            source(name, **{option: None})
        assert reason in str(error.value)


def test_a_temporal_task_that_a_format_does_not_support_is_refused():
    with pytest.raises(ValidationError, match="didemo cannot be asked for dense_captions; use grounding or"):
        source("didemo", temporal_task=TemporalTask.DENSE_CAPTIONS)


def test_an_unknown_format_is_refused_and_the_nearest_name_suggested(plan_file: Path):
    with pytest.raises(UserError, match=r"unknown annotation format lava_video\. Did you mean llava_video"):
        load_plan(str(plan_file), ["data.sources.0.format=lava_video"])
    with pytest.raises(UserError, match="There are activitynet_captions, activitynet_rtl"):
        load_plan(str(plan_file), ["data.sources.0.format=zzzzzzz"])


def outcomes(reader: Reader, config: SourceConfig, path: Path) -> list[str]:
    """Outcome of each record of a file: the reason of its reject, or ``sample``."""
    found = []
    files = Files(annotations=path)
    if config.format in WITH_MASKS:
        (path.parent / "val.txt").write_text("bike\n")
        videos = path.parent / "val.txt" if config.keep_videos else None
        files = Files(annotations=path, masks=path.parent, keep_videos=videos)
    for record in reader.records(config, files):
        try:
            found += ["sample"] * len(reader.convert(record, config, 0))
        except RejectError as error:
            found.append(error.reason)
    return found


def outcomes_or_refusal(name: str, path: Path) -> tuple[list[str], str]:
    """Outcomes of the records of a file, and the message if the file as a whole is refused."""
    try:
        return outcomes(format_of(name).reader, source(name), path), ""
    except UserError as error:
        return [], str(error)


@pytest.mark.parametrize("wrong", [[{}], [7], [None], [["x"]], [{"video": 3, "conversations": {}}]])
@pytest.mark.parametrize("name", [n for n in OWN if ".json" in FORMATS[n].reader.suffixes])  # type: ignore[attr-defined]
def test_a_malformed_record_is_rejected_with_a_reason(name: str, wrong: list, tmp_path: Path):
    """Catches a single malformed row that ends a preparation."""
    path = tmp_path / "rows.json"
    path.write_text(json.dumps(wrong))
    found, refusal = outcomes_or_refusal(name, path)
    assert found or path.name in refusal
    assert "sample" not in found


@pytest.mark.parametrize("name", OWN)
@pytest.mark.parametrize("text", ["", "nonsense", "{"])
def test_a_file_without_records_gives_no_sample_and_at_worst_a_user_error(
    name: str, text: str, tmp_path: Path
):
    suffix = format_of(name).reader.suffixes[0]
    path = tmp_path / (suffix if not suffix.startswith(".") else f"rows{suffix}")
    path.write_text(text)
    found, refusal = outcomes_or_refusal(name, path)
    expected = "leave none of its videos" if name == "ref_davis" else path.name  # it needs a list of videos
    assert found or expected in refusal
    assert "sample" not in found


# A format that another package registers.

READER = '''
    """Captions, one a line: VIDEO<tab>TEXT."""

    from datasets_prep.draft import Draft, DraftTurn, Reason, RejectError
    from datasets_prep.sources import Format, Record
    from datasets_prep.sources.bases.fields import media_of
    from datasets_prep.sources.bases.reader import RowsReader, record_key
    from pipeline.records.sample import Role, Task


    class Captions(RowsReader):
        suffixes = (".tsv",)

        def rows(self, source, files):
            for number, line in enumerate(files.annotations.read_text().splitlines()):
                yield Record(record_key(source, files, number), line)

        def convert(self, record, source, seed):
            video, tab, text = record.raw.partition("\\t")
            if not tab:
                raise RejectError(Reason.MALFORMED, "the line has no tab")
            turns = (
                DraftTurn(role=Role.USER, text="What happens?"),
                DraftTurn(role=Role.ASSISTANT, text=text),
            )
            return [Draft(key=record.key, task=Task.QA, media=media_of(video), turns=turns)]


    FORMAT = Format(name="lines_tsv", about="Captions: one a line", reader=Captions())
    WRONG = 3
'''


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A distribution on sys.path, as pip would install it, that registers formats."""
    home = tmp_path / "site"
    info = home / "other_captions-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: other-captions\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[ufvideo.formats]\nlines_tsv = other_captions:FORMAT\n"
        "captions_wrong = other_captions:WRONG\ncaptions_gone = other_captions:NOTHING\n"
    )
    (home / "other_captions.py").write_text(textwrap.dedent(READER))
    monkeypatch.syspath_prepend(str(home))
    monkeypatch.setenv("PYTHONPATH", str(home), prepend=":")
    registry._foreign.cache_clear()
    yield home
    registry._foreign.cache_clear()
    sys.modules.pop("other_captions", None)


def test_a_package_registers_a_format(package: Path, tmp_path: Path):
    path = tmp_path / "train.tsv"
    path.write_text("a.mp4\tA red square.\nno tab\n")
    assert "lines_tsv" in FORMATS.names()
    assert "lines_tsv" not in FORMATS.own()
    assert outcomes(format_of("lines_tsv").reader, source("lines_tsv"), path) == ["sample", "malformed"]
    with pytest.raises(ValidationError, match="split is for coin, refcoco, youcook2, not for lines_tsv"):
        source("lines_tsv", split="train")


def test_an_entry_point_that_is_not_a_format_is_an_error_that_names_the_package(package: Path):
    with pytest.raises(ValidationError, match="of the package other-captions does not name the"):
        SourceConfig(name="s", format="captions_wrong", annotations="x", media=("m",))
    with pytest.raises(ValidationError, match=r"captions_gone .* of the package other-captions cannot"):
        SourceConfig(name="s", format="captions_gone", annotations="x", media=("m",))


def test_a_package_cannot_register_a_name_that_is_taken(package: Path):
    entry = package / "other_captions-1.0.dist-info" / "entry_points.txt"
    entry.write_text("[ufvideo.formats]\nmvbench = other_captions:FORMAT\n")
    registry._foreign.cache_clear()
    with pytest.raises(ValueError, match="other-captions registers the annotation format mvbench"):
        FORMATS["mvbench"]

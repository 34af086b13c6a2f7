"""From the doctor's findings to tolerances, exit codes, the report and the real command."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from datasets_prep.doctor.findings import FINDING_TEXTS
from datasets_prep.draft import Reason
from pipeline.artifacts.steps import steps
from pipeline.artifacts.survey import fingerprints
from pipeline.errors import UserError
from pipeline.plan.doctor import OWN_TOLERANCE, DoctorConfig, Finding
from pipeline.plan.load import load_plan
from tests.datasets_prep.doctor_here import Sources, doctor, findings_of, write_plan
from tests.datasets_prep.ill_corpus import EXPECTED, conversation

REPO = Path(__file__).resolve().parents[2]
here = pytest.mark.usefixtures("doctor_here")


@here
def test_tolerances_decide_the_exit_code(
    ill: Sources, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def exit_code(sources: Sources, *sets: str) -> int:
        return doctor(write_plan(tmp_path, sources), tmp_path / "out", *sets)

    refer = [s for s in ill if s["name"] == "refer"]
    assert exit_code(refer) == 1
    assert exit_code(refer, "doctor.tolerance=0.22") == 1  # two of nine have a mask of the wrong size
    assert exit_code(refer, "doctor.tolerance=0.23") == 0
    assert exit_code(refer, "doctor.tolerance=0.12") == 1
    assert exit_code(refer, "doctor.tolerance=0.12", "doctor.allow.mask_size=0.5") == 0
    assert "All of it is within the plan's tolerances." in capsys.readouterr().out
    # Some masks are empty in any dataset; that is shown, and is a failure only if the plan says so.
    assert exit_code(refer, "doctor.tolerance=0.23", "doctor.allow.masks_partly_empty=0") == 1
    assert exit_code(refer, "doctor.tolerance=1", "data.max_reject_share=0.7") == 0
    assert exit_code(refer, "doctor.tolerance=1", "data.max_reject_share=0.6") == 1
    assert "66.7% would be" in " ".join(capsys.readouterr().out.split())
    boxes = [s for s in ill if s["name"] == "boxes"]
    assert exit_code(boxes, "doctor.tolerance=0.5") == 0  # one of two: the share itself is allowed
    assert exit_code(boxes, "doctor.tolerance=0.49") == 1
    overlap = [s for s in ill if s["name"] in ("qa", "bench")]
    assert exit_code(overlap, "doctor.tolerance=1") == 1
    assert exit_code(overlap, "doctor.tolerance=1", "doctor.allow.overlap_content=1") == 0
    bench = [s for s in ill if s["name"] == "bench"]
    assert exit_code(bench) == 0
    assert "nothing found in bench" in capsys.readouterr().out


@here
def test_a_source_without_a_sample_fails_whatever_the_tolerance(tmp_path: Path, ill: Sources) -> None:
    (tmp_path / "none.json").write_text("[]")
    (tmp_path / "lost.json").write_text(json.dumps([{"video": "x.mp4"}]))
    (tmp_path / "blind.json").write_text(json.dumps([{"conversations": conversation("Q?", "A.")}]))
    for name in ("none", "lost", "blind"):
        source = ill[0] | {"name": name, "annotations": str(tmp_path / f"{name}.json")}
        plan = write_plan(tmp_path, [source], doctor={"tolerance": 1})
        assert doctor(plan, tmp_path / name) == 1
        assert "would become a sample" in (tmp_path / name / "table.txt").read_text()
        assert "would become a sample" in (tmp_path / name / "doctor.html").read_text()


@here
def test_the_page_escapes_text_and_loads_nothing(tmp_path: Path, ill: Sources) -> None:
    row = {"video": "<b>.mp4", "conversations": conversation("Q?", "A.")}
    (tmp_path / "odd.json").write_text(json.dumps([row]))
    source = ill[0] | {"name": "odd", "annotations": str(tmp_path / "odd.json")}
    doctor(write_plan(tmp_path, [source]), tmp_path / "out")
    page = (tmp_path / "out" / "doctor.html").read_text()
    assert "&lt;b&gt;.mp4 is in none of" in page
    assert "<b>.mp4" not in page
    assert not re.search(r"(?:src|href)=\"(?!#)", page)
    assert "http" not in page


@here
def test_the_report_shows_three_examples_of_each_reason(tmp_path: Path, ill: Sources) -> None:
    rows = [{"video": f"{n}.mp4", "conversations": conversation("Q?", "A.")} for n in range(5)]
    (tmp_path / "lost.json").write_text(json.dumps(rows))
    source = ill[0] | {"name": "lost", "annotations": str(tmp_path / "lost.json")}
    doctor(write_plan(tmp_path, [source]), tmp_path / "out")
    lines = (tmp_path / "out" / "table.txt").read_text().splitlines()
    at = lines.index("Would be rejected:")
    assert lines[at + 1] == "  lost: 5 x media_missing"
    assert [line.split()[:2] for line in lines[at + 2 : at + 5]] == [
        [f"lost/{n}", f"{n}.mp4"] for n in range(3)
    ]
    assert lines[at + 5] == ""
    page = (tmp_path / "out" / "doctor.html").read_text()
    assert all(f"{n}.mp4 is in none of" in page for n in range(3))


@here
def test_a_mistake_of_the_user_ends_with_exit_code_2_and_without_a_report(
    ill: Sources, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plan, out = write_plan(tmp_path, ill), tmp_path / "out"
    assert doctor(plan, out, "doctor.allow.media_mising=0") == 2
    assert "unknown finding media_mising. Did you mean media_missing?" in capsys.readouterr().err
    cut = tmp_path / "cut.json"
    cut.write_text('[{"video": ')
    assert doctor(plan, out, f"data.sources.0.annotations={cut}") == 2
    assert "cut.json: is not whole JSON" in capsys.readouterr().err
    assert not (out / "summary.json").exists()


@here
def test_a_report_is_complete_or_absent(
    ill: Sources, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan, out = write_plan(tmp_path, ill), tmp_path / "out"
    doctor(plan, out)
    monkeypatch.setattr("datasets_prep.doctor.write.text", lambda summary: 1 / 0)
    assert doctor(plan, out) == 1
    assert not (out / "summary.json").exists()


# ----------------------------------------------------------------------------------------------- plan


def test_settings_of_the_doctor_change_no_fingerprint(ill: Sources, tmp_path: Path) -> None:
    path = str(write_plan(tmp_path, ill))
    plain = load_plan(path)
    other = load_plan(path, ["doctor.tolerance=0.5", "doctor.allow.turns=1", "doctor.decode_frames=9"])
    assert plain.doctor != other.doctor
    assert fingerprints(steps(plain), {}) == fingerprints(steps(other), {})


def test_every_finding_has_a_text_and_is_in_the_guide() -> None:
    assert {str(reason) for reason in Reason} <= {str(finding) for finding in Finding}
    assert set(FINDING_TEXTS) == set(Finding)
    guide = (REPO / "docs" / "doctor.md").read_text()
    assert [f for f in Finding if f"`{f}`" not in guide] == []


def test_single_findings_may_have_their_own_tolerance() -> None:
    config = DoctorConfig.model_validate({"tolerance": 0.2, "allow": {"overlap_name": 0.1}})
    assert config.tolerance_of(Finding.TURNS) == 0.2
    assert config.tolerance_of(Finding.OVERLAP_CONTENT) == OWN_TOLERANCE[Finding.OVERLAP_CONTENT] == 0
    assert config.tolerance_of(Finding.OVERLAP_NAME) == 0.1
    with pytest.raises(ValueError, match="less than or equal to 1"):
        DoctorConfig.model_validate({"allow": {"turns": 5}})


# ------------------------------------------------------------------------------------------- command


def ufvideo(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("RAY_", "UFVIDEO_"))}
    environment = kept | {"PYTHONPATH": str(REPO), "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [sys.executable, "-m", "pipeline", *arguments],
        capture_output=True,
        text=True,
        cwd=cwd,
        env=environment,
        timeout=280,
    )


def test_missing_demo_corpora_are_an_error_that_names_the_command_to_write_them(plan_file: Path) -> None:
    done = ufvideo("doctor", str(plan_file), cwd=REPO)
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert f"ufvideo run {plan_file} --until corpora" in done.stderr
    assert done.stdout == ""


@pytest.mark.slow
def test_the_command_runs_as_a_ray_job(ill: Sources, tmp_path: Path) -> None:
    """The same findings, the table, the path of the report and exit code 1."""
    plan = write_plan(tmp_path, ill)
    done = ufvideo("doctor", str(plan), cwd=tmp_path)
    assert done.returncode == 1, done.stderr
    assert "checking records: " in done.stdout
    (out,) = (tmp_path / "store" / "doctor").iterdir()
    assert findings_of(out) == EXPECTED
    assert f"Findings: {out}/findings.parquet" in done.stdout
    assert f"Page:     {out}/doctor.html" in done.stdout
    assert f"then ufvideo doctor {plan}" in done.stdout
    assert (out / "table.txt").read_text().strip() in done.stdout


def test_a_relative_folder_for_the_report_is_refused_on_a_cluster(ill: Sources, tmp_path: Path) -> None:
    from pipeline.commands import doctor

    plan = load_plan(str(write_plan(tmp_path, ill)), ["ray.dashboard=http://127.0.0.1:9"])
    with pytest.raises(UserError, match="--out: here: is relative"):
        doctor.doctor(plan, "ill.yaml", "here")

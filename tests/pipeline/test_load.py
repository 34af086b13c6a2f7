"""Plan files: every mistake is one paragraph that names the place and the fix."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from pipeline.config.load import load_plan
from pipeline.errors import UserError
from pipeline.fingerprint import plain


def fails(path: Path | str, *sets: str) -> str:
    with pytest.raises(UserError) as error:
        load_plan(str(path), sets)
    text = str(error.value)
    assert "\n" not in text
    return text


def edit(path: Path, old: str, new: str) -> Path:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    return path


def test_a_plan_loads(plan_file: Path):
    plan = load_plan(str(plan_file))
    assert plan.stages[1].start_from == "stage1"
    assert plan.stages[0].accumulation == 2


def test_set_changes_typed_values(plan_file: Path):
    plan = load_plan(
        str(plan_file),
        [
            "seed=7",
            "stages.0.steps=30",
            "stages.1.optimizer.lr=2e-4",
            "evaluation=null",
            "stages.0.layout.use_gpu=false",
        ],
    )
    assert (plan.seed, plan.stages[0].steps, plan.stages[1].optimizer.lr) == (7, 30, 2e-4)
    assert plan.evaluation is None
    assert plan.stages[0].layout.use_gpu is False


def test_an_unknown_key_gets_line_and_suggestion(plan_file: Path):
    text = fails(edit(plan_file, "global_batch: 8", "global_bach: 8"))
    assert "tiny.yaml, line 21, stages.0.global_bach" in text
    assert "Did you mean global_batch?" in text
    assert "Also stages.0.global_batch: the key global_batch is missing" in text


@pytest.mark.parametrize(
    ("old", "new", "near"),
    [
        ("train_videos", "train_video", "train_videos"),
        ("format: mvbench", "formt: mvbench", "format"),
        ("micro_batch: 2", "microbatch: 2", "micro_batch"),
        ("evaluation:", "evaluations:", "evaluation"),
        ("family", "familly", "family"),
    ],
)
def test_suggestions_reach_every_depth(plan_file: Path, old: str, new: str, near: str):
    assert f"Did you mean {near}?" in fails(edit(plan_file, old, new))


def test_a_batch_that_does_not_divide_names_layouts_that_work(plan_file: Path):
    text = fails(edit(plan_file, "global_batch: 8", "global_batch: 10"))
    assert "global_batch 10 is not workers 2 x micro_batch 2" in text
    assert "1 x 5" in text
    assert "stages.0" in text


def test_set_changes_one_place_of_an_anchor(tmp_path: Path):
    demo = Path(__file__).resolve().parents[2] / "plans" / "demo.yaml"
    assert "layout: *" in demo.read_text()
    first, second = load_plan(str(demo), ["stages.1.layout.workers=1"]).stages
    assert (first.layout.workers, second.layout.workers) == (2, 1)
    (tmp_path / "circle.yaml").write_text("name: &a [*a]\n")
    with pytest.raises(UserError, match="contains itself"):
        load_plan(str(tmp_path / "circle.yaml"))


def test_a_bad_set(plan_file: Path):
    assert "is not of the form" in fails(plan_file, "seed")
    assert "no index" in fails(plan_file, "stages.2.steps=3")
    assert "no index" in fails(plan_file, "stages.first.steps=3")
    assert "single value" in fails(plan_file, "name.x=3")
    assert fails(plan_file, "sead=3").startswith("--set sead: unknown key sead. Did you mean seed?")
    assert fails(plan_file, "stages.0.global_batch=7").startswith("--set stages.0.global_batch")
    assert "no YAML value" in fails(plan_file, "seed=[1")


def test_a_doubled_key_is_refused(plan_file: Path):
    text = fails(edit(plan_file, "    steps: 4", "    steps: 4\n    steps: 5"))
    assert "the key steps stands here and on line 22" in text
    assert "line 23" in text


def test_files_that_are_no_plans(tmp_path: Path):
    assert "no such plan file" in fails(tmp_path / "none.yaml")
    assert "is a folder" in fails(tmp_path)
    (tmp_path / "x.yaml").write_text("a: [1\nb: 2")
    assert "line 2" in fails(tmp_path / "x.yaml")
    (tmp_path / "y.yaml").write_text("- 1")
    assert "no mapping" in fails(tmp_path / "y.yaml")
    (tmp_path / "z.yaml").write_bytes(b"\xff\xfe\x00")
    assert "UTF-8" in fails(tmp_path / "z.yaml")
    (tmp_path / "w.yaml").write_text("name: !!python/object/apply:os.system [ls]")
    assert "not valid YAML" in fails(tmp_path / "w.yaml")


def test_a_written_out_plan_loads_as_the_same(plan_file: Path, tmp_path: Path):
    plan = load_plan(str(plan_file), ["seed=9"])
    (tmp_path / "copy.yaml").write_text(yaml.safe_dump(plain(plan), sort_keys=False))
    assert load_plan(str(tmp_path / "copy.yaml")) == plan


def test_a_plan_extends_another(plan_file: Path):
    child = plan_file.with_name("child.yaml")
    child.write_text(
        f"extends: {plan_file.name}\nname: child\nray: {{num_cpus: 1}}\nstages: []\nevaluation: null\n"
    )
    plan, base = load_plan(str(child)), load_plan(str(plan_file))
    assert (plan.name, plan.ray.num_cpus, plan.stages) == ("child", 1, ())
    assert plan.data == base.data
    assert "child.yaml, line 2, nmae: unknown key" in fails(edit(child, "name: child", "nmae: child"))
    child.write_text("extends: missing.yaml\n")
    assert "missing.yaml: there is no such plan file" in fails(child)
    child.write_text("extends: child.yaml\n")
    assert "extends this plan in turn" in fails(child)

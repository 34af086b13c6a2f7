"""Plan files: every mistake is reported in one paragraph with the place and the fix."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from pipeline.artifacts.steps import steps
from pipeline.canonical import plain
from pipeline.commands.uneven import uneven_lines
from pipeline.errors import UserError
from pipeline.plan.load import load_plan, read_yaml


def error_of(path: Path | str, *sets: str) -> str:
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


def test_the_error_for_an_unknown_key_has_its_line_and_a_suggestion(plan_file: Path):
    text = error_of(edit(plan_file, "global_batch: 8", "global_bach: 8"))
    assert "tiny.yaml, line 21, stages.0.global_bach" in text
    assert "Did you mean global_batch?" in text
    assert "missing" not in text, "the misspelt key already explains it"


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
def test_keys_at_every_depth_get_a_suggestion(plan_file: Path, old: str, new: str, near: str):
    assert f"Did you mean {near}?" in error_of(edit(plan_file, old, new))


MISTAKES = """\
name: Bad plan
storage: {rot: x}
ray: {num_cpus: two, num_gpus: -1}
data:
  sources:
    - {name: talk, format: lava_video, annotations: "${corpora}/talk.json", media: /nowhere}
    - {name: choice, format: mvbench, use: benchmark, annotations: /nowhere/json, media: []}
model: {preset: tiny, weights: {language: 7}}
stages:
  - name: stage1
    global_bach: 8
    steps: 4.5
    mixture: {tlk: {}, choice: {}}
    train: [visoin]
    layout: {workers: 2, micro_batch: 2}
  - name: stage1
    start_from: stag1
    global_batch: 1
    layout: {workers: 2, micro_batch: 2, use_gpu: maybe}
evaluation:
  checkpoints: [init, stage3]
  benchmarks:
    - {source: chioce, family: mvbnch}
"""


def test_all_mistakes_are_reported_at_once_by_line_in_plain_words(tmp_path: Path):
    """Catches mistakes that are reported one at a time, and pydantic's own messages."""
    (tmp_path / "bad.yaml").write_text(MISTAKES)
    with pytest.raises(UserError) as error:
        load_plan(str(tmp_path / "bad.yaml"))
    head, *lines = str(error.value).splitlines()
    assert [line.strip() for line in lines] == [
        "line 1, name: 'Bad plan' has characters that are not allowed. Name of the run, on its report "
        "and in MLflow: lower-case letters, digits, _ and -.",
        "line 2, storage.rot: unknown key rot. Did you mean root?",
        "line 3, ray.num_cpus: 'two' is not a whole number.",
        "line 3, ray.num_gpus: -1 has to be at least 0.",
        "line 6, data.sources.0.format: unknown annotation format lava_video. Did you mean llava_video?",
        "line 6, data.sources.0.annotations: is in ${corpora}, but the plan has no demo section that would "
        "write it.",
        "line 7, data.sources.1.media: is empty.",
        "line 8, model.preset: 'tiny' is not a value of this key. Did you mean toy?",
        "line 8, model.weights.language: 7 is not text; quote it.",
        "line 11, stages.0.global_bach: unknown key global_bach. Did you mean global_batch?",
        "line 12, stages.0.steps: 4.5 is not a whole number.",
        "line 13, stages.0.mixture.tlk: tlk is not a training source of this plan. Did you mean talk?",
        "line 13, stages.0.mixture.choice: choice is a benchmark of this plan, and benchmarks are never "
        "trained on.",
        "line 14, stages.0.train.0: 'visoin' is not a value of this key. Did you mean vision?",
        "line 16, stages.1.name: the name stage1 is taken; give the stage another one.",
        "line 17, stages.1.start_from: stag1 is neither init nor a stage before this one. "
        "Did you mean stage1?",
        "line 19, stages.1.layout.use_gpu: 'maybe' is neither true nor false.",
        "line 21, evaluation.checkpoints.1: stage3 is neither init nor a stage of this plan. "
        "Did you mean stage1?",
        "line 23, evaluation.benchmarks.0.family: unknown benchmark family mvbnch. Did you mean mvbench?",
        "line 23, evaluation.benchmarks.0.source: chioce is not a source with use: benchmark. "
        "Did you mean choice?",
    ]
    assert head == f"{tmp_path}/bad.yaml: {len(lines)} problems:"


# Every value is valid by itself; each line below contradicts another part of the plan.
MISFITS = """\
name: misfits
storage: {root: /nowhere}
demo: {colours: 3, min_seconds: 9, max_seconds: 8}
data:
  sources:
    - name: talk
      format: llava_video
      annotations: ${corpora}/talk.json
      media: ["${corpora}/videos"]
      region_mode: single
      masks: /nowhere/masks
      question_templates: ["What is it?"]
    - {name: a/b, format: mvbench, use: benchmark, annotations: /a, media: /b}
    - {name: a__b, format: mvbench, use: benchmark, annotations: /a, media: /b}
model:
  preset: toy
  overrides: {attention: flash_attention_2}
stages:
  - name: stage1
    global_batch: 1
    train: [vision, vision]
    lora: {rank: 4}
    optimizer: {part_lr: {connector: 1.0e-4}}
    mixture: {talk: {weight: 1, repeat: 2}}
    layout:
      workers: 2
      micro_batch: 2
      compile: [language]
      use_gpu: false
evaluation:
  checkpoints: [init]
  benchmarks:
    - {source: a/b, family: mvbench, bare_times: seconds}
"""


def test_all_contradictions_of_a_plan_are_reported_at_once(tmp_path: Path):
    """Fails if a section stops at its first problem, or hides those of other sections."""
    (tmp_path / "bad.yaml").write_text(MISFITS)
    with pytest.raises(UserError) as error:
        load_plan(str(tmp_path / "bad.yaml"))
    found = [line.strip().split(": ", 1) for line in str(error.value).splitlines()[1:]]
    expected = [
        ("line 3, demo.colours", "colours=3 must exceed max_objects=3"),
        ("line 3, demo.max_seconds", "max_seconds=8.0 is below min_seconds=9.0."),
        ("line 10, data.sources.0.region_mode", "source talk: region_mode is for"),
        ("line 11, data.sources.0.masks", "source talk: masks is for"),
        ("line 12, data.sources.0.question_templates", "source talk: question_templates is for"),
        ("line 14, data.sources.2.name", "sources a/b and a__b would both write data/a__b-00000.parquet"),
        ("line 19, stages.0", "global_batch 1 is less than workers 2"),
        ("line 19, stages.0", "give either epochs or steps."),
        ("line 21, stages.0.train", "train names vision twice."),
        ("line 22, stages.0.lora", "lora is set, but train leaves language out"),
        ("line 23, stages.0.optimizer.part_lr.connector", "optimizer.part_lr has a rate for connector"),
        ("line 24, stages.0.mixture.talk", "mixture entry talk has both repeat and weight; keep one."),
        ("line 28, stages.0.layout.compile", "compile language is not offered"),
        ("line 29, stages.0.layout.use_gpu", "model.overrides.attention is flash_attention_2, which needs"),
        ("line 33, evaluation.benchmarks.0", "benchmark a/b: mvbench asks for no time"),
    ]
    assert [where for where, _ in found] == [where for where, _ in expected]
    assert all(what.startswith(begins) for (_, what), (_, begins) in zip(found, expected, strict=True))


def test_contradictions_are_reported_together_with_invalid_values(tmp_path: Path):
    """An invalid value hides only contradictions of the sections that contain it."""
    (tmp_path / "bad.yaml").write_text(MISFITS.replace("max_seconds: 8", "max_seconds: eight"))
    with pytest.raises(UserError) as error:
        load_plan(str(tmp_path / "bad.yaml"))
    text = str(error.value)
    assert "line 3, demo.max_seconds: 'eight' is not a number." in text
    assert "region_mode is for" in text
    assert "compile language is not offered" in text
    assert "asks for no time" in text


def test_a_mistake_in_an_extended_plan_is_reported_in_its_own_file(plan_file: Path, tmp_path: Path):
    (tmp_path / "mine.yaml").write_text(f"extends: {plan_file.name}\nname: mine\nseed: x\n")
    edit(plan_file, "steps: 4", "steps: four")
    with pytest.raises(UserError) as error:
        load_plan(str(tmp_path / "mine.yaml"))
    assert "line 3, seed: 'x' is not a whole number." in str(error.value)
    assert f"{plan_file}, line 22, stages.0.steps: 'four' is not a whole number." in str(error.value)


def test_media_may_be_a_single_folder_without_a_list(plan_file: Path):
    one, several = (
        load_plan(str(plan_file), [f"data.sources.0.media={given}"]) for given in ("/videos", "[/videos]")
    )
    assert one == several


def test_a_plan_that_neither_trains_nor_scores_init_needs_no_model(plan_file: Path):
    edit(plan_file, "model: {preset: toy}\n", "")
    assert "the key model is missing, and the plan trains" in error_of(plan_file)
    assert "the key model is missing, and the plan scores init" in error_of(
        plan_file, "stages=[]", "evaluation.checkpoints=[init]"
    )
    prepares = load_plan(str(plan_file), ["stages=[]", "evaluation=null", "data.bake={frames: 5}"])
    assert [s.name for s in steps(prepares)] == ["corpora", "prepare"]
    scores = load_plan(str(plan_file), ["stages=[]", "evaluation.checkpoints=[/made/stage2]"])
    assert [s.kind for s in steps(scores)] == ["corpora", "prepare", "evaluate", "report"]


def test_mistakes_in_overrides_are_reported_at_their_own_keys(plan_file: Path):
    """Catches a mistake in an override that is reported for the whole section, or without a key."""
    edit(
        plan_file, "model: {preset: toy}", "model:\n  preset: toy\n  overrides:\n    vison: {hidden_size: 8}"
    )
    assert "line 21, model.overrides.vison: unknown key vison. Did you mean vision?" in error_of(plan_file)
    edit(plan_file, "vison: {hidden", "vision: {hiden")
    text = error_of(plan_file)
    assert (
        "line 21, model.overrides.vision.hiden_size: unknown key hiden_size. Did you mean hidden_size?"
        in text
    )
    assert "model.overrides.language.num_attention_heads" in error_of(
        edit(plan_file, "vision: {hiden_size: 8}", "language: {num_attention_heads: 0}")
    )


def test_a_batch_that_is_not_divided_evenly_is_told_with_layouts_that_are(plan_file: Path):
    plan = load_plan(str(edit(plan_file, "global_batch: 8", "global_batch: 10")))
    (line,) = uneven_lines(plan)
    assert "global_batch 10 is not workers 2 x micro_batch 2 x a whole number" in line
    assert "5 samples in 3 passes" in line
    assert "micro_batch 1, 5" in line
    (line,) = uneven_lines(
        load_plan(str(plan_file), ["stages.0.layout.workers=3", "stages.0.global_batch=10"])
    )
    assert "has 3 or 4 samples" in line
    assert "workers 1, 2, 5, 10" in line


def test_a_batch_that_is_smaller_than_its_workers_is_refused(plan_file: Path):
    text = error_of(plan_file, "stages.0.layout.workers=9")
    assert "global_batch 8 is less than workers 9" in text
    assert "stages.0" in text
    text = error_of(plan_file, "stages.0.layout.min_workers=3")
    assert "min_workers 3 is more than workers 2" in text


def test_set_changes_only_one_use_of_an_anchor(tmp_path: Path):
    demo = Path(__file__).resolve().parents[2] / "plans" / "demo.yaml"
    assert "layout: *" in demo.read_text()
    first, second = load_plan(str(demo), ["stages.1.layout.workers=1"]).stages
    assert (first.layout.workers, second.layout.workers) == (2, 1)
    (tmp_path / "circle.yaml").write_text("name: &a [*a]\n")
    with pytest.raises(UserError, match="contains itself"):
        load_plan(str(tmp_path / "circle.yaml"))


def test_the_error_for_an_invalid_set_names_its_key(plan_file: Path):
    assert "is not of the form" in error_of(plan_file, "seed")
    assert "not an index" in error_of(plan_file, "stages.2.steps=3")
    assert "not an index" in error_of(plan_file, "stages.first.steps=3")
    assert "single value" in error_of(plan_file, "name.x=3")
    assert error_of(plan_file, "sead=3").startswith("--set sead: unknown key sead. Did you mean seed?")
    assert error_of(plan_file, "stages.0.global_batch=1").startswith("--set stages.0.global_batch")
    assert "not a YAML value" in error_of(plan_file, "seed=[1")


def test_a_key_that_occurs_twice_is_refused(plan_file: Path):
    text = error_of(edit(plan_file, "    steps: 4", "    steps: 4\n    steps: 5"))
    assert "the key steps is here and on line 22" in text
    assert "line 23" in text


def test_merge_keys_may_be_overridden_and_their_errors_have_lines(plan_file: Path, tmp_path: Path):
    layout = "    layout: {workers: 2, micro_batch: 2, cpus_per_worker: 1}\n"
    text = plan_file.read_text()
    assert text.count(layout) == 2
    text = text.replace(layout, layout.replace(": {", ": &two {"), 1)
    plan_file.write_text(text.replace(layout, "    layout: {<<: *two, micro_batch: 4}\n"))
    first, second = load_plan(str(plan_file), ["stages.0.layout.workers=1"]).stages
    assert (first.layout.workers, first.layout.micro_batch) == (1, 2)
    assert (second.layout.workers, second.layout.micro_batch) == (2, 4)
    # A key that merges override is not a duplicate; one that is written twice is, also next to a merge.
    path = tmp_path / "chain.yaml"
    path.write_text("a: &a {x: 1, y: 1}\nb: &b {<<: *a, x: 2}\nc: {<<: *b, x: 3}\n")
    data, _ = read_yaml(path.read_text(), "chain.yaml")
    assert data == {"a": {"x": 1, "y": 1}, "b": {"x": 2, "y": 1}, "c": {"x": 3, "y": 1}}
    path.write_text("a: &a {x: 1}\nb:\n  <<: *a\n  x: 2\n  x: 3\n")
    assert "line 5: the key x is here and on line 4" in error_of(path)
    path.write_text("a: &a {x: 1}\nb:\n  <<: *a\n  <<: *a\n")
    assert "line 4: the key << is here and on line 3" in error_of(path)
    path.write_text("a: 1\nb:\n  <<: 5\n")
    assert "line 3: is not valid YAML: expected a mapping" in error_of(path)


@pytest.mark.parametrize("key", ["{{ x }}", "{ x: 1, ? [1, 2] : 3 }"])
def test_a_mapping_or_list_as_a_key_is_refused(plan_file: Path, key: str):
    root = next(line for line in plan_file.read_text().splitlines() if "root:" in line)
    text = error_of(edit(plan_file, root, f"  root: {key}"))
    assert "tiny.yaml, line 3: a mapping or a list is where a key belongs" in text


@pytest.mark.parametrize(
    "item",
    [
        "tracking.uri=https://me:hush@host",
        "tracking=postgresql://me:hu@sh@host/db",
        "ray.dashboard=http://me:hush@host:8265",
        "ray.address=ray://me:hush@host:10001",
        "tracking=https://me:hush@host",
        "name.x=https://me:hush@host",
        "ray.num_cpus=https://me:hush@host",
    ],
)
def test_a_password_is_refused_and_not_repeated(plan_file: Path, item: str):
    text = error_of(edit(plan_file, "name: tiny", "name: tiny\ntracking: {uri: null}"), item)
    assert text.startswith(f"--set {item.partition('=')[0]}")
    assert "hu" not in text.replace("should", "")
    assert "sh@" not in text


def test_the_error_for_a_password_names_the_environment_variables(plan_file: Path):
    text = error_of(plan_file, "tracking.uri=https://me:hush@host")
    assert "holds credentials" in text
    assert "MLFLOW_TRACKING_PASSWORD" in text
    assert "RAY_AUTH_TOKEN" in error_of(plan_file, "ray.dashboard=http://me:hush@host")
    in_file = error_of(edit(plan_file, "name: tiny", "name: tiny\ntracking: {uri: 'http://me:hush@host'}"))
    assert "line 2, tracking.uri: holds credentials" in in_file
    assert "hush" not in in_file
    load_plan(str(edit(plan_file, "http://me:hush@host", "http://host/a@b")))


def test_a_file_that_is_not_a_plan_is_an_error(tmp_path: Path):
    assert "no such plan file" in error_of(tmp_path / "none.yaml")
    assert "is a folder" in error_of(tmp_path)
    (tmp_path / "x.yaml").write_text("a: [1\nb: 2")
    assert "line 2" in error_of(tmp_path / "x.yaml")
    (tmp_path / "y.yaml").write_text("- 1")
    assert "not hold a mapping" in error_of(tmp_path / "y.yaml")
    (tmp_path / "z.yaml").write_bytes(b"\xff\xfe\x00")
    assert "UTF-8" in error_of(tmp_path / "z.yaml")
    (tmp_path / "w.yaml").write_text("name: !!python/object/apply:os.system [ls]")
    assert "not valid YAML" in error_of(tmp_path / "w.yaml")


def test_a_plan_that_is_written_out_loads_as_the_same_plan(plan_file: Path, tmp_path: Path):
    plan = load_plan(str(plan_file), ["seed=9"])
    (tmp_path / "copy.yaml").write_text(yaml.safe_dump(plain(plan), sort_keys=False))
    assert load_plan(str(tmp_path / "copy.yaml")) == plan


def test_a_plan_may_extend_another_and_errors_name_the_right_file(plan_file: Path):
    child = plan_file.with_name("child.yaml")
    child.write_text(
        f"extends: {plan_file.name}\nname: child\nray: {{num_cpus: 1}}\nstages: []\nevaluation: null\n"
    )
    plan, base = load_plan(str(child)), load_plan(str(plan_file))
    assert (plan.name, plan.ray.num_cpus, plan.stages) == ("child", 1, ())
    assert plan.data == base.data
    assert "child.yaml, line 2, nmae: unknown key" in error_of(edit(child, "name: child", "nmae: child"))
    child.write_text("extends: missing.yaml\n")
    assert "missing.yaml: there is no such plan file" in error_of(child)
    child.write_text("extends: child.yaml\n")
    assert "extends this plan in turn" in error_of(child)


ENTRIES = """\
name: entries
storage: {root: x}
data:
  sources:
    - {name: when, format: charades_sta, use: benchmark, annotations: /nowhere/test.txt, media: /nowhere}
evaluation:
  checkpoints: [/nowhere/checkpoint]
  benchmarks:
    - {source: when, family: charades_sta}
    - {source: when, family: mvbench, name: asked as MVBench}
    - {source: when, family: charades_sta}
    - {source: when, family: charades_sta, name: cut, outside_times: clamp}
    - {source: when, family: charades_sta, name: cut}
"""


def test_entries_of_the_same_name_and_families_of_another_task_are_reported(tmp_path: Path):
    """Catches two entries that are scored together, and Charades-STA that scores 0.0 as MVBench."""
    (tmp_path / "bad.yaml").write_text(ENTRIES)
    with pytest.raises(UserError) as error:
        load_plan(str(tmp_path / "bad.yaml"))
    assert [line.strip() for line in str(error.value).splitlines()[1:]] == [
        "line 10, evaluation.benchmarks.1.name: 'asked as MVBench' has characters that are not allowed. Name "
        "of the entry in tables and in MLflow; null: that of its source. Two entries on one source need "
        "names.",
        "line 10, evaluation.benchmarks.1.family: mvbench scores samples of task choice; when has the format "
        "charades_sta, whose samples are of task temporal.",
        "line 11, evaluation.benchmarks.2.source: another entry is called when; give this one a name of its "
        "own.",
        "line 13, evaluation.benchmarks.4.name: another entry is called cut; give this one a name of its "
        "own.",
    ]
    lines = ENTRIES.splitlines()
    (tmp_path / "good.yaml").write_text("\n".join([*lines[:9], lines[11]]))
    plan = load_plan(str(tmp_path / "good.yaml"))
    assert plan.evaluation is not None
    assert [b.entry for b in plan.evaluation.benchmarks] == ["when", "cut"]

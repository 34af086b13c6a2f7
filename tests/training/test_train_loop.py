"""One worker without Ray: exact resuming, the same weights for every micro-batch, replaced bad samples."""

from __future__ import annotations

import dataclasses
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from tiny_corpus import stage, write_dataset

from pipeline.artifacts.checkpoint import start_config
from pipeline.errors import StorageError, UserError
from pipeline.plan.model import ModelConfig
from pipeline.plan.presets import model_config
from pipeline.plan.training import MixtureEntry, StageConfig
from pipeline.storage.location import Location
from training.data.dataset import Dataset
from training.engine import prepare_process
from training.loop.reporter import LocalReporter
from training.loop.train import Job, train
from training.model.ufvideo import UFVideo
from training.model.weights.checkpoints import load_model


def job(
    prepared: Location, start: Location, out: Path, config: StageConfig, model: ModelConfig | None = None
) -> Job:
    model = start_config(start, model or model_config("toy"), "one")
    return Job(stage=config, model=model, seed=7, data=prepared, start=start, out=Location.parse(out))


def weights(out: Path) -> dict[str, torch.Tensor]:
    from safetensors.torch import load_file

    return {
        k: v for file in sorted((out / "model").glob("*.safetensors")) for k, v in load_file(file).items()
    }


def test_a_resumed_run_is_bit_identical_to_an_uninterrupted_one(
    prepared: Location, start: Location, tmp_path: Path
) -> None:
    config = stage(steps=4, layout={"save_every": 2})
    whole = LocalReporter(tmp_path / "whole")
    done = train(job(prepared, start, tmp_path / "a", config), whole)
    first, second = LocalReporter(tmp_path / "parts"), LocalReporter(tmp_path / "parts")
    train(job(prepared, start, tmp_path / "b", config), first, stop_at=3)
    again = train(job(prepared, start, tmp_path / "b", config), second)
    assert again.resumed_at == 2
    assert sorted(second.rows) == [2, 3]
    for step in (2, 3):
        assert second.rows[step]["loss/total"] == whole.rows[step]["loss/total"]
    assert again.digest == done.digest
    assert whole.rows[0]["loss/total"] > 0
    assert whole.rows[0]["lr"] == 0
    assert whole.rows[1]["lr"] == 1e-3


def truncate(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-3])


def flip_a_bit(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


@pytest.mark.parametrize(
    ("spoil", "problem"),
    [
        (truncate, "bytes"),
        (flip_a_bit, "does not have the content that was written"),
        (Path.unlink, "is missing"),
    ],
)
def test_a_damaged_state_is_passed_over_and_the_one_before_resumed(
    prepared: Location,
    start: Location,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    spoil: Callable[[Path], None],
    problem: str,
) -> None:
    config = stage(steps=4, layout={"save_every": 1})
    done = train(job(prepared, start, tmp_path / "a", config), LocalReporter(tmp_path / "whole"))
    train(job(prepared, start, tmp_path / "b", config), LocalReporter(tmp_path / "parts"), stop_at=3)
    spoil(next((tmp_path / "parts/step-00000003").rglob("*optim_states.pt")))
    again = train(job(prepared, start, tmp_path / "b", config), LocalReporter(tmp_path / "parts"))
    assert again.resumed_at == 2
    assert again.digest == done.digest
    said = capsys.readouterr().out
    assert "state step-00000003 is damaged: " in said
    assert problem in said
    assert "going on from step-00000002" in said


def test_a_stage_without_a_whole_state_begins_again(
    prepared: Location, start: Location, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = stage(steps=3, layout={"save_every": 2})
    train(job(prepared, start, tmp_path / "b", config), LocalReporter(tmp_path / "parts"), stop_at=2)
    truncate(tmp_path / "parts/step-00000002/digests-0.json")
    again = train(job(prepared, start, tmp_path / "b", config), LocalReporter(tmp_path / "parts"))
    assert again.resumed_at == 0
    assert "digests-0.json is not readable; no older state is whole" in capsys.readouterr().out


def test_gradient_accumulation_gives_the_same_weights(
    prepared: Location, start: Location, tmp_path: Path
) -> None:
    # Of one source, so that every pass has as many masks and answer tokens: the published mean of means is
    # then the mean over the batch.
    entries = {"seg": MixtureEntry()}
    for name, micro in (("a", 4), ("b", 2)):
        config = stage(steps=2, mixture=entries, layout={"micro_batch": micro, "save_every": 100})
        train(job(prepared, start, tmp_path / name, config), LocalReporter(tmp_path / f"s{name}"))
    one, two, before = weights(tmp_path / "a"), weights(tmp_path / "b"), weights(start.local_path)
    # By norm, not by the largest weight: Adam's first steps follow the sign of a gradient, and where the
    # gradient is only rounding error its sign depends on the processor.
    moved = sum(float((one[k] - before[k]).square().sum()) for k in one) ** 0.5
    difference = sum(float((one[k] - two[k]).square().sum()) for k in one) ** 0.5
    assert moved > 0.05
    assert difference < 1e-3 * moved


def test_frozen_parts_stay_unchanged(prepared: Location, start: Location, tmp_path: Path) -> None:
    config = stage(steps=2, train=("connector", "seg_head"), layout={"save_every": 100})
    train(job(prepared, start, tmp_path / "a", config), LocalReporter(tmp_path / "s"))
    before, after = weights(start.local_path), weights(tmp_path / "a")
    changed = {
        k.split(".")[0] + "." + k.split(".")[1] for k in before if not torch.equal(before[k], after[k])
    }
    assert {k.split(".")[0] for k in changed} == {"connector", "segmentation"}
    assert all(k.startswith("connector") or k == "segmentation.head" for k in changed)


def test_a_broken_video_has_a_fixed_substitute_and_is_reported(start: Location, tmp_path: Path) -> None:
    data = write_dataset(tmp_path / "data", broken=(2,))
    config = stage(steps=2, global_batch=8, mixture={"qa": MixtureEntry()}, layout={"micro_batch": 8})
    quarantined = []
    for name in ("a", "b"):
        reporter = LocalReporter(tmp_path / name)
        train(job(data, start, tmp_path / f"out-{name}", config), reporter)
        quarantined.append(reporter.quarantined)
        assert [row["quarantined"] for row in reporter.rows.values()] == [1, 1], "each step sees every video"
    assert quarantined[0] == quarantined[1]
    assert {n["key"] for n in quarantined[0]} == {"qa/2"}
    assert all(n["substitute"] != "qa/2" and n["substitute"].startswith("qa/") for n in quarantined[0])
    assert "VideoError" in quarantined[0][0]["reason"]


def test_a_source_without_media_stops_the_run(start: Location, tmp_path: Path) -> None:
    data = write_dataset(tmp_path / "data")
    shutil.rmtree(tmp_path / "data" / "media")
    config = stage(layout={"read_retry_s": 1})
    with pytest.raises(StorageError, match=r"media/v.\.mp4: could not be read for sample .*is gone since"):
        train(job(data, start, tmp_path / "out", config), LocalReporter(tmp_path / "s"))


def test_a_checkpoint_of_another_size_is_refused(prepared: Location, start: Location, tmp_path: Path) -> None:
    other = model_config("toy", {"language": {"hidden_size": 256}})
    with pytest.raises(UserError, match=r"another size: language.hidden_size is 128, the plan says 256"):
        job(prepared, start, tmp_path, stage(), other)
    with pytest.raises(UserError, match="holds no model"):
        job(prepared, Location.parse(tmp_path), tmp_path, stage())


def test_flash_attention_by_name_is_refused_where_the_stage_cannot_run_it(
    prepared: Location, start: Location, tmp_path: Path
) -> None:
    """Fails if a stage trains with another attention than its plan names, or refuses only after loading."""
    model = model_config("toy", {"attention": "flash_attention_2"})
    flash_job = job(prepared, start, tmp_path / "a", stage(), model)
    with pytest.raises(UserError, match=r"model\.overrides\.attention: flash_attention_2 cannot run here"):
        train(dataclasses.replace(flash_job, data=Location.parse(tmp_path)), LocalReporter(tmp_path / "s"))


@pytest.mark.parametrize(("precision", "dtype"), [("fp32", torch.float32), ("bf16", torch.bfloat16)])
def test_attention_is_set_for_the_stage_s_device_and_precision(
    prepared: Location, start: Location, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, precision, dtype
) -> None:
    """Fails if the model keeps the attention it was built with, or if flash attention is chosen for fp32."""
    real, seen = UFVideo.set_attention, []

    def record(model: UFVideo, device: torch.device, *rest: torch.dtype) -> str:
        seen.append((device.type, *rest))
        return real(model, device, *rest)

    monkeypatch.setattr(UFVideo, "set_attention", record)
    config = stage(layout={"precision": precision})
    train(job(prepared, start, tmp_path / "a", config), LocalReporter(tmp_path / "s"), stop_at=0)
    assert seen == [("cpu", dtype)]


def test_position_tables_stay_in_fp32_in_a_bf16_stage(
    prepared: Location, start: Location, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches a cast of buffers with the parameters. Rotary frequencies in bf16 put token 3,000 radians away
    from where inference, in fp32, has it; and SAM 2's matrix of positions would be saved rounded."""
    real, seen = UFVideo.set_attention, []
    monkeypatch.setattr(
        UFVideo, "set_attention", lambda model, *rest: seen.append(model) or real(model, *rest)
    )
    config = stage(steps=1, layout={"precision": "bf16"})
    train(job(prepared, start, tmp_path / "a", config), LocalReporter(tmp_path / "s"))
    (model,) = seen
    assert {p.dtype for p in model.parameters()} == {torch.bfloat16}
    tables = {name: t for name, t in model.named_buffers() if t.is_floating_point()}
    assert len(tables) > 3
    first = dict(load_model((start / "model").local_path).named_buffers())
    for name, table in tables.items():
        assert table.dtype == torch.float32, name
        assert torch.equal(table, first[name]), name
    stored = weights(tmp_path / "a")
    name = "segmentation.sam.shared_image_embedding.positional_embedding"
    assert torch.equal(stored[name], first[name])


def test_the_text_loss_halves_in_twelve_steps(prepared: Location, start: Location, tmp_path: Path) -> None:
    config = stage(steps=12, global_batch=8, layout={"micro_batch": 8, "save_every": 100})
    reporter = LocalReporter(tmp_path / "s")
    train(job(prepared, start, tmp_path / "a", config), reporter)
    losses = [reporter.rows[s]["loss/text"] for s in range(12)]
    assert losses[-1] < 0.5 * losses[0]


@pytest.mark.slow
def test_an_fp32_stage_starts_in_fp32_from_a_bf16_checkpoint(
    prepared: Location, start: Location, tmp_path: Path
) -> None:
    short = {"steps": 2, "mixture": {"seg": MixtureEntry(), "refer": MixtureEntry()}}
    half = stage(**short, layout={"precision": "bf16", "save_every": 1})
    reporter = LocalReporter(tmp_path / "half")
    train(job(prepared, start, tmp_path / "a", half), reporter)
    assert sorted(reporter.rows) == [0, 1]
    assert {t.dtype for n, t in weights(tmp_path / "a").items() if n.startswith("language.")} == {
        torch.bfloat16
    }
    middle = Location.parse(tmp_path / "a")
    train(job(prepared, middle, tmp_path / "b", stage(**short)), LocalReporter(tmp_path / "full"))
    after = weights(tmp_path / "b")
    assert {t.dtype for t in after.values()} == {torch.float32}
    before = weights(tmp_path / "a")
    assert any(not torch.equal(after[n], before[n].float()) for n in after)


def test_a_substitute_is_among_the_samples_under_the_cap(
    prepared: Location, start: Location, tmp_path: Path
) -> None:
    entries = {"qa": MixtureEntry(cap=3)}
    config = stage(steps=3, mixture=entries, layout={"save_every": 100})
    used = Dataset.open(prepared).order(config, 7).mixture.used(0).tolist()
    assert len(used) == 3
    data = write_dataset(tmp_path / "data", broken=used[:1])
    reporter = LocalReporter(tmp_path / "s")
    train(job(data, start, tmp_path / "out", config), reporter)
    assert {n["key"] for n in reporter.quarantined} == {f"qa/{used[0]}"}
    assert {n["substitute"] for n in reporter.quarantined} <= {f"qa/{row}" for row in used[1:]}


def test_a_source_without_samples_is_refused_and_its_rejects_named(tmp_path: Path) -> None:
    dataset = Dataset.open(write_dataset(tmp_path, empty=("refer", "seg")))
    with pytest.raises(UserError, match=r"takes refer, seg, of which .* no sample.*rejects.pq says why"):
        dataset.order(stage(), 7)
    with pytest.raises(UserError, match=r"takes seg, of which"):
        dataset.order(stage(mixture={"seg": MixtureEntry(), "qa": MixtureEntry()}), 7)
    assert dataset.order(stage(mixture={"qa": MixtureEntry()}), 7).epoch_size == 8


def test_deepspeed_uses_the_stage_s_accelerator_not_the_parent_process_s(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fast = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    for parent, use_gpu, expected in (("cpu", True, "cuda"), ("cuda", False, "cpu")):
        monkeypatch.setenv("DS_ACCELERATOR", parent)
        prepare_process(use_gpu=use_gpu, threads=None)
        assert os.environ["DS_ACCELERATOR"] == expected
    torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = fast


def test_parts_that_a_pass_does_not_use_stay_unchanged(
    prepared: Location, start: Location, tmp_path: Path
) -> None:
    """Whole steps without regions and masks, then passes with and without them in one step."""
    before = weights(start.local_path)
    parts = ("regions", "seg_head")
    for name, sources, moved in (("a", ("qa",), set()), ("b", ("qa", "refer", "seg"), set(parts))):
        config = stage(
            steps=4,
            train=parts,
            mixture={s: MixtureEntry() for s in sources},
            layout={"micro_batch": 1, "save_every": 100},
        )
        reporter = LocalReporter(tmp_path / f"s{name}")
        train(job(prepared, start, tmp_path / name, config), reporter)
        after = weights(tmp_path / name)
        changed = {k.split(".mlp")[0].split(".0")[0] for k in after if not torch.equal(before[k], after[k])}
        assert {
            "seg_head" if k.startswith("segmentation.head") else k.split(".")[0] for k in changed
        } == moved
        assert all(row["loss/total"] > 0 for row in reporter.rows.values())

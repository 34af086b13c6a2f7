"""One worker without Ray: exact resuming, the same weights however the batch is cut, bad samples replaced."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from tiny_corpus import stage, write_dataset

from pipeline.checkpoint import start_config
from pipeline.config.model import ModelConfig, model_config
from pipeline.config.training import MixtureEntry, StageConfig
from pipeline.errors import UserError
from pipeline.storage import Location
from training.loop import Job, train
from training.reporter import LocalReporter


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


def test_a_stopped_run_goes_on_exactly(prepared: Location, start: Location, tmp_path: Path) -> None:
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


def test_accumulation_gives_the_same_weights(prepared: Location, start: Location, tmp_path: Path) -> None:
    # Of one source, so that every pass has as many masks and answer tokens: the published mean of means is
    # then the mean over the batch.
    entries = {"seg": MixtureEntry()}
    for name, micro in (("a", 4), ("b", 2)):
        config = stage(steps=2, mixture=entries, layout={"micro_batch": micro, "save_every": 100})
        train(job(prepared, start, tmp_path / name, config), LocalReporter(tmp_path / f"s{name}"))
    one, two, before = weights(tmp_path / "a"), weights(tmp_path / "b"), weights(start.local_path)
    moved = max(float((one[k] - before[k]).abs().max()) for k in one)
    apart = max(float((one[k] - two[k]).abs().max()) for k in one)
    assert moved > 5e-4
    assert apart < 0.05 * moved


def test_frozen_parts_stay(prepared: Location, start: Location, tmp_path: Path) -> None:
    config = stage(steps=2, train=("connector", "seg_head"), layout={"save_every": 100})
    train(job(prepared, start, tmp_path / "a", config), LocalReporter(tmp_path / "s"))
    before, after = weights(start.local_path), weights(tmp_path / "a")
    changed = {
        k.split(".")[0] + "." + k.split(".")[1] for k in before if not torch.equal(before[k], after[k])
    }
    assert {k.split(".")[0] for k in changed} == {"connector", "segmentation"}
    assert all(k.startswith("connector") or k == "segmentation.head" for k in changed)


def test_a_broken_video_is_replaced_by_name_and_noted(start: Location, tmp_path: Path) -> None:
    data = write_dataset(tmp_path / "data", broken=(2,))
    config = stage(steps=4, global_batch=8, mixture={"qa": MixtureEntry()}, layout={"micro_batch": 8})
    notes = []
    for name in ("a", "b"):
        reporter = LocalReporter(tmp_path / name)
        train(job(data, start, tmp_path / f"out-{name}", config), reporter)
        notes.append(reporter.notes)
        assert sum(r["quarantined"] for r in reporter.rows.values()) == 4
    assert notes[0] == notes[1]
    assert {n["key"] for n in notes[0]} == {"qa/2"}
    assert all(n["substitute"] != "qa/2" and n["substitute"].startswith("qa/") for n in notes[0])
    assert "VideoError" in notes[0][0]["reason"]


def test_a_source_without_media_stops_the_run(start: Location, tmp_path: Path) -> None:
    data = write_dataset(tmp_path / "data")
    shutil.rmtree(tmp_path / "data" / "media")
    with pytest.raises(UserError, match="9 samples in a row"):
        train(job(data, start, tmp_path / "out", stage()), LocalReporter(tmp_path / "s"))


def test_a_checkpoint_of_another_size_is_refused(prepared: Location, start: Location, tmp_path: Path) -> None:
    other = model_config("toy", {"language": {"hidden_size": 256}})
    with pytest.raises(UserError, match=r"another size: language.hidden_size is 128, the plan says 256"):
        job(prepared, start, tmp_path, stage(), other)
    with pytest.raises(UserError, match="holds no model"):
        job(prepared, Location.parse(tmp_path), tmp_path, stage())


def test_the_loss_falls(prepared: Location, start: Location, tmp_path: Path) -> None:
    config = stage(steps=12, global_batch=8, layout={"micro_batch": 8, "save_every": 100})
    reporter = LocalReporter(tmp_path / "s")
    train(job(prepared, start, tmp_path / "a", config), reporter)
    losses = [reporter.rows[s]["loss/text"] for s in range(12)]
    assert losses[-1] < 0.5 * losses[0]

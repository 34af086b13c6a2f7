"""A checkpoint whose plan named flash attention, on a machine without a GPU."""

from __future__ import annotations

import json
from pathlib import Path

from answering_checkpoint import predictor
from tiny_bench import write_checkpoint, write_dataset

from evaluation.preparing import Request
from pipeline.dataset.reader import ShardReader
from pipeline.storage.location import Location
from training.export import export


def test_a_checkpoint_of_flash_attention_answers_and_is_exported_on_a_cpu(tmp_path: Path) -> None:
    """Fails if the attention that a plan requires for training is required for using its weights too."""
    folder = tmp_path / "checkpoint"
    write_checkpoint(folder)
    reader = ShardReader(write_dataset(tmp_path))
    sample = reader.sample("bench/mvbench", 0)
    request = Request(sample=sample, turns=sample.turns[:1])
    (expected,) = predictor(folder, reader.footage(sample)).predict([request])
    saved = json.loads((folder / "model/config.json").read_text())
    saved["model"]["attention"] = "flash_attention_2"
    (folder / "model/config.json").write_text(json.dumps(saved))
    (actual,) = predictor(folder, reader.footage(sample)).predict([request])
    assert actual.failure is None
    assert actual.text == expected.text
    export(Location.parse(folder), tmp_path / "out")
    assert (tmp_path / "out/config.json").exists()

"""The text of a plan for one's own data, as ``ufvideo new`` writes it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

TRAIN: Final = (0.0, 0.8)
HELD_OUT: Final = (0.8, 1.0)

SCORED: Final[Mapping[str, str]] = {
    "choice": "family: mvbench, style: llava_video",
    "temporal": "family: charades_sta, style: prepared",
    "segment": "family: mevis, style: prepared",
    "cooperative": "family: ufvideo_bench, style: prepared",
}
"""Tasks whose answers are scored without a judge, and how."""

_HEAD = """\
# A plan for your own data (docs/own-data.md). Every key is explained in docs/plan-reference.md.
#     ufvideo check {plan}
#     ufvideo run {plan}
name: own
seed: {seed}  # decides among others which videos are held out

storage:
  root: {runs}  # a folder, or s3://bucket/prefix

data:
  sources:
    - name: own
      format: jsonl
      annotations: &records {records}  # JSON, JSON lines (also .gz) or Parquet
      media: &videos [{videos}]
      {masks}  # the folder from which paths of PNG masks count
      {columns}  # if fields have other names in your file
"""
_DIVIDED = """\
      # Four fifths of the videos are for training, the others only for scores.
      select: {{videos: [{train[0]:g}, {train[1]:g}]}}
"""
_HELD_OUT = """\
    - name: held_out/{task}
      format: jsonl
      use: benchmark
      annotations: *records
      media: *videos
      {masks}
      {columns}
      keep_types: [{task}]
      select: {{videos: [{share[0]:g}, {share[1]:g}]}}
"""
_REAL = """
model:
  preset: 7b
  tokenizer: {path: "hf://Hevven/UFVideo-7B"}
  weights:
    bf16: true
    whole: "hf://Hevven/UFVideo-7B"
    # If `init` says that a part is missing from these weights, name where it is:
    # vision: "hf://google/siglip-so400m-patch14-384"
    # sam2: "hf://facebook/sam2-hiera-large"

# For one GPU; how much memory it needs has not been measured yet. Fewer frames (model.overrides.num_frames)
# or fewer parts in train need less.
stages:
  - name: finetune
    global_batch: 16  # workers x micro_batch x accumulation
    epochs: 3
    train: [connector, regions, language, seg_head, sam_decoder]
    lora: {rank: 16, alpha: 32, train_embeddings: false}  # the released weights know the tokens already
    optimizer: {lr: 1.0e-4, part_lr: {connector: 2.0e-5, sam_decoder: 2.0e-5}}
    layout:
      workers: 1
      micro_batch: 1
      cpus_per_worker: 4
      precision: bf16
      gradient_checkpointing: [language, connector]
"""
_TOY = """
# A toy that starts from random weights: it shows that the route works, and learns little.
model:
  preset: toy
  overrides:
    num_frames: 16
    num_sam_frames: 2
    connector: {depth: 1}
  tokenizer: {vocab_size: 512}

stages:
  - name: finetune
    global_batch: 8  # workers x micro_batch x accumulation
    steps: 120
    train: [vision, connector, regions, language, seg_head, sam_encoder, sam_decoder]
    optimizer: {lr: 1.0e-3, betas: [0.9, 0.99], warmup_share: 0.05, final_share: 0.1}
    max_text_tokens: 512
    layout:
      workers: 1
      micro_batch: 8
      use_gpu: false
      cpus_per_worker: 1
      torch_threads: 1
      loader_threads: 1
      precision: fp32
      gradient_checkpointing: false
"""
_EVALUATION = """
# What the model scores before and after, on held-out videos. Free text is not scored.
evaluation:
  checkpoints: [init, finetune]
"""
_ON_GPU = """\
  actors: 1
  batch_size: 4
"""
_ON_CPU = """\
  actors: 1
  batch_size: 8
  max_new_tokens: 48
  use_gpu: false
  cpus_per_actor: 1
  torch_threads: 1
"""


def plan_text(
    folder: Path,
    records: Path,
    masks: Path | None,
    *,
    columns: Mapping[str, str],
    tasks: Sequence[str],
    seed: int,
    toy: bool,
) -> str:
    """The plan of a folder, in YAML with comments; ``tasks`` are those that are scored on held-out videos."""
    text = _HEAD.format(
        plan=folder / "plan.yaml",
        seed=seed,
        runs=_text(folder / "runs"),
        records=_text(records),
        videos=_text(folder / "videos"),
        columns=f"columns: &columns {json.dumps(columns)}" if columns else "# columns: {video: path}",
        masks=f"masks: &masks {_text(masks)}" if masks else f"# masks: &masks {_text(folder / 'masks')}",
    )
    text += _DIVIDED.format(train=TRAIN) if tasks else ""
    for task in tasks:
        text += _HELD_OUT.format(
            task=task,
            share=HELD_OUT,
            masks="masks: *masks" if masks else "# masks: *masks",
            columns="columns: *columns" if columns else "# columns: *columns",
        )
    text += _TOY if toy else _REAL
    if tasks:
        text += _EVALUATION + (_ON_CPU if toy else _ON_GPU) + "  benchmarks:\n"
        text += "".join(f"    - {{source: held_out/{task}, {SCORED[task]}}}\n" for task in tasks)
    return text


def _text(path: Path) -> str:
    """A path as YAML reads it back, whatever characters it has."""
    text = str(path)
    plain = text.replace("/", "").replace("-", "").replace("_", "").replace(".", "").isalnum()
    return text if plain and text.isascii() else json.dumps(text)

"""What a checkpoint artifact holds.

model/        config.json, model-*.safetensors and their index (training.model.weights)
tokenizer/    the text tokenizer with the 102 added tokens (training.model.tokenizer)
adapter/      of a stage with LoRA, what PEFT users take; its weights are in model/ already
training.json what the run did, in a stage's checkpoint
curves.parquet the metrics of every step, in a stage's checkpoint (pipeline.artifacts.curves)
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from pipeline.artifacts.checkpoint import MODEL, TOKENIZER
from pipeline.artifacts.verify import weights_digest
from pipeline.storage.location import Location

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from training.model.ufvideo import UFVideo

SUMMARY: Final = "training.json"
ADAPTER: Final = "adapter"
"""Folder with a stage's LoRA adapter alone, as PEFT writes it."""
RUN: Final = "run"
"""Folder of Ray Train's own checkpoints; it goes when the stage is finished."""


def write_checkpoint(model: UFVideo, tokenizer: PreTrainedTokenizerBase, out: Location, scratch: Path) -> str:
    """Write model and tokenizer below ``out``, each in one act, and return the SHA-256 of the weights.

    An ``adapter`` folder in ``scratch`` goes along.
    """
    from training.model.weights.checkpoints import save_model

    save_model(model, scratch / MODEL)
    tokenizer.save_pretrained(str(scratch / TOKENIZER))
    digest = weights_digest(Location.parse(scratch / MODEL).list(".safetensors"))
    beside = [ADAPTER] if (scratch / ADAPTER).is_dir() else []
    for name in (*beside, TOKENIZER, MODEL):
        (out / name).put_dir(scratch / name)
    return digest

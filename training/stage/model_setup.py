"""What a stage makes of a model before anything is trained: adapters, frozen parts, how passes run."""

from __future__ import annotations

from pipeline.draw import draw
from pipeline.plan.training import StageConfig
from training.model.lora import add_adapters
from training.model.ufvideo import UFVideo


def set_up_model(model: UFVideo, stage: StageConfig, seed: int) -> None:
    """Sets the model up for a stage, in place. Reads no weights: a model on the meta device will do."""
    layout = stage.layout
    if stage.lora is not None:
        add_adapters(model, stage.lora, seed=draw(seed, stage.name, "lora"))
    model.set_trainable(stage.train)
    model.gradient_checkpointing(layout.gradient_checkpointing)
    model.language.packing = layout.packing
    model.uniform_passes = layout.zero_stage == 3
    model.train()

"""``python -m training.export CHECKPOINT OUT``: a checkpoint in the form that other people's code loads.

The published layout (model_type ``videorefer_qwen2``): sharded safetensors under the published names with
their index, config.json and the tokenizer. With ``--language-only`` a plain Qwen2 folder, without anything
that sees, for ``transformers.Qwen2ForCausalLM``.

What the published config.json holds besides is not known to this project: where the published code asks for
a key that is missing here, take it from the config.json of the published checkpoint.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.artifacts.checkpoint import MODEL, TOKENIZER
from pipeline.errors import UserError
from pipeline.jobs.guard import guarded
from pipeline.storage.location import Location

if TYPE_CHECKING:
    from training.model.ufvideo import UFVideo

_ARCHITECTURE, _MODEL_TYPE = "VideoReferQwen2ForCausalLM", "videorefer_qwen2"


def export(checkpoint: Location, out: Path, *, language_only: bool = False) -> None:
    """Writes the folder ``out``, which may not hold anything yet.

    Raises UserError if ``checkpoint`` is not a finished checkpoint or ``out`` is not empty.
    """
    from training.engine import quiet
    from training.model.tokenizer import export_tokenizer, load_tokenizer
    from training.model.weights.checkpoints import load_model

    quiet()
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UserError(str(out), "is there already.", "Name a folder that is not.")
    if not (checkpoint / MODEL).exists() or not (checkpoint / TOKENIZER).exists():
        raise UserError(
            checkpoint.uri, f"holds no {MODEL}/ and {TOKENIZER}/.", "Give the folder of init or of a stage."
        )
    model = load_model((checkpoint / MODEL).fetch_dir(hold=True))
    tokenizer = load_tokenizer((checkpoint / TOKENIZER).fetch_dir(hold=True))
    out.mkdir(parents=True, exist_ok=True)
    export_tokenizer(tokenizer, out)
    if language_only:
        lm = model.language.lm
        lm.generation_config.eos_token_id = list(model.tokens.eos)
        lm.generation_config.pad_token_id = model.tokens.pad
        lm.save_pretrained(out)
        return
    write_published(model, out)


def write_published(model: UFVideo, out: Path) -> None:
    """config.json and the shards of the published layout, in the dtype that the weights have."""
    from training.model.weights.checkpoints import published_state
    from training.model.weights.tensor_files import write_shards

    (out / "config.json").write_text(json.dumps(published_config(model), indent=2) + "\n")
    # transformers refuses a file that does not say that it is torch's.
    write_shards(published_state(model), out, metadata={"format": "pt"})


def published_config(model: UFVideo) -> dict[str, Any]:
    """Qwen2's fields, and those that the published code adds for video, masks and losses."""
    from training.model.config import qwen2_config
    from training.model.weights.checkpoints import OWN_CONFIG, own_config

    config = model.config
    qwen2 = qwen2_config(config.language).to_dict()
    # The published code runs on transformers 4, which knows the base of the rotary positions as this.
    qwen2 |= {"rope_theta": config.language.rope_theta, "rope_scaling": None}
    return qwen2 | {
        "architectures": [_ARCHITECTURE],
        "model_type": _MODEL_TYPE,
        "torch_dtype": str(model.language.lm.dtype).removeprefix("torch."),
        "eos_token_id": model.tokens.eos[0],
        "pad_token_id": model.tokens.pad,
        "mm_vision_tower": "google/siglip-so400m-patch14-384",
        "mm_hidden_size": config.vision.hidden_size,
        "mm_vision_select_layer": config.vision.select_layer,
        "mm_vision_select_feature": "patch",
        "mm_projector_type": "stc_connector_v35",
        "num_frames": config.num_frames,
        "seg_token_id": model.tokens.seg,
        "ce_loss_weight": config.loss.ce,
        "bce_loss_weight": config.loss.bce,
        "dice_loss_weight": config.loss.dice,
        # Sizes that the published keys do not tell; other code passes over the key.
        OWN_CONFIG: own_config(model),
    }


def main(argv: list[str] | None = None) -> int:
    """The command. Returns the exit code."""
    assert __doc__
    parser = argparse.ArgumentParser(prog="python -m training.export", description=__doc__.split("\n\n")[0])
    parser.add_argument("checkpoint", help="folder of init or of a stage, local or s3://")
    parser.add_argument("out", type=Path, help="folder to make")
    parser.add_argument("--language-only", action="store_true", help="a plain Qwen2 folder")
    options = parser.parse_args(argv)

    def act() -> int:
        export(Location.parse(options.checkpoint), options.out, language_only=options.language_only)
        print(f"written: {options.out}", flush=True)
        return 0

    return guarded(act)


if __name__ == "__main__":
    sys.exit(main())

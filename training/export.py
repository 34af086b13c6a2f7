"""``ufvideo export CHECKPOINT OUT``: a checkpoint in the form that other people's code loads, with its card.

The published layout (model_type ``videorefer_qwen2``): sharded safetensors under the published names with
their index, config.json and the tokenizer. With ``--language-only`` a plain Qwen2 folder, without anything
that sees, for ``transformers.Qwen2ForCausalLM``.

What the published config.json holds besides is not known to this project: where the published code asks for
a key that is missing here, take it from the config.json of the published checkpoint.
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.artifacts.checkpoint import MODEL, TOKENIZER
from pipeline.artifacts.model_card import CARD, evaluations_of, model_card
from pipeline.artifacts.record import load_artifact
from pipeline.commands.export import add_arguments, refuse_others
from pipeline.errors import UserError
from pipeline.jobs.guard import guarded
from pipeline.storage.hub_push import check_push, push
from pipeline.storage.location import Location

if TYPE_CHECKING:
    from training.model.ufvideo import UFVideo

_ARCHITECTURE, _MODEL_TYPE = "VideoReferQwen2ForCausalLM", "videorefer_qwen2"


def export(
    checkpoint: Location, out: Path, *, language_only: bool = False, scores: Sequence[Location] = ()
) -> None:
    """Writes the folder ``out``, which may not hold anything yet. ``scores`` are evaluations, for the card.

    Raises UserError if ``checkpoint`` is not a finished checkpoint, ``out`` is not empty, or an evaluation is
    of another checkpoint.
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
    made = load_artifact(checkpoint)
    if scores and made is None:
        raise UserError(
            checkpoint.uri, "has no record, so no scores are known to be its.", "Leave out --scores."
        )
    card = model_card(
        made.record if made else None,
        evaluations_of(made.record, scores) if made else (),
        language_only=language_only,
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
    else:
        write_published(model, out)
    (out / CARD).write_text(card, encoding="utf-8")


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
    parser = argparse.ArgumentParser(prog="ufvideo export")
    add_arguments(parser)
    options = parser.parse_args(argv)

    def act() -> int:
        refuse_others(options, ("source", "frames", "shard_mb"), "checkpoint")
        repo = check_push(options.push) if options.push else ""
        scores = [Location.parse(place) for place in options.scores]
        place, out = Location.parse(options.artifact), Path(options.out)
        export(place, out, language_only=options.language_only, scores=scores)
        print(f"written: {out}", flush=True)
        if repo:
            print(f"pushed: {push(out, repo, public=options.public)}")
        if not options.language_only:
            print(f"Next: ufvideo predict {shlex.quote(options.out)} VIDEO QUESTION")
        return 0

    return guarded(act)


if __name__ == "__main__":
    sys.exit(main())

"""One micro-batch of the 7B model on a CUDA device: tokens per second, share of its peak, memory.

``python -m benchmarks.gpu_7b [--write]``. Weights are random and created on the device, so nothing is fetched
and the host needs no memory for them. Only forward and backward: no optimizer, no other workers.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from accelerate import init_empty_weights

from benchmarks import flops
from benchmarks.compare import publish
from pipeline.errors import UserError
from pipeline.plan.model import ModelConfig
from pipeline.plan.parts import PUBLISHED_TRAINED, Part
from pipeline.plan.presets import Preset, model_config
from training.loop.losses import compute_losses
from training.model.batch import Batch
from training.model.tokens import IGNORE, VIDEO_PLACEHOLDER, TokenIds
from training.model.ufvideo import UFVideo

# Dense bf16, TFLOP/s, as NVIDIA states it for the SXM board; the first name that matches is used.
_PEAKS = {"H100 PCIe": 756, "H100 NVL": 835, "H200": 989, "H100": 989, "A100": 312, "A800": 312, "L40S": 362}
_QUESTION, _ANSWERS, _OBJECTS = 64, (600, 40, 200), 2
_VIDEOS = (True, True, False)
"""One sample is text alone, so that a padded batch has as much padding as a mixed one."""
_TRUTH = (480, 854)
_WARM_UP = 2


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """Cost of the micro-batch, packed or padded."""

    what: str
    tokens: int
    """of the sequences, including visual ones, without padding"""
    seconds: float
    """of one forward and backward pass"""
    operations: float
    """of the model, ``flops.training_step``"""
    peak_gib: float | None
    """peak memory of tensors; None where it is not measured"""


def table(rows: Sequence[Measurement], peak: float | None) -> str:
    """The measurements in Markdown; ``peak`` in FLOP/s, None if it is not known."""
    lines = ["| What | step | tokens/s | MFU | peak memory |", "|---|---:|---:|---:|---:|"]
    for row in rows:
        share = "not known" if peak is None else f"{row.operations / row.seconds / peak:.1%}"
        memory = "not counted" if row.peak_gib is None else f"{row.peak_gib:.1f} GiB"
        lines.append(
            f"| {row.what} | {row.seconds:.3f} s | {row.tokens / row.seconds:,.0f} | {share} | {memory} |"
        )
    return "\n".join(lines)


def peak_of(name: str) -> float | None:
    """FLOP/s of a device by its name, as the driver gives it."""
    return next((tera * 1e12 for known, tera in _PEAKS.items() if known in name), None)


def page(
    rows: Sequence[Measurement], parts: Mapping[str, float], device: str, attention: str, peak: float | None
) -> str:
    """The whole page."""
    total = sum(parts.values())
    shares = ", ".join(f"{name} {done / 1e12:.2f} ({done / total:.0%})" for name, done in parts.items())
    assumed = (
        "not known for this device, see `--peak`" if peak is None else f"{peak / 1e12:.0f} TFLOP/s, dense"
    )
    return f"""# UFVideo-7B on one device

`python -m benchmarks.gpu_7b --write`: {device}, attention: {attention}, random weights in bf16.

One micro-batch of {len(_ANSWERS)} samples: a long answer about a video, a short one about another with
{_OBJECTS} [SEG] and masks on its SAM frames, and text alone. Forward and backward of the published recipe's
parts, gradient checkpointing on the language model, no optimizer step. Tokens are those of the sequences,
visual ones included, padding not.

{table(rows, peak)}

MFU, model FLOPs utilisation, is operations / (seconds x peak). The peak of bf16: {assumed}. The operations
are those of `benchmarks/flops.py`: two for a multiply-add; attention causal and without padding; three times
the forward pass where weights are trained, once where they are frozen; nothing for what checkpointing
computes again. In TFLOP: {shares}.
"""


def random_model(config: ModelConfig, tokens: TokenIds, device: str) -> UFVideo:
    """The architecture in bf16, with its parameters allocated and initialised on the device."""
    # Buffers that follow from the configuration get their real values.
    with init_empty_weights(include_buffers=False):
        model = UFVideo(config, tokens)
    weights = {}
    for name, empty in model.named_parameters():
        tensor = torch.empty(empty.shape, dtype=torch.bfloat16, device=device)
        norm = tensor.ndim == 1 and name.endswith("weight")
        weights[name] = tensor.normal_(std=0.02) if tensor.ndim > 1 else tensor.fill_(float(norm))
    model.load_state_dict(weights, strict=False, assign=True)
    model = model.to(device)
    model.set_trainable(PUBLISHED_TRAINED)
    return model.train()


def sequence_lengths(config: ModelConfig) -> list[int]:
    """Tokens of each sample, including visual ones."""
    return [
        (config.video_tokens if seen else 1) + _QUESTION + n
        for n, seen in zip(_ANSWERS, _VIDEOS, strict=True)
    ]


def make_batch(config: ModelConfig, tokens: TokenIds) -> Batch:
    """A long answer about a video, a short one with [SEG]s about another, and text alone."""
    random = torch.Generator().manual_seed(0)
    full = 1 + _QUESTION + max(_ANSWERS)
    shape = (len(_ANSWERS), full)
    ids = torch.randint(1, min(tokens.region, tokens.seg), shape, generator=random)
    ids[torch.tensor(_VIDEOS), 0] = VIDEO_PLACEHOLDER
    ends = torch.tensor([1 + _QUESTION + n for n in _ANSWERS])[:, None]
    at = torch.arange(full)[None]
    labels = ids.masked_fill((at <= _QUESTION) | (at >= ends), IGNORE)
    for k in range(_OBJECTS):
        ids[1, -1 - k - (full - ends[1])] = labels[1, -1 - k - (full - ends[1])] = tokens.seg
    side, sam, frames = config.vision.image_size, config.sam2.image_size, config.num_sam_frames
    return Batch(
        input_ids=ids,
        attention_mask=at < ends,
        labels=labels,
        video=torch.randn(sum(_VIDEOS), config.num_frames, 3, side, side, generator=random),
        has_video=list(_VIDEOS),
        sam_frames=[None, torch.randn(frames, 3, sam, sam, generator=random), None],
        gt_masks=[None, (torch.rand(_OBJECTS, frames, *_TRUTH, generator=random) > 0.7).float(), None],
    )


def measure(model: UFVideo, batch: Batch, *, packing: bool, repeats: int, operations: float) -> Measurement:
    """The best of several forward and backward passes."""
    model.language.packing = packing
    model.gradient_checkpointing([Part.LANGUAGE])
    cuda = batch.input_ids.is_cuda
    best, tokens = float("inf"), 0
    for turn in range(_WARM_UP + repeats):
        if turn == _WARM_UP and cuda:
            torch.cuda.reset_peak_memory_stats()
        model.zero_grad(set_to_none=True)
        _wait(cuda)
        begun = time.perf_counter()
        output = model(batch)
        compute_losses(output, batch.gt_masks, model.config.loss)["total"].backward()
        _wait(cuda)
        if turn >= _WARM_UP:
            best = min(best, time.perf_counter() - begun)
        tokens = sum(output.lengths)
        del output
    return Measurement(
        what="packed in one row" if packing else "padded to the longest",
        tokens=tokens,
        seconds=best,
        operations=operations,
        peak_gib=torch.cuda.max_memory_allocated() / 2**30 if cuda else None,
    )


def _wait(cuda: bool) -> None:
    if cuda:
        torch.cuda.synchronize()


def run(preset: Preset, device: str, repeats: int, peak: float | None) -> str:
    """The page for one preset on one device. Raises UserError if there is no such device."""
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise UserError(
            "benchmarks.gpu_7b",
            "needs a CUDA device with 80 GiB of memory, and PyTorch sees none here.",
            "Run it on such a machine; `--preset toy --device cpu` goes the same way at toy size.",
        )
    config = model_config(preset)
    last = config.language.vocab_size - 1
    tokens = TokenIds(region=last - 2, seg=last - 1, eos=(last,), pad=0)
    model = random_model(config, tokens, device)
    attention = model.set_attention(torch.device(device), torch.bfloat16)
    batch = make_batch(config, tokens).to(device, torch.bfloat16)
    parts = flops.training_step(
        config,
        lengths=sequence_lengths(config),
        answers=sum(_ANSWERS),
        videos=sum(_VIDEOS),
        sam_frames=config.num_sam_frames,
    )
    name = torch.cuda.get_device_name(device) if device.startswith("cuda") else f"{device}, {preset} size"
    rows = [
        measure(model, batch, packing=packing, repeats=repeats, operations=sum(parts.values()))
        for packing in (False, True)
    ]
    return page(rows, parts, name, attention, peak or peak_of(name))


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu_7b", description=__doc__)
    parser.add_argument("--preset", type=Preset, choices=list(Preset), default=Preset.PUBLISHED_7B)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--peak", type=float, help="TFLOP/s of the device in dense bf16, if it is not known")
    parser.add_argument("--write", action="store_true", help="write docs/benchmarks/gpu_7b.md")
    options = parser.parse_args(arguments)
    if options.write and options.preset is not Preset.PUBLISHED_7B:
        parser.error("--write keeps measurements of the 7b preset only")
    try:
        text = run(options.preset, options.device, options.repeats, options.peak and options.peak * 1e12)
    except UserError as error:
        print(error, file=sys.stderr)
        return 2
    publish("gpu_7b", text, write=options.write)
    return 0


if __name__ == "__main__":
    sys.exit(main())

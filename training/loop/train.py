"""One worker of a stage: forward, backward, update and report for every global batch; save regularly."""

from __future__ import annotations

import socket
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import distributed

from pipeline.artifacts.checkpoint import MODEL, TOKENIZER
from pipeline.errors import UserError
from pipeline.media.same_video import VerifyVideos
from pipeline.plan.model import ModelConfig
from pipeline.plan.training import StageConfig
from pipeline.records.sample import Task
from pipeline.storage.location import Location
from training.callbacks import load_callbacks
from training.data.dataset import Dataset
from training.data.decode import CachedFrames
from training.data.loader import Loader, MicroBatch
from training.data.order import BatchSplit, Pass
from training.engine import Engine, compute_dtype, join_group, prepare_process
from training.loop.callback import Callbacks, StageRun, StepOutcome
from training.loop.ending import Ending, Quarantine
from training.loop.losses import compute_losses
from training.loop.metrics import Metrics
from training.loop.reporter import Reporter
from training.loop.saving import Checkpoints
from training.loop.skipped import SkippedSteps
from training.loop.step_sums import StepSums
from training.loop.throughput import Throughput
from training.model.attention import choose_attention
from training.model.compiling import refuse_without_compiler
from training.model.processor import Processor, View
from training.model.prompt import PromptCodec
from training.model.tokenizer import load_tokenizer
from training.model.weights.checkpoints import load_model


@dataclass(frozen=True, kw_only=True)
class Job:
    """Everything that a worker needs. It is sent to the workers, so it contains only plain values."""

    stage: StageConfig
    model: ModelConfig
    seed: int
    data: Location  # the prepared dataset
    start: Location  # the checkpoint to start from
    out: Location  # the checkpoint to make
    verify_videos: VerifyVideos = VerifyVideos.HEAD


@dataclass(frozen=True, kw_only=True)
class WorkerResult:
    """What a worker returns."""

    steps: int
    resumed_at: int
    digest: str  # of the weights; empty except on worker 0


def train(
    job: Job, reporter: Reporter, *, rank: int = 0, world: int = 1, stop_at: int | None = None
) -> WorkerResult:
    """Run one worker to the end of the stage, from the newest state if there is one.

    Works in any process: with ``world`` 1 and no process group it creates one, without Ray. ``stop_at``: stop
    after that many steps, without a final checkpoint (with the schedule of the whole stage).
    """
    stage, layout = job.stage, job.stage.layout
    if not layout.fewest_workers <= world <= layout.workers:
        raise UserError(
            f"stage {stage.name}",
            f"runs on {world} workers, its layout says {layout.workers_text}.",
            "Change the layout.",
        )
    prepare_process(use_gpu=layout.use_gpu, threads=layout.torch_threads)
    join_group(use_gpu=layout.use_gpu)
    device = torch.device("cuda", torch.cuda.current_device()) if layout.use_gpu else torch.device("cpu")
    dtype = compute_dtype(layout.precision)
    choose_attention(job.model.attention, device, dtype)  # raises before the weights are loaded
    if layout.compile:
        refuse_without_compiler(device)

    dataset = Dataset.open(job.data, num_frames=job.model.num_frames, verify=job.verify_videos)
    order = dataset.order(stage, job.seed)
    total = order.steps(epochs=stage.epochs, steps=stage.steps)
    start = job.start.fetch_dir(hold=True)
    tokenizer = load_tokenizer(start / TOKENIZER)
    processor = Processor(
        job.model, PromptCodec(tokenizer), seed=job.seed, max_text_tokens=stage.max_text_tokens
    )
    frames = CachedFrames(
        dataset.reader.footage, {v: processor.side(v) for v in View}, capacity_mb=layout.frame_cache_mb
    )
    # A checkpoint of a bf16 stage is stored in bf16; a stage in bf16 keeps the dtype that it starts from.
    model = load_model(start / MODEL, job.model, dtype=None if dtype is torch.bfloat16 else dtype)
    model.to(device).set_attention(device, dtype)
    engine = Engine(model, stage, total_steps=total, seed=job.seed)

    run = StageRun(stage=stage, model=engine.module, rank=rank, world=world, total_steps=total)
    checkpoints, quarantine = Checkpoints(engine, tokenizer, job.out), Quarantine(reporter)
    callbacks = Callbacks(
        run,
        (
            checkpoints,
            Throughput(device),
            SkippedSteps(reporter),
            *load_callbacks(stage.name, stage.callbacks),
            Metrics(reporter, job.out),
            quarantine,
            Ending(job.out, quarantine, lambda: checkpoints.digest),
        ),
    )
    with reporter.resume() as state:
        callbacks.start(state)
    first = run.first_step
    split = BatchSplit(global_batch=stage.global_batch, workers=world, micro_batch=layout.micro_batch)
    passes = split.passes(rank)
    stop = total if stop_at is None else min(stop_at, total)
    loader = Loader(
        order=order,
        split=split,
        worker=rank,
        reader=dataset.reader,
        processor=processor,
        frames=frames,
        threads=layout.loader_threads,
        start_step=first,
        stop_step=stop,
        retry_s=layout.read_retry_s,
        limit_s=layout.read_limit_s,
        max_unusable=stage.max_unusable,
        say=lambda text: reporter.note(f"{stage.name}, worker {rank} on {socket.gethostname()}: {text}"),
    )
    batches = iter(loader)
    for step in range(first, stop):
        callbacks.step(_step(engine, job, batches, step, passes, device))
        if (step + 1) % layout.save_every == 0 and step + 1 < total:
            folder = Path(tempfile.mkdtemp(prefix=f"ufvideo-state-{rank}-"))
            callbacks.save(step + 1, folder)
            reporter.save(step + 1, folder)
    if stop == total:
        callbacks.end()
    if world > 1:
        distributed.barrier()  # no worker ends before the weights are written
    return WorkerResult(steps=stop, resumed_at=first, digest=checkpoints.digest)


def _step(
    engine: Engine,
    job: Job,
    batches: Iterator[MicroBatch],
    step: int,
    passes: Sequence[Pass],
    device: torch.device,
) -> StepOutcome:
    sums, quarantined = StepSums(), list[dict[str, Any]]()
    passes_done: list[tuple[dict[str, torch.Tensor], float, int, int]] = []

    def losses() -> Iterator[torch.Tensor]:
        for one in passes:
            requested = time.perf_counter()
            micro = next(batches)
            sums.add(wait_s=time.perf_counter() - requested)
            quarantined.extend({**q.row(), "step": step} for q in micro.quarantined)
            batch = micro.batch.to(device, engine.dtype)
            output = engine(batch)
            by_name = compute_losses(output, batch.gt_masks, job.model.loss)
            share = len(passes) / one.divisor  # 1 where all passes are of one size
            if not share:
                yield by_name["total"]
                continue
            masks = sum(t.shape[0] * t.shape[1] for t in micro.batch.gt_masks if t is not None)
            detached = {name: loss.detach() for name, loss in by_name.items()}
            passes_done.append((detached, share, len(output.answer_targets), masks))
            sums.add(
                passes=share,
                samples=micro.batch.size,
                tokens=len(output.labels),
                truncated=micro.truncated,
                blank_regions=micro.blank_regions,
                quarantined=len(micro.quarantined),
                repeated_reads=micro.repeated_reads,
            )
            for task in Task:
                sums.tasks[task] += micro.tasks[task]
            yield by_name["total"]

    norm = engine.step(step, losses(), [one.divisor for one in passes])
    for by_name, share, tokens, masks in passes_done:
        sums.add(
            total=share * float(by_name["total"]),
            ce=float(by_name["ce"]) * tokens,
            ce_tokens=tokens,
            bce=float(by_name["bce"]) * masks,
            dice=float(by_name["dice"]) * masks,
            masks=masks,
        )
    return StepOutcome(
        step=step,
        sums=sums,
        lr=engine.learning_rate(step),
        grad_norm=norm,
        skipped=not engine.updated,
        skipped_steps=engine.skipped_steps,
        quarantined=quarantined,
    )

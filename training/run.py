"""The two steps of training: ``init`` makes the first checkpoint, ``stage`` trains one into the next.

prepared dataset + checkpoint -> TorchTrainer (workers, failure policy, storage) -> checkpoint
"""

from __future__ import annotations

import json
import time
from dataclasses import asdict
from typing import Any

from pipeline import progress
from pipeline.artifacts.checkpoint import start_config
from pipeline.artifacts.curves import CURVES, read_curves
from pipeline.jobs import capacity
from pipeline.jobs.step import StepContext, StepResult
from pipeline.plan.training import StageConfig
from training.stage.checkpoint import SUMMARY, write_checkpoint
from training.stage.driver import train_on_ray
from training.stage.stage_end import read_end
from training.stage.unfinished import StageStart, UnfinishedStage


def init(context: StepContext) -> StepResult:
    """Tokenizer and weights of the untrained model."""
    from training.engine import quiet
    from training.stage.start import make_model, make_tokenizer

    quiet()
    with progress.track("init", 2) as bar:
        data = context.inputs["prepare"].location if "prepare" in context.inputs else None
        tokenizer = make_tokenizer(context.plan, data)
        bar.advance(vocabulary=len(tokenizer))
        commits: dict[str, str] = {}
        model = make_model(context.plan, tokenizer, commits)
        digest = write_checkpoint(model, tokenizer, context.out, context.scratch)
        bar.advance()
    values = sum(p.numel() for p in model.parameters())
    return StepResult(
        digest=digest, summary={"vocabulary": len(tokenizer), "parameters": values, "commits": commits}
    )


def stage(context: StepContext) -> StepResult:
    """Train one stage. Started again after any kind of death it goes on from its last saved state."""
    from training.callbacks import load_callbacks
    from training.data.dataset import Dataset
    from training.data.unusable import by_source
    from training.engine import quiet
    from training.loop.train import Job
    from training.stage import parts_table

    quiet()

    config = next(s for s in context.plan.stages if s.name == context.spec.subject)
    assert context.checkpoint is not None
    need = capacity.need_of(context.plan, context.spec)
    assert need is not None
    load_callbacks(config.name, config.callbacks)  # refused here, before anything is read
    data, start = context.inputs["prepare"], context.checkpoint
    job = Job(
        stage=config,
        model=start_config(start.location, context.plan.model_section.resolved, config.name),
        seed=context.seed,
        data=data.location,
        start=start.location,
        out=context.out,
        verify_videos=context.plan.storage.verify_videos,
    )
    order = Dataset.open(data.location).order(config, context.seed)
    total = order.steps(epochs=config.epochs, steps=config.steps)
    begun = time.monotonic()
    unfinished = UnfinishedStage(context.out, config.name)
    finished = unfinished.open(
        StageStart(
            workers=config.layout.workers, data=data.record.digest, start=start.record.digest, steps=total
        )
    )
    if finished is None:
        rows = parts_table.planned_rows(job.model, config)
        context.tracker.log_params(_length_and_layout(config, total) | parts_table.params(rows))
        context.tracker.log_text(parts_table.render(rows) + "\n", "parts.txt")
        print(parts_table.render(rows), flush=True)
        train_on_ray(job, context.plan.ray, need, total, context.tracker, unfinished)
        finished = read_end(context.out)
        assert finished is not None, "Ray Train ended without an error, but worker 0 wrote no end"
    else:
        print(f"stage {config.name}: was trained to its end before; its weights are kept", flush=True)
        for row in read_curves(context.out / CURVES) if (context.out / CURVES).exists() else ():
            context.tracker.log_metrics(row.values, row.step, at=row.at, once=True)
    unfinished.quarantine(finished.quarantined)
    summary: dict[str, Any] = {
        "steps": total,
        "resumed_at": finished.resumed_at,
        "samples": total * config.global_batch,
        "epochs": round(total * config.global_batch / order.epoch_size, 4),
        "seconds": round(time.monotonic() - begun, 1),
        "mixture": [asdict(count) for count in order.mixture.counts(0)],
        "last": finished.last,
    }
    quarantined = unfinished.quarantined
    whole = {**summary, "unusable": by_source(quarantined), "quarantined": quarantined}
    (context.out / SUMMARY).write_text(json.dumps(whole, indent=1) + "\n")
    unfinished.drop_states()
    # The rest goes only once the record stands: a kill in between must find it.
    return StepResult(digest=finished.digest, summary=summary, afterwards=unfinished.sweep)


def _length_and_layout(config: StageConfig, steps: int) -> dict[str, Any]:
    """Settings that are looked for first, also where they are at their defaults."""
    return {
        "steps": steps,
        "global_batch": config.global_batch,
        "optimizer.lr": config.optimizer.lr,
        "layout.workers": config.layout.workers,
        "layout.micro_batch": config.layout.micro_batch,
    }

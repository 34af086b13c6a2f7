"""Small runs of each step, and the results that are pinned. All but ``corpora`` run on real videos."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import pytest

from pipeline.artifacts.steps import REVISION, Kind, steps
from pipeline.artifacts.survey import fingerprints
from pipeline.canonical import digest, plain
from pipeline.errors import UserError
from pipeline.plan.load import load_plan
from pipeline.records.version import SCHEMA_VERSION
from pipeline.storage.location import Location

PLANS: Final = Path(__file__).resolve().parents[2] / "plans"
_ENCODER_DEPENDENT: Final = (
    "size_bytes",
    "sha256",
    "head_sha256",
)  # of a video: another build of x264 writes other bytes


def shipped_plans() -> dict[str, Any]:
    """Fingerprints of every step of the shipped plans, without their input files."""
    return {path.stem: fingerprints(steps(load_plan(str(path))), {}) for path in sorted(PLANS.glob("*.yaml"))}


def corpora() -> dict[str, Any]:
    """Digests of the demo corpora's annotations."""
    from datasets_prep.demo.corpora import build_corpora
    from pipeline.plan.demo import DemoConfig

    config = DemoConfig(train_videos=8, mvbench_items=7, mevis_valid_videos=2, videorefer_bench_items=4)
    return {c.name: digest(plain((c.documents, c.texts)))[:16] for c in build_corpora(config)}


_SMALL: Final = (
    "demo.train_videos=4",
    "demo.max_seconds=4",
    "demo.mvbench_items=7",
    "demo.mevis_valid_videos=1",
    "demo.videorefer_bench_items=1",
    "demo.charades_sta_items=1",
    "demo.ufvideo_bench_items=3",
    "data.rows_per_shard=8",
)


def prepare(folder: Path) -> dict[str, Any]:
    """Counts and rows of every source of the demo plan at its smallest.

    Without Ray: `test_prepare.py` shows that the bytes are the same with it.
    """
    from datasets_prep.demo.corpora import write_corpora
    from datasets_prep.run import build
    from pipeline.dataset.reader import ShardReader
    from pipeline.plan.identity import CORPORA
    from tests.datasets_prep.prepare_here import prepare_here

    plan = load_plan(str(PLANS / "demo.yaml"), _SMALL)
    assert plan.demo is not None
    root = folder / "corpora"
    write_corpora(plan.demo, root)
    place = Location.parse(folder / "data")
    with pytest.MonkeyPatch.context() as patch:
        prepare_here(patch)
        manifest = build(
            plan.data, lambda path: Location.parse(path.replace(CORPORA, str(root))), place, plan.seed
        )
    reader = ShardReader(place)
    rejects = reader.rejects().to_pylist()
    return {
        source.name: {
            "counts": [source.read, source.kept, source.rejected, source.not_selected],
            "irregularities": source.irregularities,
            "rejects": source.rejects,
            "reasons": digest([row for row in rejects if row["source"] == source.name])[:16],
            "shards": [shard.rows for shard in manifest.shards if shard.source == source.name],
            "rows": digest([_row(reader, source.name, n) for n in range(reader.count(source.name))])[:16],
        }
        for source in manifest.sources
    }


def _row(reader: Any, source: str, number: int) -> Any:
    row = plain(reader.sample(source, number))
    if not row["void"]:
        del row["void"]  # shards of sources without void pixels do not have the column
    row["video"] = {k: v for k, v in row["video"].items() if k not in _ENCODER_DEPENDENT}
    return row


def init(folder: Path) -> dict[str, Any]:
    """The tokenizer and the weights of the toy, trained and drawn from the tiny corpus."""
    import torch

    from tests.training.tiny_corpus import write_dataset
    from training.stage.start import make_model, make_tokenizer

    plan = _tiny_plan(folder)
    tokenizer = make_tokenizer(plan, write_dataset(folder / "corpus"))
    with torch.random.fork_rng():
        model = make_model(plan, tokenizer)
    state = model.state_dict()
    tensors = {name: t.detach().float() for name, t in state.items()}
    kinds = [[name, list(t.shape), str(state[name].dtype)] for name, t in sorted(tensors.items())]
    return {
        "tokenizer": digest(sorted(tokenizer.get_vocab().items()))[:16],
        "encoded": tokenizer("When is the red square there? <region> [SEG]")["input_ids"],
        "tensors": len(kinds),
        "names, shapes and types": digest(kinds)[:16],
        "weights": _by_part(tensors.items()),
    }


def stage(folder: Path) -> dict[str, Any]:
    """Three steps of the toy: which samples, which losses, how far each part moved."""
    from safetensors.torch import load_file

    from tests.training.tiny_corpus import stage as small_stage
    from tests.training.tiny_corpus import write_dataset
    from training.data.dataset import Dataset
    from training.loop.reporter import LocalReporter
    from training.loop.train import Job, train
    from training.stage.checkpoint import write_checkpoint
    from training.stage.start import make_model, make_tokenizer

    plan = _tiny_plan(folder)
    data = write_dataset(folder / "corpus")
    tokenizer = make_tokenizer(plan, data)
    model = make_model(plan, tokenizer)
    begin, end = Location.parse(folder / "begin"), Location.parse(folder / "end")
    (folder / "scratch").mkdir()
    write_checkpoint(model, tokenizer, begin, folder / "scratch")
    config = small_stage(steps=3, layout={"save_every": 100})
    reporter = LocalReporter(folder / "states")
    train(Job(stage=config, model=model.config, seed=7, data=data, start=begin, out=end), reporter)
    dataset = Dataset.open(data)
    order = dataset.order(config, 7)
    names = [source.name for source in order.mixture.sources]

    def weights(place: Location) -> dict[str, Any]:
        files = sorted((place.local_path / "model").glob("*.safetensors"))
        return {name: t.float() for file in files for name, t in load_file(file).items()}

    before, after = weights(begin), weights(end)
    moved = {name: after[name] - before[name] for name in before}
    return {
        "samples": [[f"{names[p.source]}/{p.row}" for p in order.batch(step)] for step in range(3)],
        "rows": [_losses(reporter.rows[step]) for step in range(2)],  # the first has a learning rate of 0
        # Adam's first steps follow the sign of a gradient, which near 0 is rounding error.
        "last row, about": _losses(reporter.rows[2]),
        "moved, about": {part: rms for part, (rms, _) in _by_part(moved.items()).items()},
    }


def evaluate(folder: Path) -> dict[str, Any]:
    """Prompts, answers and scores of four samples of each tiny benchmark; and scores of known answers."""
    from evaluation.answer_store import AnswerStore
    from evaluation.asking import entry_items
    from evaluation.benchmarks import benchmark_of
    from evaluation.checkpoint import ScoredCheckpoint
    from evaluation.prediction import Prediction
    from evaluation.scores import metric_rows
    from evaluation.scoring import score_slice, slices
    from evaluation.setup import Setup
    from evaluation.work import units
    from evaluation.worker import Worker
    from pipeline.dataset.reader import ShardReader
    from tests.evaluation.tiny_bench import flawless, make_plan, write_checkpoint, write_dataset

    plan, data = make_plan(folder), write_dataset(folder)
    write_checkpoint(folder / "checkpoint")
    assert plan.evaluation is not None
    store = AnswerStore.at(Location.parse(folder), {"checkpoint": "pinned"})
    setup = Setup(
        config=plan.evaluation,
        checkpoint=ScoredCheckpoint.in_folder(Location.parse(folder / "checkpoint")),
        dataset=data,
        store=store,
        seed=plan.seed,
    )
    worker, reader = Worker(setup), ShardReader(data)
    found, known = {}, {}
    for bench in plan.evaluation.benchmarks:
        items = entry_items(reader, bench.model_copy(update={"limit": 4}), plan.seed)
        (unit,) = units(items)
        places = worker.answer(unit).stored[bench.source]
        items = [item for item in items if item.name in places]
        (part,) = slices(bench, items, [places[item.name] for item in items])
        sample = reader.sample(bench.source, 0)
        family = benchmark_of(bench.family)
        text, masks = flawless(sample)
        answers = {
            "flawless": Prediction(key=sample.key, source=bench.source, text=text, masks=masks),
            "nothing": Prediction(key=sample.key, source=bench.source),
            "failed": Prediction(key=sample.key, source=bench.source, failure="it failed"),
        }
        known[bench.source] = {name: plain(family.score(sample, answer)) for name, answer in answers.items()}
        found[bench.source] = {
            "keys": [item.key for item in items],
            "prompts": {style: plain(family.prompt(sample, style)) for style in _styles(family, sample)},
            "answers": [[p.text, p.failure, len(p.masks)] for p in store.read(bench.source, part.stored)],
            "metrics": [
                [row.metric, row.category, row.value, row.samples]
                for row in metric_rows([bench], {bench.source: score_slice(reader, store, part).scores})
            ],
        }
    return {"benchmarks": found, "known answers": known}


Run = Callable[[Path], dict[str, Any]]
# The runs of a step, and the numbers that have to be raised when their results change.
RUNS: Final[dict[str, tuple[Run, dict[str, int]]]] = {
    "corpora": (lambda _: corpora(), {"corpora": REVISION[Kind.CORPORA]}),
    "prepare": (prepare, {"prepare": REVISION[Kind.PREPARE], "schema": SCHEMA_VERSION}),
    "init": (init, {"init": REVISION[Kind.INIT]}),
    "stage": (stage, {"stage": REVISION[Kind.STAGE]}),
    "evaluate": (evaluate, {"evaluate": REVISION[Kind.EVALUATE]}),
    "fingerprints": (
        lambda _: shipped_plans(),
        {kind: REVISION[kind] for kind in Kind} | {"schema": SCHEMA_VERSION},
    ),
}


def _tiny_plan(folder: Path) -> Any:
    from pipeline.plan.plan import Plan
    from tests.training.tiny_corpus import stage as small_stage

    sources = [
        {"name": name, "format": "llava_video", "annotations": str(folder / name), "media": [str(folder)]}
        for name in ("qa", "refer", "seg", "when")
    ]
    return Plan.model_validate(
        {
            "name": "tiny",
            "storage": {"root": str(folder / "runs")},
            "model": {"preset": "toy", "tokenizer": {"vocab_size": 400}},
            "data": {"sources": sources},
            "stages": [small_stage().model_dump(mode="json", exclude_none=True)],
        }
    )


def _by_part(tensors: Iterable[tuple[str, Any]]) -> dict[str, tuple[float, float]]:
    """For each part of the model the root mean square of its weights, and their projection on a fixed wave.

    The projection depends on the order of the weights.
    """
    import torch

    sums: dict[str, list[float]] = {}
    for name, tensor in sorted(tensors):
        flat = tensor.double().flatten()
        wave = torch.sin(torch.arange(1, flat.numel() + 1, dtype=torch.float64))
        entry = sums.setdefault(name.partition(".")[0], [0.0, 0.0, 0.0])
        entry[0] += float(flat.square().sum())
        entry[1] += float((flat * wave).sum())
        entry[2] += flat.numel()
    return {part: [math.sqrt(s / n), w / math.sqrt(n)] for part, (s, w, n) in sums.items()}  # type: ignore[misc]


def _losses(row: dict[str, float]) -> dict[str, float]:
    """The losses, learning rate and gradient norm of a step."""
    return {k: float(v) for k, v in row.items() if k.startswith(("loss/", "lr", "grad"))}


def _styles(family: Any, sample: Any) -> list[Any]:
    """The wordings that this sample can be asked in: not every prepared question names its options."""
    found = []
    for style in family.styles:
        with suppress(UserError):
            family.prompt(sample, style)
            found.append(style)
    return found

"""100,000 stored answers scored again: multiple choice and spans of time, half and half.

The plain way is a script as people write it: JSON lines, the published rule for choices, spans that were
numbers all along. It reads no free text, names no failure and has no error bars.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from benchmarks.compare import publish
from benchmarks.demo_rescoring import rescore
from evaluation.answer_store import Answered, AnswerStore
from evaluation.asking import entry_items
from evaluation.metrics.choice_published import published
from evaluation.prediction import Prediction
from evaluation.scores import metric_rows
from evaluation.scoring import score_slices, slices
from pipeline.dataset.arrow import to_table
from pipeline.dataset.manifest import SourceEntry, make_manifest, write_manifest
from pipeline.dataset.reader import ShardReader
from pipeline.dataset.writer import write_shard
from pipeline.plan.data import Use
from pipeline.plan.evaluation import BenchmarkConfig
from pipeline.records.sample import Role, Sample, Task, Turn, VideoRef
from pipeline.storage.location import Location
from pipeline.times import temporal

ROWS, PER_VIDEO, LENGTH_S = 50_000, 3, 30.0
WHO = ("A man", "A woman", "The child", "Two dogs", "Somebody", "The taller person", "A cat", "The driver")
DOES = ("opens", "closes", "takes", "puts down", "walks past", "looks at", "is holding", "throws", "washes")
WHAT = ("the door", "a book", "the cup/glass", "the blanket", "a red ball", "the window", "some food", "it")
SAYS = ("({}) {}", "{}", "The answer is {}.", "{}. {}", "Based on the video, the best option is ({}).")
CONFIGS = (
    BenchmarkConfig(source="choice", family="mvbench"),
    BenchmarkConfig(source="when", family="charades_sta"),
)


def options(n: int) -> tuple[str, ...]:
    """Four options of the n-th question, of 576; no other of the first 50,000 has the same."""
    every = (n % 576 + k * (1 + n // 576) for k in range(4))
    return tuple(f"{WHO[i % 8]} {DOES[i // 8 % 9]} {WHAT[i // 72 % 8]}." for i in every)


def samples(source: str, count: int) -> list[Sample]:
    """Questions about videos of LENGTH_S seconds, PER_VIDEO for each."""
    out = []
    for n in range(count):
        video = VideoRef(
            path=f"{n // PER_VIDEO}.mp4", num_frames=900, fps=30.0, duration_s=LENGTH_S, height=360,
            width=480, sha256=f"{n // PER_VIDEO:064d}",
        )  # fmt: skip
        one = Sample(
            key=f"{source}/{n}", dataset=source, task=Task.CHOICE, video=video,
            turns=(Turn(Role.USER, f"What happens in part {n}?"),), choices=options(n), answer_index=n % 4,
        )  # fmt: skip
        if source == "when":
            span = temporal.span(n % 20, n % 20 + 5.0, LENGTH_S)
            one = replace(one, task=Task.TEMPORAL, choices=(), answer_index=-1, spans=(span,), expression="x")
        out.append(one)
    return out


def answer(sample: Sample, n: int) -> str:
    """What a model says: a choice in one of five forms, or a span in seconds."""
    if sample.choices:
        index = n * 7 % 4
        return SAYS[n % len(SAYS)].format("ABCD"[index], sample.choices[index])
    return f"From {n % 20 + n % 3}.0 s to {n % 20 + 6}.5 s."


def prepare(root: Path, rows: int) -> tuple[ShardReader, AnswerStore]:
    """The dataset, its stored answers, and the same as JSON lines."""
    out, shards, entries = Location.parse(root / "data"), [], []
    for config in CONFIGS:
        made = samples(config.source, rows)
        for at in range(0, rows, 4096):
            shards.append(write_shard(out, config.source, at // 4096, to_table(made[at : at + 4096])))
        entries.append(
            SourceEntry(
                name=config.source, use=Use.BENCHMARK, read=rows, kept=rows, rejected=0, not_selected=0,
                rejects={}, media=(str(root),),
            )
        )  # fmt: skip
        with (root / f"{config.source}.jsonl").open("w") as file:
            for n, sample in enumerate(made):
                span = sample.spans[0] if sample.spans else None
                row = {
                    "pred": answer(sample, n), "gt": sample.answer_index, "choices": sample.choices,
                    "start": n % 20 + n % 3, "end": n % 20 + 6.5,
                    "truth": [span.start_s, span.end_s] if span else None,
                }  # fmt: skip
                file.write(json.dumps(row) + "\n")
    write_manifest(out, make_manifest(shards, entries, 4096))
    reader, store = ShardReader(out), AnswerStore.at(Location.parse(root), {"benchmark": "rescoring"})
    for config in CONFIGS:
        items = entry_items(reader, config, 1)
        rows_ = list(zip(items, reader.samples(config.source, [i.row for i in items]), strict=True))
        for at in range(0, rows, 16):
            store.write(
                config.source,
                [
                    Answered(
                        question=item.question,
                        prediction=Prediction(
                            key=item.key, source=config.source, text=answer(sample, at + n)
                        ),
                    )
                    for n, (item, sample) in enumerate(rows_[at : at + 16])
                ],
            )
        store.compact(config.source)
    return reader, store


def here(reader: ShardReader, store: AnswerStore) -> float:
    """Seconds from the stored answers to the rows of the table."""
    begun = time.monotonic()
    items = {config.entry: entry_items(reader, config, 1) for config in CONFIGS}
    index = {config.source: store.index(config.source)[0] for config in CONFIGS}
    parts = [
        part
        for config in CONFIGS
        for part in slices(
            config, items[config.entry], [index[config.source][i.name] for i in items[config.entry]]
        )
    ]
    scored = score_slices(reader, store, parts)
    scores = {
        config.entry: [
            s for part, made in zip(parts, scored, strict=True) if part.config is config for s in made.scores
        ]
        for config in CONFIGS
    }
    assert all(row.samples for row in metric_rows(CONFIGS, scores))
    return time.monotonic() - begun


def plain(root: Path) -> float:
    """Seconds of the script."""
    begun = time.monotonic()
    right = total = 0.0
    for line in (root / "choice.jsonl").open():
        row = json.loads(line)
        right += published(row["pred"], row["choices"]) == row["gt"]
    for line in (root / "when.jsonl").open():
        row = json.loads(line)
        total += temporal.iou((row["start"], row["end"]), row["truth"])
    return time.monotonic() - begun


def main() -> None:
    """Print, or write, the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="write docs/benchmarks/rescoring.md")
    parser.add_argument("--rows", type=int, default=ROWS, help="answers of each kind")
    parser.add_argument("--demo", type=Path, metavar="FOLDER", help="storage root of a finished demo")
    parser.add_argument("--plan", default="plans/demo.yaml", help="the plan of that demo")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        reader, store = prepare(Path(folder), given.rows)
        load = os.getloadavg()[0]
        turns = [(here(reader, store), plain(Path(folder))) for _ in range(3)]
        demo = rescore(given.demo, given.plan, Path(folder)) if given.demo else []
    ours, script = (min(turn[k] for turn in turns) for k in (0, 1))
    cores = len(os.sched_getaffinity(0))
    lines = [
        "# Scoring stored answers again",
        "",
        f"{2 * given.rows:,} answers from the store, half multiple choice and half spans of time: read, "
        "matched by question, scored by every rule, with error bars. Beside it a script that reads JSON "
        "lines and knows one rule for each.",
        "",
        "`python -m benchmarks.rescoring --write --demo FOLDER`, the folder of a finished demo: "
        f"best of 3 turns each, {platform.machine()}, {cores} "
        f"cores, load {load:.1f} at the beginning.",
        "",
        "| What | seconds |",
        "|---|---:|",
        f"| here | {ours:.1f} |",
        f"| script | {script:.1f} |",
        *([f"| the demo, by `ufvideo run` | {min(demo):.1f} |"] if demo else []),
    ]
    if demo:
        lines += [
            "",
            "The demo: 102 questions to each of three checkpoints, all answered. One rule is another, so the "
            "three evaluations and the report with its page are made again, and sent to MLflow. The time is "
            "that of the whole command.",
        ]
    publish("rescoring", "\n".join(lines) + "\n", write=given.write)


if __name__ == "__main__":
    main()

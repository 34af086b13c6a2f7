"""Six tiny benchmarks over one real and one broken video, and a plan that scores them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.artifacts.fingerprint import code_version
from pipeline.artifacts.record import Artifact, ArtifactRecord, commit_artifact
from pipeline.artifacts.survey import survey
from pipeline.dataset.arrow import to_table
from pipeline.dataset.manifest import SourceEntry, make_manifest, read_manifest, write_manifest
from pipeline.dataset.writer import write_shard
from pipeline.plan.data import Use
from pipeline.plan.plan import Plan
from pipeline.records import masks
from pipeline.records.sample import MaskTrack, Role, Sample, Task, Turn, VideoRef
from pipeline.storage.location import Location
from pipeline.times import temporal

HEIGHT, WIDTH, FRAMES, FPS = 48, 64, 16, 8
SOURCES = {
    "bench/mvbench": "mvbench",
    "bench/refer": "videorefer_bench_q",
    "bench/mevis": "mevis",
    "bench/charades": "charades_sta",
    "bench/ufvideo": "ufvideo_bench",
    "bench/describe": "videorefer_bench_d",
}
MORE = {"bench/windows": "qvhighlights"}  # samples without a place in the plan and the dataset
PER_SOURCE = 10  # more than one chunk
BROKEN = 3  # this sample of every source has a video that does not decode


def square(number: int, frame: int) -> np.ndarray:
    """Mask [H, W]; absent in the first four frames."""
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    if frame >= 4:
        left = 2 + (3 * frame + 5 * number) % (WIDTH - 20)
        mask[8 : 8 + 16, left : left + 16] = 1
    return mask


def track(number: int, frames: range) -> MaskTrack:
    """The square's masks."""
    counts = tuple(masks.encode(square(number, f)) for f in frames)
    return MaskTrack(height=HEIGHT, width=WIDTH, frames=tuple(frames), counts=counts)


def sample(source: str, number: int) -> Sample:
    """One sample; odd and even ones have different categories."""
    video = VideoRef(
        path="broken.mp4" if number == BROKEN else "good.mp4",
        num_frames=FRAMES,
        fps=FPS,
        duration_s=FRAMES / FPS,
        height=HEIGHT,
        width=WIDTH,
        sha256=("b" if number == BROKEN else "a") * 64,  # in place of a probe's; not compared without a head
    )
    family, span = (SOURCES | MORE)[source], temporal.span(0.5, 2.0, 2.0)
    category = "odd" if number % 2 else "even"
    question, answer, more = "What colour is it?", "", dict[str, Any]()
    task = Task.CHOICE
    if family in ("mvbench", "videorefer_bench_q"):
        more = {"choices": ("Red.", "Green.", "Blue."), "answer_index": number % 3}
        if family == "videorefer_bench_q":
            question, more["regions"] = "What colour is <region>?", (track(0, range(6, 9)),)
        else:
            more["clip"] = temporal.span(0.5, 1.5, 2.0)
    elif family == "mevis":
        task, question, answer = Task.SEGMENT, "Segment the square.", "It is [SEG]."
        more, category = {"targets": (track(0, range(FRAMES)),), "expression": "Red Square"}, ""
    elif family == "videorefer_bench_d":
        task, question, answer = Task.REFER, "Describe [<region>].", f"A red square, number {number}."
        more, category = {"regions": (track(0, range(6, 9)),), "reference": answer}, ""
    elif family == "charades_sta":
        task, question, answer = Task.TEMPORAL, "When is it there?", temporal.write(span)
        more, category = {"spans": (span,), "expression": "The square moves."}, ""
    elif family == "qvhighlights":
        spans = (span, temporal.span(1.5, 2.0, 2.0))
        task, question, answer = Task.TEMPORAL, "When is it there?", ", ".join(map(temporal.write, spans))
        more, category = {"spans": spans, "expression": "The square moves."}, ""
    else:
        task, question, category = (
            Task.COOPERATIVE,
            "When is it there? Segment it.",
            "PixTRQA" if number % 2 else "PixHQA",
        )
        answer = f"{temporal.write(span)}. It is [SEG]." if number % 2 else "It is [SEG]."
        more = {"targets": (track(0, range(5, 9)),), "spans": (span,) if number % 2 else ()}
        span_text = answer.removesuffix("It is [SEG].")
        more["reference"] = f"{span_text}A red square moves. The segmentation mask is [SEG]."
    turns = (
        Turn(role=Role.USER, text=question),
        *((Turn(role=Role.ASSISTANT, text=answer),) if answer else ()),
    )
    return Sample(
        key=f"{source}/{number}",
        dataset=source,
        task=task,
        video=video,
        turns=turns,
        category=category,
        **more,
    )


def write_dataset(folder: Path) -> Location:
    """Videos and shards."""
    import av

    media, out = folder / "media", Location.parse(folder / "data")
    media.mkdir(parents=True)
    with av.open(str(media / "good.mp4"), "w") as container:
        stream = container.add_stream("libx264", rate=FPS)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for frame in range(FRAMES):
            picture = np.full((HEIGHT, WIDTH, 3), 90, np.uint8)
            picture[square(0, frame) > 0] = (220, 30, 30)
            for packet in stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)
    (media / "broken.mp4").write_bytes(b"\x00\x00\x00\x18ftypmp42" + bytes(64))
    shards, entries = [], []
    for source in SOURCES:
        shards.append(write_shard(out, source, 0, to_table([sample(source, n) for n in range(PER_SOURCE)])))
        entries.append(
            SourceEntry(
                name=source,
                use=Use.BENCHMARK,
                read=PER_SOURCE,
                kept=PER_SOURCE,
                rejected=0,
                not_selected=0,
                rejects={},
                media=(str(media),),
            )
        )
    write_manifest(out, make_manifest(shards, entries, 2048))
    return out


def make_plan(folder: Path) -> Plan:
    """A plan that scores init and one outside checkpoint on the six benchmarks."""
    (folder / "none.json").write_text("[]")
    sources = [
        {
            "name": name,
            "format": family if family != "mevis" else "meta_expressions",
            "use": "benchmark",
            "annotations": str(folder / "none.json"),
            "media": [str(folder / "media")],
        }
        for name, family in SOURCES.items()
    ]
    evaluation = {
        "checkpoints": ["init"],
        "benchmarks": [{"source": name, "family": family} for name, family in SOURCES.items()],
        "max_new_tokens": 6,
        "report_samples": 2,
        "actors": 1,
        "batch_size": 4,
        "use_gpu": False,
        "cpus_per_actor": 1,
        "torch_threads": 1,
    }
    return Plan.model_validate(
        {
            "name": "tiny",
            "storage": {"root": str(folder / "runs")},
            "ray": {"num_cpus": 2, "object_store_mb": 100},
            "model": {"preset": "toy", "tokenizer": {"vocab_size": 300}},
            "data": {"sources": sources},
            "evaluation": evaluation,
        }
    )


def write_checkpoint(folder: Path) -> None:
    """The toy model with random weights."""
    from pipeline.plan.presets import model_config
    from training.model.build import build_model
    from training.model.tokenizer import train_tokenizer
    from training.model.tokens import TokenIds
    from training.model.weights.checkpoints import save_model

    # Every word of the tests' questions is one token: predict tells of others.
    tokenizer = train_tokenizer(["What colour is the square? Where is the square?"], vocab_size=320)
    config = model_config("toy", {"language": {"vocab_size": len(tokenizer)}})
    save_model(build_model(config, TokenIds.of(tokenizer), seed=1), folder / "model")
    tokenizer.save_pretrained(str(folder / "tokenizer"))


def finished(plan: Plan, step: str, content: Path, digest: str) -> Artifact:
    """Commits a folder as a step's artifact where the plan expects it."""
    plan_status = survey(plan)
    out = plan_status.folder(step)
    out.put_dir(content)
    record = ArtifactRecord(
        step=step,
        kind=str(plan_status.spec(step).kind),
        fingerprint=plan_status.fingerprints[step],
        digest=digest,
        schema_version=1,
        code=code_version(),
        inputs={n: made.ref for n in plan_status.spec(step).needs if (made := plan_status.artifacts[n])},
        config={},
        summary={},
        created="2026-01-01T00:00:00Z",
        seconds=0.0,
    )
    return commit_artifact(out, record)


def staged(folder: Path) -> Plan:
    """A plan whose prepare and init are finished."""
    folder.mkdir(parents=True, exist_ok=True)
    plan = make_plan(folder)
    data = write_dataset(folder)
    finished(plan, "prepare", data.local_path, read_manifest(data).digest)
    write_checkpoint(folder / "checkpoint")
    finished(plan, "init", folder / "checkpoint", "checkpoint-1")
    return plan


def flawless(sample_: Sample) -> tuple[str, tuple[MaskTrack, ...]]:
    """The text and masks that score full marks."""
    text = next((t.text for t in sample_.turns if t.role is Role.ASSISTANT), "")
    if sample_.answer_index >= 0:
        text = f"({'ABC'[sample_.answer_index]})"
    return text, tuple(replace(t) for t in sample_.targets)

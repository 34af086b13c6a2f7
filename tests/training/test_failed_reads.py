"""A read that fails never becomes a substitute; only what is wrong with a sample itself does."""

from __future__ import annotations

import gc
import os
import re
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_corpus import VIDEOS, stage, write_dataset

from pipeline.artifacts.checkpoint import TOKENIZER, start_config
from pipeline.dataset.manifest import read_manifest, write_manifest
from pipeline.errors import StorageError
from pipeline.media.same_video import VerifyVideos
from pipeline.plan.presets import model_config
from pipeline.plan.training import MixtureEntry, StageConfig
from pipeline.storage.location import Location
from tests.pipeline.faulty_s3 import Fault, Plan, faulty, hasten
from training.data import reading
from training.data.dataset import Dataset
from training.data.decode import CachedFrames
from training.data.loader import Loader, MicroBatch
from training.data.order import BatchSplit
from training.data.reading import Tries
from training.data.waiting import TimedThreads
from training.loop.reporter import LocalReporter
from training.loop.train import Job, train
from training.model.processor import Processor, View
from training.model.prompt import PromptCodec
from training.model.tokenizer import load_tokenizer

CLIP = "v2.mp4"


@pytest.fixture(scope="module")
def processor(start: Location) -> Processor:
    return Processor(model_config("toy"), PromptCodec(load_tokenizer(start.local_path / TOKENIZER)), seed=7)


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Begin with a tenth of a second."""
    monkeypatch.setattr(reading, "FIRST_PAUSE_S", 0.1)


@pytest.fixture
def data(tmp_path: Path) -> Location:
    return write_dataset(tmp_path / "corpus", hashed=True)


def media(data: Location) -> Path:
    return data.local_path.parent / "media"


def epoch(
    dataset: Dataset,
    processor: Processor,
    *,
    retry_s: float = 60,
    say: Callable[[str], None] = print,
    limit_s: float = 600,
) -> list[MicroBatch]:
    """All micro-batches of an epoch of one source, every video once."""
    config = stage(global_batch=2, mixture={"qa": MixtureEntry()})
    return list(
        Loader(
            order=dataset.order(config, 7),
            split=BatchSplit(global_batch=2, workers=1, micro_batch=2),
            worker=0,
            reader=dataset.reader,
            processor=processor,
            frames=CachedFrames(dataset.reader.footage, {v: processor.side(v) for v in View}, capacity_mb=0),
            threads=1,
            start_step=0,
            stop_step=VIDEOS // 2,
            retry_s=retry_s,
            limit_s=limit_s,
            say=say,
        )
    )


class Once:
    """A listener to the loader that acts on the first line that it says, and keeps all of them."""

    def __init__(self, act: Callable[[], object]) -> None:
        self._act, self.lines = act, list[str]()

    def __call__(self, text: str) -> None:
        self.lines.append(text)
        if len(self.lines) == 1:
            self._act()


def assert_same(one: list[MicroBatch], other: list[MicroBatch]) -> None:
    for a, b in zip(one, other, strict=True):
        assert a.keys == b.keys
        assert torch.equal(a.batch.video, b.batch.video)
        assert torch.equal(a.batch.input_ids, b.batch.input_ids)
    assert not any(batch.quarantined for batch in other)


def test_a_video_that_is_away_for_a_moment_is_waited_for(data: Location, processor: Processor) -> None:
    undisturbed = epoch(Dataset.open(data), processor)
    clip, aside = media(data) / CLIP, media(data) / "aside"
    clip.rename(aside)
    said = Once(lambda: aside.rename(clip))
    again = epoch(Dataset.open(data), processor, say=said)
    assert_same(undisturbed, again)
    assert sum(batch.repeated_reads for batch in again) == len(said.lines) == 1
    assert f"{clip}: could not be read for sample qa/2, is tried again in " in said.lines[0]


def test_a_video_that_stays_away_stops_the_worker(data: Location, processor: Processor) -> None:
    clip = media(data) / CLIP
    clip.unlink()
    with pytest.raises(StorageError) as caught:
        epoch(Dataset.open(data), processor, retry_s=0.2)
    assert caught.value.where == str(clip)
    assert re.search(r"could not be read for sample qa/2; tried [34] times in 0.2 s", caught.value.problem)
    assert "MissingVideoError: is gone since the data was prepared" in caught.value.problem
    assert "goes on from its last saved state" in caught.value.fix


def cut(file: Path) -> None:
    """The second half of the pictures is gone, as after an interrupted copy; the size is that of the file."""
    content = file.read_bytes()
    file.write_bytes(content[:200] + bytes(len(content) - 200))


@pytest.mark.parametrize("when", ["before it was prepared", "since"])
def test_a_damaged_video_is_substituted(when: str, tmp_path: Path, processor: Processor) -> None:
    """What was prepared is damaged: no pause. Another file is in its place: looked at twice."""
    before = when != "since"
    data = write_dataset(tmp_path / "corpus", broken=(2,) if before else (), hashed=True)
    if not before:
        cut(media(data) / CLIP)
    said: list[str] = []
    batches = epoch(Dataset.open(data, verify=VerifyVideos.WHOLE), processor, say=said.append)
    (one,) = (row for batch in batches for row in batch.quarantined)
    assert one.key == "qa/2"
    assert ("VideoError" if before else "is not the video that the dataset was prepared from") in one.reason
    assert len(said) == sum(batch.repeated_reads for batch in batches) == (0 if before else 1)
    if not before:
        assert "does not have the content that was prepared" in said[0]


def test_a_video_that_is_being_written_is_waited_for(data: Location, processor: Processor) -> None:
    """It differs in every reading until it is whole. Fails if the first difference makes a substitute."""
    undisturbed = epoch(Dataset.open(data), processor)
    clip = media(data) / CLIP
    whole = clip.read_bytes()
    parts = iter([whole[: len(whole) // 2], whole])
    clip.write_bytes(whole[:100])
    said: list[str] = []

    def write_on(text: str) -> None:
        said.append(text)
        clip.write_bytes(next(parts))

    assert_same(undisturbed, epoch(Dataset.open(data), processor, say=write_on))
    assert "has another content in every reading" in said[1]


@pytest.mark.slow
def test_a_file_that_does_not_answer_is_named_and_read_again(data: Location, processor: Processor) -> None:
    """A named pipe without a writer: opening it waits for ever, and so does the only thread of the loader."""
    undisturbed = epoch(Dataset.open(data), processor)
    clip, aside = media(data) / CLIP, media(data) / "aside"
    clip.rename(aside)
    os.mkfifo(clip)
    said: list[str] = []

    def mend(text: str) -> None:
        said.append(text)
        if "is read again" in text:
            aside.rename(clip)

    assert_same(undisturbed, epoch(Dataset.open(data), processor, limit_s=6, say=mend))
    assert re.search(rf"{clip}: has been read for \d s for sample qa/2; the limit is 6 s", said[0])
    assert said[-1] == f"{clip}: did not answer for sample qa/2 within 6 s, is read again"


def test_a_file_that_never_answers_stops_the_worker(tmp_path: Path) -> None:
    pipe, said = tmp_path / "pipe", list[str]()
    os.mkfifo(pipe)

    def read(path: Path, tries: Tries) -> str:
        tries.place, tries.what, tries.since = str(path), "sample qa/2", time.monotonic()
        return path.read_text()

    (tmp_path / "file").write_text("content")
    threads = TimedThreads(read, 1, limit_s=0.5, say=said.append)
    first, second, third = (threads.begin(tmp_path / name) for name in ("file", "pipe", "file"))
    assert threads.result(first) == "content"
    with pytest.raises(
        StorageError, match=rf"{pipe}: did not answer for sample qa/2: read 2 times, 0.5 s each"
    ):
        threads.result(second)
    assert f"{pipe}: did not answer for sample qa/2 within 0.5 s, is read again" in said
    os.close(os.open(pipe, os.O_WRONLY))  # the threads that were given up come back, and go on
    assert threads.result(third) == "content"


def test_a_stale_handle_of_a_shard_is_opened_again(data: Location) -> None:
    """A network mount that came back refuses every handle from before. Here: one that cannot be read."""
    shard = str(data.local_path / "data/qa-00000.parquet")
    expected = Dataset.open(data).sample("qa", 0)
    gc.collect()  # closes that reader's files
    again = Dataset.open(data)
    again.reader._files.get("data/qa-00000.parquet")
    (number,) = (
        int(entry.name) for entry in Path("/proc/self/fd").iterdir() if os.path.realpath(entry) == shard
    )
    write_only = os.open(os.devnull, os.O_WRONLY)
    os.dup2(write_only, number)
    os.close(write_only)
    with pytest.raises(OSError, match="Bad file descriptor"):
        again.sample("qa", 0)
    assert again.sample("qa", 0) == expected


# With S3.


@pytest.fixture
def remote(data: Location, s3_bucket: str, tmp_path: Path) -> Location:
    """The dataset with its videos on S3, its shards on the disk."""
    place = Location.parse(s3_bucket + "/media", tmp_path / "cache")
    for file in sorted(media(data).iterdir()):
        (place / file.name).put_file(file)
    manifest = read_manifest(data)
    sources = tuple(s.model_copy(update={"media": (place.uri,)}) for s in manifest.sources)
    write_manifest(data, manifest.model_copy(update={"sources": sources}))
    return Location.parse(data.uri, tmp_path / "cache")


@pytest.mark.slow
def test_a_damaged_copy_of_a_remote_video_is_fetched_again(remote: Location, processor: Processor) -> None:
    """Else one node would train on a substitute, and the others not."""
    dataset = Dataset.open(remote)
    undisturbed = epoch(dataset, processor)
    copy = dataset.reader.media(dataset.sample("qa", 2)).fetch()
    cut(copy)
    said: list[str] = []
    again = epoch(Dataset.open(remote, verify=VerifyVideos.WHOLE), processor, say=said.append)
    assert_same(undisturbed, again)
    assert said == []


class Outage:
    """A server that answers 503 from a step on for some seconds."""

    def __init__(self, seconds: float) -> None:
        self._seconds, self._on = seconds, threading.Event()
        self.plan = Plan([Fault.SLOW_DOWN], 10**9, lambda method, path: self._on.is_set())

    def begin(self) -> None:
        self._on.set()
        timer = threading.Timer(self._seconds, self._on.clear)
        timer.daemon = True
        timer.start()


class FromFirstStep(LocalReporter):
    """Begins an outage once the first step is done."""

    def __init__(self, folder: Path, outage: Outage) -> None:
        super().__init__(folder)
        self._outage = outage

    def row(self, row: Any) -> None:
        super().row(row)
        if row.step == 0:
            self._outage.begin()


@pytest.mark.slow
def test_s3_away_in_mid_run_changes_neither_losses_nor_weights(
    remote: Location, start: Location, s3_server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Longer than all tries of the client. Fails if it makes substitutes, or stops the worker."""
    hasten(monkeypatch)  # the client gives up after a second, not after half a minute

    def run(name: str, reporter: LocalReporter, config: StageConfig) -> str:
        cache = Location.parse(remote.uri, tmp_path / f"cache-{name}")
        model = start_config(start, model_config("toy"), "one")
        job = Job(
            stage=config, model=model, seed=7, data=cache, start=start, out=Location.parse(tmp_path / name)
        )
        return train(job, reporter).digest

    config = stage(steps=6, layout={"save_every": 100, "read_retry_s": 60})
    calm = LocalReporter(tmp_path / "s-calm")
    digest = run("calm", calm, config)
    outage = Outage(7.0)
    with faulty(s3_server, outage.plan) as url:
        monkeypatch.setenv("AWS_ENDPOINT_URL", url)
        disturbed = FromFirstStep(tmp_path / "s-disturbed", outage)
        assert run("disturbed", disturbed, config) == digest
    assert outage.plan.failed > 5, "the outage hit nothing"
    assert sum(row["repeated_reads"] for row in disturbed.rows.values()) > 0, "the client alone survived it"
    assert disturbed.quarantined == []
    for step, row in calm.rows.items():
        assert disturbed.rows[step]["loss/total"] == row["loss/total"]

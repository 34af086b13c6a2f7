"""Frames baked into the dataset: those of the videos, each stored once, the same bytes every time."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from datasets_prep import run
from datasets_prep.card import gallery
from datasets_prep.card.build import write_card
from datasets_prep.passes.select import rank
from pipeline.artifacts.fingerprint import code_version
from pipeline.artifacts.record import ArtifactRecord, commit_artifact
from pipeline.artifacts.steps import Kind, steps
from pipeline.artifacts.verify import verify
from pipeline.dataset.arrow import SCHEMA_VERSION
from pipeline.dataset.baked import FramesReader, frames_name, to_jpeg, write_frames
from pipeline.dataset.manifest import MANIFEST, Manifest, make_manifest
from pipeline.dataset.reader import ShardReader
from pipeline.errors import UserError
from pipeline.media.frame_choice import frames_needed, sample_indices
from pipeline.media.video import VideoError, decode
from pipeline.plan.data import BakeConfig, PrepConfig, SourceConfig
from pipeline.plan.load import load_plan
from pipeline.records import masks
from pipeline.records.sample import Sample, VideoRef
from pipeline.storage.location import Location
from tests.datasets_prep.clips import HEIGHT, WIDTH, write_clip, write_folder

pytestmark = pytest.mark.usefixtures("without_ray")
SEED = 7
BAKE = BakeConfig(frames=8)
RLE = {"size": [HEIGHT, WIDTH], "counts": masks.encode(np.eye(HEIGHT, WIDTH, dtype=np.uint8))}


def conversation(*texts: str) -> list[dict[str, str]]:
    return [{"from": ("human", "gpt")[i % 2], "value": t} for i, t in enumerate(texts)]


def write_json(path: Path, content: Any) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))
    return str(path)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Four small sources of two clips and three folders of stills, two of which hold a damaged still."""
    media = tmp_path / "media"
    write_clip(media / "a.mp4", frames=40, fps=10)
    write_clip(media / "b.mp4", frames=20, fps=10)
    for name, damaged in (("v0", None), ("v1", 4), ("v2", 5)):
        folder = write_folder(media / name, frames=20)
        if damaged is not None:
            place = folder / f"{damaged:05d}.jpg"
            content = place.read_bytes()
            place.write_bytes(content[: content.rindex(b"\xff\xda") + 14])  # up to where its pixels begin
    qa = [(v, n) for n in range(4) for v in ("a.mp4", "b.mp4", "v1", "v2")]
    rows = [{"video": v, "conversations": conversation(f"{n}?", "A")} for v, n in qa]
    write_json(
        tmp_path / "qa.json",
        [*rows[:6], {"video": "gone.mp4", "conversations": conversation("?", "!")}, *rows[6:]],
    )
    two = {"question": "Which?", "candidates": ["one", "two"], "answer": "one"}
    clips = [("a.mp4", 1.0, 3.0), ("a.mp4", 0.0, 1.0), ("v1", 3.0, 6.0), ("v1", 0.0, 6.6)]
    write_json(tmp_path / "mv" / "own.json", [{"video": v, "start": s, "end": e, **two} for v, s, e in clips])
    names = [f"{n:05d}" for n in range(20)]
    found = {"0": {"exp": "it", "anno_id": [1]}}
    for name, more in (("seg", {"v0": found}), ("hidden", {"v0": {"0": {"exp": "it"}}})):
        meta = {v: {"frames": names, "expressions": e} for v, e in more.items()}
        write_json(tmp_path / name / "meta_expressions.json", {"videos": meta})
    write_json(
        tmp_path / "seg" / "mask_dict.json", {"1": [RLE if n in (2, 9, 17) else None for n in range(20)]}
    )
    return tmp_path


def plan(home: Path, bake: BakeConfig | None = BAKE, **select: int) -> PrepConfig:
    rows = [
        ("qa", "llava_video", "qa.json", "train"),
        ("clip", "mvbench", "mv", "benchmark"),
        ("seg", "meta_expressions", "seg", "train"),
        ("hidden", "meta_expressions", "hidden", "benchmark"),
    ]
    sources = tuple(
        SourceConfig.model_validate(
            {
                "name": name,
                "format": form,
                "annotations": str(home / path),
                "media": (str(home / "nowhere"), str(home / "media")),
                "use": use,
                "select": {"count": select.get(name)},
            }
        )
        for name, form, path, use in rows
    )
    return PrepConfig(sources=sources, rows_per_shard=8, bake=bake)


def build(home: Path, out: str, config: PrepConfig | None = None, mark: str = "") -> Manifest:
    prep = config or plan(home)
    digests = {s.name: f"{s.name} {mark}" for s in prep.sources} if mark else None
    return run.build(prep, Location.parse, Location.parse(home / "made" / out), SEED, digests)


def reader_of(home: Path, out: str) -> ShardReader:
    return ShardReader(Location.parse(home / "made" / out))


def all_samples(reader: ShardReader) -> list[Sample]:
    return [reader.sample(source, row) for source in reader.sources for row in range(reader.count(source))]


def test_each_frame_is_baked_once_and_no_video_is_needed_afterwards(
    home: Path,
) -> None:
    made = build(home, "baked")
    reader = reader_of(home, "baked")
    reader.verify()
    truth = {}
    for sample in all_samples(reader):
        indices = frames_needed(sample, 8)
        place = reader.media(sample).local_path
        truth[sample.key] = decode(place, indices, frames=sample.video.frames)
    (home / "media").rename(home / "away")
    total = 0
    for shard in made.shards:
        assert shard.frames is not None
        assert shard.frames.name == shard.name.replace("data/", "frames/").replace(".parquet", ".pq")
        rows = pq.read_table(home / "made" / "baked" / shard.frames.name).to_pylist()
        assert len(rows) == shard.frames.rows
        named = [(row["path"], row["sha256"], row["frame"]) for row in rows]
        assert len(set(named)) == len(named)
        total += len(named)
        keys = set(pq.read_table(home / "made" / "baked" / shard.name, columns=["key"])["key"].to_pylist())
        own = [s for s in all_samples(reader) if s.key in keys]
        assert set(named) == {(s.video.path, s.video.sha256, f) for s in own for f in frames_needed(s, 8)}, (
            "what its samples need, and nothing else"
        )
    assert total > 60
    again = reader_of(home, "baked")  # nothing in memory
    for sample in all_samples(again):
        baked = again.baked_footage(sample)
        assert baked is not None
        pixels = baked.decode(frames_needed(sample, 8))
        assert pixels.dtype == np.uint8
        assert np.abs(pixels.astype(int) - truth[sample.key]).max() <= 2, "pictures of one grey each"
    hidden = again.sample("hidden", 0)
    assert len(again.baked_footage(hidden).indices()) == hidden.video.num_frames == 20  # type: ignore[union-attr]
    assert {2, 9, 17} <= set(again.baked_footage(again.sample("seg", 0)).indices())  # type: ignore[union-attr]


def test_baked_frames_decode_in_any_order_with_repeats_and_a_missing_frame_is_an_error(
    home: Path,
) -> None:
    build(home, "baked")
    reader = reader_of(home, "baked")
    sample = next(s for s in all_samples(reader) if s.video.path == "b.mp4")
    baked = reader.baked_footage(sample)
    assert baked is not None
    there = sample_indices(20, 8)
    assert baked.indices() == there
    pixels = baked.decode([there[5], there[0], there[5]])
    assert [round(p.mean() / 9) for p in pixels] == [there[5], there[0], there[5]]
    for missing in ([0], [19], [there[2], there[2] + 1], [-1]):
        with pytest.raises(UserError, match=r"frames/qa-0000\d\.pq: holds no frame .* of b\.mp4") as error:
            baked.decode(missing)
        assert "data.bake.frames" in str(error.value)
    reader.refuse_other_frames(8)
    with pytest.raises(UserError, match=r"models that look at 8 of a video; this one looks at 16"):
        reader.refuse_other_frames(16)
    stranger = dataclasses.replace(sample, key="qa/of another")
    with pytest.raises(UserError, match="no baked frames of qa/of another"):
        reader.baked_footage(stranger)
    other = dataclasses.replace(sample, video=dataclasses.replace(sample.video, sha256="0" * 64))
    with pytest.raises(UserError, match="it has none"):
        reader.baked_footage(other).decode([there[0]])  # type: ignore[union-attr]


def test_a_damaged_frame_rejects_the_samples_that_need_it_and_no_others(home: Path) -> None:
    made = build(home, "baked")
    qa, clip = made.source("qa"), made.source("clip")
    # Frame 4 of v1 is one of eight out of twenty, frame 5 of v2 is none of them.
    assert sample_indices(20, 8)[1] == 4
    assert 5 not in sample_indices(20, 8)
    assert qa.rejects == {"media_missing": 1, "media_unreadable": 4}
    assert (qa.read, qa.kept, qa.rejected) == (17, 12, 5)
    reader = reader_of(home, "baked")
    assert {reader.sample("qa", row).video.path for row in range(12)} == {"a.mp4", "b.mp4", "v2"}
    rejects = reader.rejects().to_pylist()
    own = [(r["key"], r["reason"]) for r in rejects if r["source"] == "qa"]
    damaged = {2: "media_unreadable", 6: "media_missing", 7: "media_unreadable", 11: "media_unreadable"}
    assert own == [(f"qa/{n}", r) for n, r in sorted({**damaged, 15: "media_unreadable"}.items())]
    details = {r["detail"] for r in rejects if r["reason"] == "media_unreadable"}
    assert len(details) == 1
    (detail,) = details
    assert detail.startswith("v1: 00004.jpg: damaged image")
    assert str(home) not in detail
    # A clip after the damaged frame is kept; one that shows it is not.
    assert (clip.kept, clip.rejects) == (3, {"media_unreadable": 1})
    assert build(home, "plain", plan(home, None)).source("qa").rejects == {"media_missing": 1}


def test_a_clamped_sample_that_is_rejected_later_does_not_count_as_clamped(home: Path) -> None:
    rows = [
        {"video": v, "tgt": [1, 9], "conversations": conversation("?", "<TIME_STAMP>")}
        for v in ("v1", "b.mp4")
    ]
    values = {
        "name": "tg",
        "format": "time_stamp",
        "annotations": write_json(home / "tg.json", rows),
        "media": (str(home / "media"),),
        "outside_spans": "clamp",
    }
    prep = PrepConfig(sources=(SourceConfig.model_validate(values),), bake=BAKE)
    (entry,) = build(home, "clamped", prep).sources
    assert (entry.read, entry.kept, entry.clamped) == (2, 1, 1)
    assert entry.rejects == {"media_unreadable": 1}


def test_the_requested_number_of_samples_is_kept_although_some_do_not_decode(home: Path) -> None:
    made = build(home, "some", plan(home, qa=9))
    assert (made.source("qa").kept, made.source("qa").planned) == (9, 9)
    keys = reader_of(home, "some").keys("qa")
    good = [f"qa/{n}" for n in range(17) if n not in (2, 6, 7, 11, 15)]
    assert sorted(keys) == sorted(sorted(good, key=lambda k: rank(SEED, k))[:9])


def test_a_source_of_which_nothing_decodes_is_refused_and_leaves_no_file(home: Path) -> None:
    for video in ("a.mp4", "b.mp4", "v2"):
        place = home / "media" / video
        shutil.rmtree(place) if place.is_dir() else place.unlink()
        shutil.copytree(home / "media" / "v1", place)
    with pytest.raises(UserError, match=r"source qa: gave no sample.*16 x media_unreadable"):
        build(home, "none")
    left = [p for p in (home / "made" / "none").rglob("qa-*") if p.suffix in (".parquet", ".pq")]
    assert left == []


def files(home: Path, out: str) -> dict[str, bytes]:
    folder = home / "made" / out
    found = [p for p in folder.rglob("*") if p.suffix in (".parquet", ".pq")]
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in found}


def test_baking_again_gives_the_same_bytes(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = build(home, "first")
    spread = run.spread
    monkeypatch.setattr(run, "spread", lambda t, pieces, work, n=None: spread(t, list(pieces)[::-1], work, n))
    (home / "made" / "again" / "frames").mkdir(parents=True)
    (home / "made" / "again" / "frames" / "qa-00007.pq").write_bytes(b"of an earlier attempt")
    again = build(home, "again")
    assert again == first
    assert files(home, "again") == files(home, "first")
    assert build(home, "small", plan(home, BAKE.model_copy(update={"quality": 60}))).digest != first.digest
    shard = first.shards[0]
    assert shard.frames is not None
    other = shard.model_copy(update={"frames": shard.frames.model_copy(update={"sha256": "0" * 64})})
    changed = make_manifest([other, *first.shards[1:]], first.sources, first.rows_per_shard, first.bake)
    assert changed.digest != first.digest


def test_without_baking_the_manifest_and_the_identity_do_not_mention_it(home: Path, plan_file: Path) -> None:
    made = build(home, "plain", plan(home, None))
    assert made.bake is None
    assert not (home / "made" / "plain" / "frames").exists()
    text = (home / "made" / "plain" / MANIFEST).read_text()
    assert '"bake"' not in text
    assert '"frames"' not in text
    # The formula of the version before baking.
    counts = [s.model_dump(mode="json", exclude={"media", "identity", "planned"}) for s in made.sources]
    before = [SCHEMA_VERSION, [[s.name, s.sha256] for s in made.shards], counts]
    assert made.digest == hashlib.sha256(json.dumps(before, sort_keys=True).encode()).hexdigest()
    assert set(made.shards[0].model_dump()) == {"name", "source", "rows", "bytes", "sha256"}
    assert reader_of(home, "plain").baked_footage(reader_of(home, "plain").sample("qa", 0)) is None
    reader_of(home, "plain").refuse_other_frames(3)
    spec = next(s for s in steps(load_plan(str(plan_file))) if s.kind is Kind.PREPARE)
    assert "bake" not in spec.identity["data"]


def test_settings_of_baking_are_part_of_the_identity(plan_file: Path) -> None:
    def identity(*sets: str) -> Any:
        loaded = load_plan(str(plan_file), sets)
        return next(s for s in steps(loaded) if s.kind is Kind.PREPARE).identity

    baked = identity("data.bake.frames=8")
    assert baked != identity()
    assert baked != identity("data.bake.frames=8", "data.bake.quality=80")
    assert baked != identity("data.bake.frames=8", "data.bake.longest_side=512")


def test_a_plan_whose_model_needs_other_frames_is_refused(plan_file: Path) -> None:
    for sets in (["data.bake={}"], ["data.bake.frames=8", "model.overrides.num_frames=16"]):
        with pytest.raises(UserError) as error:
            steps(load_plan(str(plan_file), sets))
        message = str(error.value)
        assert "\n" not in message
        assert message.startswith("data.bake: bakes ")
        assert "num_frames of the preset toy" in message
        assert "Set data.bake.frames: " in message
    steps(load_plan(str(plan_file), ["data.bake.frames=16", "model.overrides.num_frames=16"]))


def test_a_killed_job_resumes_and_bakes_damaged_frames_again(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = build(home, "whole")
    real, made = run.run_job, list[Any]()

    def dies_at_the_end(job: Any, *rest: Any) -> Any:
        if job.source == "hidden":
            raise KeyboardInterrupt
        made.append((job.source, job.number))
        return real(job, *rest)

    monkeypatch.setattr(run, "run_job", dies_at_the_end)
    with pytest.raises(KeyboardInterrupt):
        build(home, "killed", mark="x")
    assert made == [("qa", 0), ("qa", 1), ("qa", 2), ("clip", 0), ("seg", 0)]
    altered, gone = (home / "made" / "killed" / "frames" / f"qa-0000{n}.pq" for n in (0, 2))
    altered.write_bytes(altered.read_bytes()[:-1] + b"?")
    gone.unlink()
    made.clear()

    def counts(job: Any, *rest: Any) -> Any:
        made.append((job.source, job.number))
        return real(job, *rest)

    monkeypatch.setattr(run, "run_job", counts)
    again = build(home, "killed", mark="x")
    assert made == [("qa", 0), ("qa", 2), ("hidden", 0)]
    assert (again.digest, files(home, "killed")) == (whole.digest, files(home, "whole"))


def test_sources_of_an_earlier_dataset_are_reused_with_their_frames(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = build(home, "before", mark="x")
    made, real = list[str](), run.run_job

    def counts(job: Any, *rest: Any) -> Any:
        made.append(job.source)
        return real(job, *rest)

    monkeypatch.setattr(run, "run_job", counts)
    assert build(home, "after", mark="x") == before
    assert not made
    reader_of(home, "after").verify()
    # A source whose frames file was altered is prepared again; with other settings all sources are.
    for out in ("before", "after"):
        place = home / "made" / out / "frames" / "seg-00000.pq"
        content = place.read_bytes()
        place.unlink()  # the datasets may share it
        place.write_bytes(content[:100] + b"?" + content[101:])
    assert build(home, "third", mark="x").digest == before.digest
    assert made == ["seg"]
    made.clear()
    build(home, "smaller", plan(home, BakeConfig(frames=8, longest_side=32)), mark="x")
    assert set(made) == {"qa", "clip", "seg", "hidden"}


def test_verify_finds_a_flipped_bit_and_an_edited_manifest(home: Path) -> None:
    manifest = build(home, "baked")
    place = home / "made" / "baked"
    record = ArtifactRecord(
        step="prepare",
        kind=Kind.PREPARE,
        fingerprint="f",
        digest=manifest.digest,
        schema_version=SCHEMA_VERSION,
        code=code_version(),
        inputs={},
        config={},
        summary={},
        created="2026-01-01T00:00:00Z",
        seconds=0.0,
    )
    commit_artifact(Location.parse(place), record)
    verdict = verify(Location.parse(place))
    assert (verdict.damage, verdict.files) == ((), 2 * len(manifest.shards))
    file = place / "frames" / "qa-00001.pq"
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    assert verify(Location.parse(place)).damage == ("frames/qa-00001.pq is missing or altered",)
    with pytest.raises(UserError, match=r"frames/qa-00001\.pq: is missing or altered"):
        reader_of(home, "baked").verify()
    text = (place / MANIFEST).read_text()
    (place / MANIFEST).write_text(text.replace('"quality": 95', '"quality": 94'))
    assert any(d.startswith("manifest.json says digest") for d in verify(Location.parse(place)).damage)


def test_the_card_shows_baked_frames_where_the_video_is_missing(home: Path) -> None:
    build(home, "baked")
    reader = reader_of(home, "baked")
    write_card(reader, Location.parse(home / "made" / "baked"), title="t", seed=1)
    page = (home / "made" / "baked" / "card.html").read_text()
    (home / "media").rename(home / "away")
    write_card(reader_of(home, "baked"), Location.parse(home / "made" / "baked"), title="t", seed=1)
    assert (home / "made" / "baked" / "card.html").read_text() == page
    assert "so there are no frames to show" not in page
    assert page.count("data:image/jpeg") > 12
    sample = next(s for s in all_samples(reader) if s.video.path == "b.mp4")
    frames = reader.baked_footage(sample)
    assert frames is not None
    have = dict(zip(frames.indices(), frames.decode(frames.indices()), strict=True))
    assert not set(gallery.frames_to_show(sample)) <= set(have), "with the video it would show other frames"
    assert len(gallery.show(sample, have).frames) == gallery.PLAIN_PICTURES
    assert "for models that look at\n8 of a video" in page


def test_pictures_shrink_and_never_grow() -> None:
    rng = np.random.default_rng(0)
    picture = rng.integers(0, 255, (48, 96, 3), np.uint8)

    def size(side: int | None) -> tuple[int, int]:
        return Image.open(io.BytesIO(to_jpeg(picture, side, 90))).size

    assert size(None) == size(96) == size(4000) == (96, 48)
    assert size(32) == (32, 16)
    assert to_jpeg(picture, 32, 90) == to_jpeg(picture, 32, 90)
    reds = np.zeros((16, 16, 3), np.uint8)
    reds[:, ::2] = (250, 20, 20)
    back = np.asarray(Image.open(io.BytesIO(to_jpeg(reds, None, 95))).convert("RGB"))
    assert np.abs(back.astype(int) - reds).max() < 30, "columns of colour stay distinct: 4:4:4"


def test_row_groups_are_small_and_a_video_may_span_several(tmp_path: Path) -> None:
    refs = [VideoRef(path=f"{n}.mp4", sha256=str(n % 2)) for n in range(4)]
    sizes = (90 << 10, 90 << 10, 90 << 10, 900 << 10)  # of one JPEG
    out = Location.parse(tmp_path)
    videos = [({3: b"3" * s, 1: b"1" * s, 7: b"7" * s}) for s in sizes[:3]]
    videos.append({n: bytes([n]) * sizes[3] for n in range(9)})
    entry = write_frames(out, "s-00000.parquet", zip(refs, videos, strict=True))
    assert entry.rows == 18
    meta = pq.ParquetFile(tmp_path / entry.name).metadata
    groups = [meta.row_group(n).num_rows for n in range(meta.num_row_groups)]
    assert groups == [3, 3, 3, 5, 4]
    reader = FramesReader(out)
    name = frames_name("s-00000.parquet")
    assert [j[:1] for j in reader.jpegs(name, refs[1], (7, 1, 3))] == [b"7", b"1", b"3"]
    assert [j[0] for j in reader.jpegs(name, refs[3], range(9))] == list(range(9))
    assert reader.indices(name, refs[0]) == [1, 3, 7]
    assert reader.indices(name, VideoRef(path="0.mp4", sha256="1")) == []


def test_a_damaged_picture_and_missing_or_foreign_files_are_errors(home: Path) -> None:
    out = Location.parse(home / "made")
    ref = VideoRef(path="x.mp4")
    good = to_jpeg(np.zeros((8, 8, 3), np.uint8), None, 95)
    entry = write_frames(out, "x-00000.parquet", [(ref, {0: good, 1: b"no picture"})])
    reader = FramesReader(out)
    from pipeline.dataset.baked import BakedFootage

    assert BakedFootage(reader, entry.name, ref).decode([0]).shape == (1, 8, 8, 3)
    with pytest.raises(VideoError, match=r"frame 1 of x\.mp4 is damaged"):
        BakedFootage(reader, entry.name, ref).decode([1])
    with pytest.raises(UserError, match="named by the manifest but missing"):
        reader.jpegs("frames/y-00000.pq", ref, [0])
    pq.write_table(pq.read_table(home / "made" / entry.name).select(["path"]), home / "made" / "z.parquet")
    with pytest.raises(UserError, match="is not a frames file of this version"):
        reader.jpegs("z.parquet", ref, [0])


def test_differences_between_datasets_name_the_frames_files(home: Path) -> None:
    from pipeline.artifacts.rebuild import _shards

    build(home, "one")
    build(home, "two", plan(home, BAKE.model_copy(update={"quality": 70})))
    one, two = (Location.parse(home / "made" / name) for name in ("one", "two"))
    assert _shards(one, one) == []
    assert {d.partition(" ")[0] for d in _shards(one, two)} == {
        f"frames/{name}.pq"
        for name in ("qa-00000", "qa-00001", "qa-00002", "clip-00000", "seg-00000", "hidden-00000")
    }


def test_frames_baked_on_s3_are_those_baked_on_disk(home: Path, s3_bucket: str, tmp_path: Path) -> None:
    """Written there and read from there, without a video: the same bytes as on a disk."""
    here = build(home, "here")
    there = Location.parse(f"{s3_bucket}/made", tmp_path / "cache")
    made = run.build(plan(home), Location.parse, there, SEED)
    assert (made.digest, made.shards) == (here.digest, here.shards)
    (home / "media").rename(home / "away")
    reader = ShardReader(there)
    reader.verify()
    local = reader_of(home, "here")
    for sample in all_samples(local):
        ours, theirs = local.baked_footage(sample), reader.baked_footage(sample)
        assert ours is not None
        assert theirs is not None
        assert np.array_equal(ours.decode(ours.indices()), theirs.decode(ours.indices()))


def test_baked_frames_are_found_whatever_the_name_of_the_video(tmp_path: Path) -> None:
    names = sorted({"a", "a/b", "b", "ä/ß.mp4", "ä/ß", "日本", "z", "😀", "a" * 900})
    refs = [VideoRef(path=name, sha256=digest) for name in names for digest in ("1", "2")]
    held = {ref: {n: f"{ref.path} {ref.sha256} {n}".encode() * 9000 for n in (0, 5)} for ref in refs}
    out = Location.parse(tmp_path)
    entry = write_frames(out, "s-00000.parquet", held.items())
    reader = FramesReader(out)
    for ref in refs:
        assert reader.jpegs(entry.name, ref, (5, 0)) == [held[ref][5], held[ref][0]]
    for name in ("", "A", "aa", "ä", "😀😀"):
        with pytest.raises(UserError, match="it has none"):
            reader.jpegs(entry.name, VideoRef(path=name, sha256="1"), (0,))

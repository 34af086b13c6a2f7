"""The whole job on Ray: counts, rejects, and the same bytes in any order of work."""

from __future__ import annotations

import json
import pickle
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from datasets_prep import run
from datasets_prep.corpora import digest_of, run_on_this_node
from datasets_prep.passes.select import rank
from pipeline.dataset.arrow import SCHEMA_VERSION
from pipeline.dataset.manifest import MANIFEST, Manifest
from pipeline.dataset.reader import ShardReader
from pipeline.errors import UserError
from pipeline.plan.data import BakeConfig, PrepConfig, SourceConfig
from pipeline.plan.demo import DemoConfig
from pipeline.records import masks
from pipeline.records.sample import Task
from pipeline.storage.location import Location
from tests.datasets_prep.clips import HEIGHT, WIDTH, write_clip, write_folder
from tests.datasets_prep.prepare_here import prepare_here

pytestmark = pytest.mark.usefixtures("ray_cluster")

RLE = {"size": [HEIGHT, WIDTH], "counts": masks.encode(np.eye(HEIGHT, WIDTH, dtype=np.uint8))}


def conversation(*texts: str) -> list[dict[str, str]]:
    return [{"from": ("human", "gpt")[i % 2], "value": t} for i, t in enumerate(texts)]


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three small sources with every kind of damage."""
    root = tmp_path_factory.mktemp("raw")
    write_clip(root / "media" / "a.mp4", frames=20, fps=10)
    write_clip(root / "media" / "one.mp4", frames=1)
    (root / "media" / "bad.mp4").write_bytes(b"nothing")
    write_folder(root / "jpeg" / "v0", frames=4, first=5)
    qa = [{"video": "a.mp4", "conversations": conversation(f"Q{i}?", f"A{i}")} for i in range(150)]
    qa += [
        {"video": name, "conversations": conversation("Q?", "A")}
        for name in ("bad.mp4", "none.mp4", "one.mp4")
    ]
    qa += [{"video": "a.mp4"}]
    (root / "qa.jsonl").write_text("\n".join([*map(json.dumps, qa), '{"broken']))
    tg = [
        {"video": "a.mp4", "tgt": t, "conversations": conversation("When?", "<TIME_STAMP>")}
        for t in ([0, 1], [1, 9], [1, 1])
    ]
    (root / "tg.json").write_text(json.dumps(tg))
    names = ["00005", "00006", "00007", "00008"]
    found = {"0": {"exp": "it", "anno_id": [1]}, "1": {"exp": "that", "anno_id": [2]}}
    (root / "seg").mkdir()
    meta = {"videos": {"v0": {"frames": names, "expressions": found}}}
    (root / "seg" / "meta_expressions.json").write_text(json.dumps(meta))
    wrong = {"size": [WIDTH, HEIGHT], "counts": RLE["counts"]}
    (root / "seg" / "mask_dict.json").write_text(json.dumps({"2": [wrong] * 4, "1": [RLE, None, RLE, None]}))
    return root


def config(raw: Path, **more: Any) -> PrepConfig:
    media = (str(raw / "nowhere"), str(raw / "media"))
    rows: list[dict[str, Any]] = [
        {
            "name": "qa",
            "format": "llava_video",
            "annotations": raw / "qa.jsonl",
            "media": media,
            "select": {"count": 100},
        },
        {"name": "tg/x", "format": "time_stamp", "annotations": raw / "tg.json", "media": media},
        {
            "name": "seg",
            "format": "meta_expressions",
            "annotations": raw / "seg",
            "media": (str(raw / "jpeg"),),
        },
    ]
    sources = tuple(SourceConfig.model_validate({**r, "annotations": str(r["annotations"])}) for r in rows)
    return PrepConfig(sources=sources, rows_per_shard=70, **more)


@contextmanager
def one_cpu_left() -> Iterator[None]:
    """Occupy the other CPU, so that tasks run one at a time."""
    import ray

    @ray.remote(num_cpus=1)
    class Holder:
        def ready(self) -> None:
            pass

    holder = Holder.remote()
    ray.get(holder.ready.remote())
    assert ray.available_resources()["CPU"] == 1
    yield
    ray.kill(holder)


def build(raw: Path, out: Path, **more: Any) -> Manifest:
    return run.build(config(raw, **more), Location.parse, Location.parse(out), 7)


@pytest.fixture(scope="module")
def built(
    ray_cluster: None, raw: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Manifest, ShardReader]:
    out = tmp_path_factory.mktemp("built")
    return build(raw, out), ShardReader(Location.parse(out))


def test_every_record_is_accounted_for(built: tuple[Manifest, ShardReader]) -> None:
    manifest, reader = built
    qa, tg, seg = manifest.sources
    reasons = {
        "broken_json": 1,
        "malformed": 1,
        "media_missing": 1,
        "media_unreadable": 1,
        "too_few_frames": 1,
    }
    # The video of a record that ranks after the last one that is kept is not examined.
    rejects = reader.rejects().to_pylist()
    beyond = [r for r in ("media_missing", "media_unreadable", "too_few_frames") if r not in qa.rejects]
    assert qa.rejects == {name: count for name, count in reasons.items() if name not in beyond}
    assert (qa.read, qa.kept, qa.rejected) == (155, 100, 5 - len(beyond))
    assert qa.not_selected == 50 + len(beyond)
    last = max(rank(7, key) for key in reader.keys("qa"))
    assert all(rank(7, r["key"]) < last for r in rejects if r["source"] == "qa" and "media" in r["reason"])
    assert (tg.kept, tg.rejects) == (1, {"span_outside": 1, "span_zero_length": 1})
    assert (seg.kept, seg.rejects) == (1, {"mask_size": 1})
    for entry in manifest.sources:
        assert entry.read == entry.kept + entry.rejected + entry.not_selected
        assert entry.kept == reader.count(entry.name) == len(set(reader.keys(entry.name)))
    assert len(rejects) == 8 - len(beyond)
    assert {"source": "seg", "key": "seg/v0/1", "reason": "mask_size"}.items() <= rejects[-1].items()


def test_the_reader_returns_the_samples_in_the_order_of_the_file(
    built: tuple[Manifest, ShardReader], raw: Path
) -> None:
    manifest, reader = built
    assert [s.name for s in manifest.shards] == [
        "data/qa-00000.parquet",
        "data/qa-00001.parquet",
        "data/tg__x-00000.parquet",
        "data/seg-00000.parquet",
    ]
    reader.verify()
    keys = reader.keys("qa")
    assert keys == sorted(keys, key=lambda k: int(k.split("/")[1]))  # in the order of the file
    other = pickle.loads(pickle.dumps(reader))
    for row in (99, 0, 70, 69, 64):
        assert other.sample("qa", row).key == keys[row]
    with pytest.raises(IndexError):
        reader.sample("qa", 100)
    seg = reader.sample("seg", 0)
    assert seg.task is Task.SEGMENT
    assert seg.video.frames == ("00005.jpg", "00006.jpg", "00007.jpg", "00008.jpg")
    assert [masks.area(c, HEIGHT, WIDTH) for c in seg.targets[0].counts] == [48, 0, 48, 0]
    span = reader.sample("tg/x", 0)
    assert span.turns[1].text == "{<TEMP-000><TEMP-050>}"
    assert (span.video.num_frames, span.video.path, len(span.video.sha256)) == (20, "a.mp4", 64)
    assert reader.media(span).uri == str(raw / "media" / "a.mp4")
    assert reader.columns("qa", ["key", "task"]).column_names == ["key", "task"]


def test_the_bytes_do_not_depend_on_the_order_of_work(
    built: tuple[Manifest, ShardReader], raw: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One CPU, files read in reverse, and remains of an earlier attempt in the folder."""
    spread = run.spread

    def backwards(title: str, pieces: Any, work: Any, total: int | None = None) -> Any:
        return reversed(list(spread(title, list(pieces)[::-1], work, total)))

    monkeypatch.setattr(run, "spread", backwards)
    (tmp_path / "data").mkdir()
    (tmp_path / "data/qa-00007.parquet").write_bytes(b"stale")
    (tmp_path / "data/qa-00000.parquet").write_bytes(b"half-written")
    with one_cpu_left():
        again = build(raw, tmp_path)
    assert again.digest == built[0].digest
    assert again.shards == built[0].shards
    assert not (tmp_path / "data/qa-00007.parquet").exists()


def test_the_bytes_are_the_same_without_ray(
    built: tuple[Manifest, ShardReader], raw: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Many tests, and the pins of `tests.golden`, prepare without it."""
    prepare_here(monkeypatch)
    assert build(raw, tmp_path).digest == built[0].digest


def test_baked_frames_have_the_same_bytes_on_one_cpu_and_on_two(raw: Path, tmp_path: Path) -> None:
    bake = BakeConfig(frames=4, longest_side=40)
    two = build(raw, tmp_path / "two", bake=bake)
    with one_cpu_left():
        one = build(raw, tmp_path / "one", bake=bake)
    assert one == two
    assert two.bake == bake
    for shard in two.shards:
        assert shard.frames is not None
        name = shard.frames.name
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_too_many_rejects_another_schema_version_and_a_missing_manifest_are_refused(
    raw: Path, tmp_path: Path, built: tuple[Manifest, ShardReader]
) -> None:
    with pytest.raises(UserError, match=r"66\.7%.*1 x span_zero_length"):
        build(raw, tmp_path, max_reject_share=0.4)
    assert not (tmp_path / MANIFEST).exists()
    manifest = built[1].location / MANIFEST
    text = manifest.read_text()
    assert f'"schema_version": {SCHEMA_VERSION}' in text
    (tmp_path / MANIFEST).write_text(
        text.replace(f'"schema_version": {SCHEMA_VERSION}', '"schema_version": 9')
    )
    with pytest.raises(UserError, match="schema version 9"):
        ShardReader(Location.parse(tmp_path))
    with pytest.raises(UserError, match=r"manifest\.json"):
        ShardReader(Location.parse(tmp_path / "none"))


def test_unreadable_annotations_name_the_file(raw: Path, tmp_path: Path) -> None:
    from pipeline.jobs.guard import user_error_in

    (tmp_path / "cut.json").write_text((raw / "tg.json").read_text()[:-9])
    source = config(raw).sources[1].model_copy(update={"annotations": str(tmp_path / "cut.json")})
    with pytest.raises(Exception) as caught:  # noqa: PT011 - Ray wraps it
        run.build(PrepConfig(sources=(source,)), Location.parse, Location.parse(tmp_path / "out"), 7)
    error = user_error_in(caught.value)
    assert error is not None
    assert "cut.json" in error.where


def test_every_broken_record_of_the_demo_is_rejected_and_no_other(tmp_path: Path) -> None:
    from datasets_prep.demo.corpora import write_corpora

    demo = DemoConfig(train_videos=3, mvbench_items=7, mevis_valid_videos=1, max_seconds=5)
    demo = demo.model_copy(
        update={"videorefer_bench_items": 2, "charades_sta_items": 2, "ufvideo_bench_items": 4}
    )
    root = tmp_path / "corpora"
    rows = [
        ("llava", "llava_video", "llava_video", ""),
        ("short", "videorefer", "videorefer/videorefer-short-caption-500k.json", "videorefer"),
        ("detail", "videorefer", "videorefer/videorefer-detailed-caption-125k.json", "videorefer"),
        ("qa", "videorefer", "videorefer/videorefer-qa-75k.json", "videorefer"),
        ("mevis", "meta_expressions", "mevis/train", ""),
        ("vtime", "st_align", "st_align/stage2/vtime.json", "st_align/videos/InternVid"),
        ("tg", "time_stamp", "internvid_tg/internvid_tg.json", "internvid_tg/videos"),
        ("mvbench", "mvbench", "mvbench/json", "mvbench/video"),
        ("refer_q", "videorefer_bench_q", "videorefer_bench/VideoRefer-Bench-Q.json", "videorefer_bench"),
        ("valid_u", "meta_expressions", "mevis/valid_u", ""),
        ("charades", "charades_sta", "charades_sta/charades_sta_test.txt", "charades_sta"),
        ("bench", "ufvideo_bench", "ufvideo_bench", ""),
    ]
    benchmarks = ("mvbench", "refer_q", "valid_u", "charades", "bench")
    sources = tuple(
        SourceConfig.model_validate(
            {
                "name": name,
                "format": fmt,
                "annotations": str(root / path),
                "media": (str(root / (media or path)),),
                "use": "benchmark" if name in benchmarks else "train",
            }
        )
        for name, fmt, path, media in rows
    )
    summary = write_corpora(demo, root, run_on_this_node)
    made = run.build(PrepConfig(sources=sources), Location.parse, Location.parse(tmp_path / "out"), 7)
    assert len(digest_of(root)) == 64
    damaged = sum(d["reject"] for corpus in summary["corpora"].values() for d in corpus["damaged"])
    assert damaged > 0
    assert sum(s.rejected for s in made.sources) == damaged
    assert all(s.rejected == 0 for s in made.sources if s.name in benchmarks)

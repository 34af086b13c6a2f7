"""Every kind of damage ends in rejects with a reason, or in an error that names the fix."""

from __future__ import annotations

import json
import os
import re
import resource
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from datasets_prep import run
from datasets_prep.corpora import digest_of
from datasets_prep.demo.corpora import write_corpora
from pipeline.dataset.manifest import MANIFEST, Manifest, SourceEntry
from pipeline.dataset.reader import ShardReader
from pipeline.dataset.writer import parquet_bytes
from pipeline.errors import UserError
from pipeline.plan.data import PrepConfig
from pipeline.plan.demo import DemoConfig
from pipeline.storage.location import Location
from tests.datasets_prep.damage import files, masks, media, records
from tests.datasets_prep.damage.kinds import CORPORA, Kind, Place, Touches

pytestmark = [pytest.mark.usefixtures("without_ray"), pytest.mark.timeout(120)]
SEED = 3
NOBODY = 65_534
WORST_S, WORST_MB = 30, 400  # of one preparation with a handful of videos, on a busy machine

KINDS = [kind for module in (files, records, masks, media) for kind in module.kinds()]


@dataclass(frozen=True)
class Made:
    """A prepared source: its samples in order, its rejects by key and its entry in the manifest."""

    samples: pa.Table
    rejects: dict[str, dict[str, str]]
    entry: SourceEntry

    def without(self, keys: set[str]) -> bytes:
        """The samples except these, as the bytes of a shard."""
        kept = [key not in keys for key in self.samples["key"].to_pylist()]
        return parquet_bytes(self.samples.filter(pa.array(kept)))

    def row(self, key: str) -> dict[str, Any]:
        """One sample."""
        return self.samples.slice(self.samples["key"].to_pylist().index(key), 1).to_pylist()[0]


@pytest.fixture(scope="module")
def corpora(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The demo corpora at their smallest. No case may change them: each works on hard links."""
    root = tmp_path_factory.mktemp("corpora")
    demo = DemoConfig(
        train_videos=3,
        mvbench_items=7,
        mevis_valid_videos=1,
        max_seconds=5,
        videorefer_bench_items=1,
        charades_sta_items=2,
        ufvideo_bench_items=3,
    )
    write_corpora(demo, root)
    before = digest_of(root)
    yield root
    assert digest_of(root) == before


def prepare(place: Place, **more: Any) -> Made:
    out = Location.parse(place.root / "made")
    manifest: Manifest = run.build(
        PrepConfig(sources=(place.source(**more),), rows_per_shard=8), Location.parse, out, SEED
    )
    (entry,) = manifest.sources
    assert entry.read == entry.kept + entry.rejected + entry.not_selected
    tables = [pq.read_table(place.root / "made" / s.name) for s in manifest.shards]
    samples = pa.concat_tables(tables)
    rejects = ShardReader(out).rejects().to_pylist()
    for reject in rejects:  # the media folder differs between cases
        reject["detail"] = reject["detail"].replace(str(place.root), "")
    made = Made(samples, {r["key"]: r for r in rejects}, entry)
    assert entry.kept == samples.num_rows
    assert entry.rejected == len(rejects) == len(made.rejects)
    return made


@pytest.fixture(scope="module")
def undamaged(corpora: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Made]:
    """The prepared source without damage, by the name of its corpus."""
    known: dict[str, Made] = {}

    def of(name: str) -> Made:
        if name not in known:
            known[name] = prepare(Place(tmp_path_factory.mktemp(name), corpora, name))
        return known[name]

    return of


def test_names_of_kinds_of_damage_are_unique() -> None:
    names = [kind.name for kind in KINDS]
    assert sorted(set(names)) == sorted(names)
    assert len(names) > 150


def touched(kind: Kind, whole: Made) -> set[str]:
    """Keys of the samples that the damage may change."""
    keys = whole.samples["key"].to_pylist()
    if kind.touches is Touches.NONE:
        return set()
    target = keys[0]
    assert CORPORA[kind.corpus].index == 0
    if kind.touches is Touches.RECORD:
        return {target}
    path = whole.row(target)["video"]["path"]
    return {k for k, v in zip(keys, whole.samples["video"].to_pylist(), strict=True) if v["path"] == path}


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_damage_has_the_effect_of_its_kind_and_no_other(
    kind: Kind, corpora: Path, undamaged: Callable[[str], Made], tmp_path: Path
) -> None:
    whole = undamaged(kind.corpus)
    if kind.as_user and os.getuid() == 0:
        with as_nobody() as folder:
            check_damage(kind, whole, Place(folder, corpora, kind.corpus), folder)
    else:
        check_damage(kind, whole, Place(tmp_path, corpora, kind.corpus), tmp_path)


def check_damage(kind: Kind, whole: Made, place: Place, folder: Path) -> None:
    kind.put(place)
    if kind.as_user and os.getuid() == 0:
        os.seteuid(NOBODY)
    begun, memory = time.monotonic(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    if kind.refused:
        with pytest.raises(UserError) as caught:
            prepare(place)
        message = str(caught.value)
        assert re.search(kind.refused, message), message
        assert caught.value.fix, "the error names no fix"
        assert "\n" not in message
        assert not (folder / "made" / MANIFEST).exists()
    else:
        check_outcome(kind, whole, prepare(place))
    assert time.monotonic() - begun < WORST_S
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory < WORST_MB * 1024


@contextmanager
def as_nobody() -> Iterator[Path]:
    """A folder of an unprivileged user; afterwards the process is the superuser again."""
    with tempfile.TemporaryDirectory() as name:
        os.chown(name, NOBODY, NOBODY)
        os.chmod(name, 0o777)
        try:
            yield Path(name)
        finally:
            os.seteuid(0)


def check_outcome(kind: Kind, whole: Made, made: Made) -> None:
    """Check that the outcome differs from that of the undamaged source as the kind says, and only so."""
    keys = touched(kind, whole)
    assert made.entry.read == whole.entry.read + kind.more
    new = {key: reject for key, reject in made.rejects.items() if whole.rejects.get(key) != reject}
    assert made.without(keys) == whole.without(keys), "other samples than the damaged ones have changed"
    if kind.reason is None:
        assert not new
        for key in keys:
            before, after = whole.row(key), made.row(key)
            if kind.touches is Touches.VIDEO:
                assert {**before, "video": 0} == {**after, "video": 0}
        return
    assert keys <= set(new), "an affected sample was not rejected"
    assert len(new) == len(keys) + kind.more
    assert set(whole.rejects) <= set(made.rejects)
    for reject in new.values():
        assert reject["reason"] == kind.reason, reject["detail"]
        assert kind.says in reject["detail"], reject["detail"]
        assert len(reject["detail"]) <= 400


@pytest.mark.parametrize("name", ["talk", "refer", "seconds", "fractions"])
@pytest.mark.parametrize("count", [None, 2])
def test_many_damaged_records_in_one_file_are_rejected_and_the_others_kept(
    name: str, count: int | None, corpora: Path, undamaged: Callable[[str], Made], tmp_path: Path
) -> None:
    """All damaged records in one file, followed by the intact ones: no record is lost because of another."""
    whole, place = undamaged(name), Place(tmp_path, corpora, name)
    kinds = [k for m in (records, masks, media) for k in m.kinds() if k.corpus == name]
    kinds = [k for k in kinds if k.touches is Touches.RECORD]
    good = place.annotations.read_bytes()
    lines: list[bytes] = []
    for kind in kinds:
        kind.put(place)
        # Bytes that are not JSON keep their place: a record ends where the next one of the good file begins.
        second = json.dumps(json.loads(good)[1]).encode()
        text = place.annotations.read_bytes()
        lines.append(text[1 : text.index(second)].rstrip(b", "))
        place.write(place.annotations, good)
    rest = [json.dumps(row).encode() for row in json.loads(good)]
    place.write(place.annotations, b"[" + b",\n".join([*lines, *rest]) + b"]")
    made = prepare(place, select={"count": count})
    assert made.entry.read == len(kinds) + whole.entry.read
    for at, kind in enumerate(kinds):
        reject = made.rejects.get(f"{name}/{at}")
        if count is None:
            assert (reject or {}).get("reason") == kind.reason, kind.name
        elif reject is not None:  # videos of samples that come late in the draw are not opened
            assert reject["reason"] == kind.reason, kind.name
    if count is None:
        moved = made.samples.filter(
            pa.array([int(k.rpartition("/")[2]) >= len(kinds) for k in made.samples["key"].to_pylist()])
        )
        assert moved.drop_columns("key").equals(whole.samples.drop_columns("key"))
    else:
        assert made.entry.kept == count


def test_an_expression_that_occurs_twice_is_reported(
    corpora: Path, undamaged: Callable[[str], Made], tmp_path: Path
) -> None:
    """A JSON parser would keep the second of the two, and one expression would be missing without a trace."""
    whole, place = undamaged("segment"), Place(tmp_path, corpora, "segment")
    text = place.annotations.read_text()
    assert text.count('"1": {') == 3
    place.write(place.annotations, text.replace('"1": {', '"0": {', 1))
    made = prepare(place)
    video = f"segment/{place.video.name}"
    assert made.rejects[video]["reason"] == "malformed"
    assert "'0' occurs twice" in made.rejects[video]["detail"]
    others = {k for k in whole.samples["key"].to_pylist() if k.startswith(video)}
    assert made.without(set()) == whole.without(others)


def test_a_file_that_changes_during_preparation_is_reported(
    corpora: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = Place(tmp_path, corpora, "talk")
    choose = run.plan_selection

    def shorter(*given: Any, **more: Any) -> Any:
        chosen = choose(*given, **more)
        text = place.annotations.read_bytes()
        place.write(place.annotations, text[: len(text) // 2])
        return chosen

    monkeypatch.setattr(run, "plan_selection", shorter)
    with pytest.raises(UserError, match=r"qa_processed\.json: (has \d+ records .*changed|is not whole JSON)"):
        prepare(place)

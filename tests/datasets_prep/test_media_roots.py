"""No path in an annotation leads out of the media folders that the plan names."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from datasets_prep import run
from datasets_prep.draft import RejectError
from datasets_prep.passes.locate import Listings
from datasets_prep.sources.bases.fields import media_of
from pipeline.dataset.reader import ShardReader
from pipeline.errors import UserError
from pipeline.plan.data import PrepConfig, SourceConfig
from pipeline.storage.location import Location
from tests.datasets_prep.clips import write_clip, write_folder

SECRET = "outside"
_opened: list[str] = []
_recording = False


def _record_open(event: str, given: tuple[Any, ...]) -> None:
    if _recording and event == "open" and isinstance(given[0], str | bytes | os.PathLike):
        _opened.append(os.fsdecode(given[0]))


sys.addaudithook(_record_open)  # a hook cannot be removed, so a flag switches it off


@pytest.fixture
def opened() -> Iterator[list[str]]:
    """The files that are opened from here to the end of the test."""
    global _recording
    _opened.clear()
    _recording = True
    yield _opened
    _recording = False


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A media folder with a video, folders of frames and links, beside a folder that must not be read."""
    write_clip(tmp_path / "media" / "deep" / "a.mp4")
    write_folder(tmp_path / "media" / "stills")
    write_clip(tmp_path / SECRET / "a.mp4")
    write_folder(tmp_path / SECRET / "pictures")
    (tmp_path / "media" / "link.mp4").symlink_to(tmp_path / SECRET / "a.mp4")
    (tmp_path / "media" / "relative.mp4").symlink_to("../outside/a.mp4")
    (tmp_path / "media" / "folder").symlink_to(tmp_path / SECRET)
    (tmp_path / "media" / "within.mp4").symlink_to("deep/a.mp4")
    write_folder(tmp_path / "media" / "linked")
    (tmp_path / "media" / "linked" / "00002.jpg").unlink()
    (tmp_path / "media" / "linked" / "00002.jpg").symlink_to(tmp_path / SECRET / "pictures" / "00002.jpg")
    return tmp_path


def hostile(home: Path) -> list[Any]:
    """Values of ``video`` that lead out of the media folder."""
    away = str(home / SECRET)
    return [
        "../outside/a.mp4",
        "deep/../../outside/a.mp4",
        "./../outside/a.mp4",
        "deep//..//..//outside/a.mp4",
        f"{away}/a.mp4",
        f"//{away}/a.mp4",
        f"file://{away}/a.mp4",
        f"concat:{away}/a.mp4",
        "deep/a.mp4/../../../outside/a.mp4",
        "..\\outside\\a.mp4",
        "link.mp4",
        "relative.mp4",
        "folder/a.mp4",
        "folder/pictures",
        "folder",
        "../outside",
        "../outside/pictures",
        ["../outside/pictures/00000.jpg", "../outside/pictures/00001.jpg"],
        [f"{away}/pictures/00000.jpg"],
        ["stills/../../outside/pictures/00000.jpg"],
        "linked",
        ["linked/00002.jpg", "linked/00003.jpg"],
    ]


def row_of(video: Any, **more: Any) -> dict[str, Any]:
    conversation = [{"from": "human", "value": "Q?"}, {"from": "gpt", "value": "A"}]
    return {"video": video, "conversations": conversation, **more}


@pytest.mark.usefixtures("without_ray")
@pytest.mark.parametrize("form", ["llava_video", "st_align", "time_stamp", "mvbench"])
def test_no_file_outside_the_media_folders_is_opened(form: str, home: Path, opened: list[str]) -> None:
    rows = [row_of(video) for video in hostile(home)]
    if form == "llava_video":
        rows += [
            row_of("a.mp4", data_source=f) for f in ("../outside", str(home / SECRET), "deep/../../outside")
        ]
    if form == "st_align":
        rows += [{**row_of(None), "image": video} for video in hostile(home)]
    if form == "mvbench":
        rows = [
            {"video": r["video"], "question": "Q?", "candidates": ["a", "b"], "answer": "a"} for r in rows
        ]
    good = [{**rows[0], "video": video} for video in ("deep/a.mp4", "within.mp4", "stills")]
    (home / "list.json").write_text(json.dumps([*rows, *good]))
    fields = {
        "name": "s",
        "format": form,
        "annotations": str(home / "list.json"),
        "media": [str(home / "media")],
    }
    source = SourceConfig.model_validate(fields | {"use": "benchmark"})
    out = Location.parse(home / "made")
    manifest = run.build(PrepConfig(sources=(source,)), Location.parse, out, 1)
    (entry,) = manifest.sources
    assert (entry.kept, entry.rejected) == (len(good), len(rows))
    reader = ShardReader(out)
    assert {reader.sample("s", n).video.path for n in range(3)} == {"deep/a.mp4", "within.mp4", "stills"}
    assert set(entry.rejects) <= {"malformed", "media_missing", "media_unreadable"}
    real = {os.path.realpath(path) for path in opened if path.startswith("/")}
    assert os.path.realpath(home / "media" / "deep" / "a.mp4") in real, (
        "the hook did not record a file that was opened"
    )
    assert not [path for path in real if path.startswith(str(home / SECRET))]


@pytest.mark.usefixtures("without_ray")
def test_names_of_videos_and_frames_do_not_lead_out_of_the_media_folder(
    home: Path, opened: list[str]
) -> None:
    """In ``meta_expressions`` a path is joined from the name of a video and those of its frames."""
    away = str(home / SECRET / "pictures")
    names = [f"{at:05d}" for at in range(6)]
    videos = {
        "stills": names,
        "../outside/pictures": names,
        away: names,
        "folder/pictures": names,
        "deep": ["../../outside/pictures/00000", *names[1:]],
        "deep/": [f"{away}/00000", *names[1:]],
        "linked": names,
    }
    made = {
        video: {"frames": frames, "expressions": {"0": {"exp": "it", "anno_id": [1]}}}
        for video, frames in videos.items()
    }
    (home / "anno").mkdir()
    (home / "anno" / "meta_expressions.json").write_text(json.dumps({"videos": made}))
    (home / "anno" / "mask_dict.json").write_text(json.dumps({"1": [None] * 6}))
    source = SourceConfig(
        name="s", format="meta_expressions", annotations=str(home / "anno"), media=(str(home / "media"),)
    )
    manifest = run.build(PrepConfig(sources=(source,)), Location.parse, Location.parse(home / "made"), 1)
    assert (manifest.sources[0].kept, manifest.sources[0].rejected) == (1, len(videos) - 1)
    assert not [p for p in opened if os.path.realpath(p).startswith(str(home / SECRET))]


PARTS = st.sampled_from(
    ["..", ".", "", "a", "deep", "folder", "link.mp4", "/", "\\", "\0", "~", "a.mp4", "outside", ":"]
)
PATHS = st.one_of(st.lists(PARTS, max_size=7).map("/".join), st.text(max_size=20))


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(video=st.one_of(PATHS, st.lists(PATHS, max_size=3)), folder=PATHS)
def test_media_found_for_any_path_are_below_the_media_folder(video: Any, folder: str, home: Path) -> None:
    root = home / "media"
    try:
        media = media_of(video, folder)
        roots, candidates = [str(root)], list(media.candidates)
        place, _, _ = Listings([(roots, candidates)], Location.parse).find(roots, candidates)
    except RejectError:
        return
    real = os.path.realpath(place.uri)
    assert real == str(root) or real.startswith(f"{root}/")
    assert all("/" not in name for name in media.frames)


LINKED = (
    "link.mp4",
    "relative.mp4",
    "folder/a.mp4",
    "folder/pictures",
    "linked",
    ["linked/00002.jpg", "linked/00003.jpg"],
)


@pytest.mark.usefixtures("without_ray")
@pytest.mark.parametrize("named", ["allow_links_to", "another source", "nothing"])
def test_links_out_of_the_media_folder_are_followed_only_where_the_plan_allows_it(
    home: Path, named: str
) -> None:
    """Allowed are ``allow_links_to`` and the media folders of all sources; readers apply the same rule."""
    (home / "list.json").write_text(json.dumps([row_of(video) for video in LINKED]))
    fields = {"format": "llava_video", "annotations": str(home / "list.json")}
    sources = [SourceConfig.model_validate({"name": "s", "media": (str(home / "media"),), **fields})]
    if named == "another source":
        other = {"name": "t", "media": (str(home / SECRET),), **fields}
        sources.append(SourceConfig.model_validate({**other, "select": {"count": 0}}))
    links = (str(home / SECRET),) if named == "allow_links_to" else ()
    config = PrepConfig(sources=tuple(sources), allow_links_to=links)
    out = Location.parse(home / "made")
    if named == "nothing":
        with pytest.raises(UserError, match="gave no sample"):
            run.build(config, Location.parse, out, 1)
        details = pq.read_table(home / "made" / "rejects.pq")["detail"].to_pylist()
        assert f"'link.mp4' is a link to {home / SECRET / 'a.mp4'}, outside of this folder" in details[0]
        assert "`data.allow_links_to`" in details[0]
        assert f"is a link to {home / SECRET / 'pictures' / '00002.jpg'}, outside" in details[4]
        return
    manifest = run.build(config, Location.parse, out, 1)
    assert manifest.sources[0].kept == len(LINKED)
    reader = ShardReader(out)
    for row in range(len(LINKED)):
        assert len(reader.footage(reader.sample("s", row)).decode([0, 1])) == 2
    assert reader.manifest.links_to == links


@pytest.mark.usefixtures("without_ray")
@pytest.mark.parametrize("below", ["", "videos"])
def test_the_cache_of_the_hub_is_read_through_its_links(tmp_path: Path, below: str) -> None:
    """``snapshots/<revision>/x`` is a link to ``blobs/<sha256>``, which the plan need not name."""
    repository = tmp_path / "hub" / "datasets--some--set"
    snapshot = repository / "snapshots" / "0f3a" / below
    snapshot.mkdir(parents=True)
    write_clip(repository / "blobs" / "c0ffee.mp4")
    (repository / "blobs" / "c0ffee.mp4").rename(repository / "blobs" / "c0ffee")
    rows = json.dumps([row_of("a.mp4"), row_of("other.mp4")])
    (repository / "blobs" / "ab12").write_text(rows)
    up = "../" * (2 + bool(below))
    (snapshot / "a.mp4").symlink_to(f"{up}blobs/c0ffee")
    (snapshot / "list.json").symlink_to(f"{up}blobs/ab12")
    write_clip(tmp_path / "hub" / "datasets--other--set" / "blobs" / "a.mp4")
    (snapshot / "other.mp4").symlink_to(tmp_path / "hub" / "datasets--other--set" / "blobs" / "a.mp4")
    fields = {"name": "s", "format": "llava_video", "annotations": str(snapshot), "media": (str(snapshot),)}
    config = PrepConfig(sources=(SourceConfig.model_validate(fields),))
    out = Location.parse(tmp_path / "made")
    (entry,) = run.build(config, Location.parse, out, 1).sources
    assert (entry.kept, entry.rejects) == (1, {"media_missing": 1})
    reader = ShardReader(out)
    assert len(reader.footage(reader.sample("s", 0)).decode([0])) == 1


def test_allowed_link_folders_are_paths_and_not_part_of_the_fingerprint(tmp_path: Path) -> None:
    """Changing them changes no fingerprint, but ``prepare`` checks its sources again."""
    from pipeline.artifacts.survey import survey
    from pipeline.plan.plan import Plan

    (tmp_path / "list.json").write_text("[]")
    source = {
        "name": "s",
        "format": "llava_video",
        "annotations": str(tmp_path / "list.json"),
        "media": ["m"],
    }
    plans = [
        Plan.model_validate(
            {
                "name": "p",
                "storage": {"root": str(tmp_path)},
                "data": {"sources": [source], "allow_links_to": a},
            }
        )
        for a in ([], ["/elsewhere"])
    ]
    one, two = (survey(plan) for plan in plans)
    assert one.fingerprints == two.fingerprints
    assert "data.allow_links_to" not in one.places["prepare"]
    assert two.places["prepare"]["data.allow_links_to"] == ("/elsewhere",)

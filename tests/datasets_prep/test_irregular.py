"""Irregular records get the right value, a count in the manifest, and a line of the doctor and the card."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError

from datasets_prep import run
from datasets_prep.card.build import write_card
from datasets_prep.card.gallery import OTHER
from datasets_prep.draft import Draft, DraftSpan, Media, Reason, RejectError, Unit
from datasets_prep.passes.bake import Baker
from datasets_prep.passes.clock import Clock
from datasets_prep.passes.finish import FinishedSample, finish
from pipeline.dataset.changes import changed_videos
from pipeline.dataset.manifest import IRREGULARITIES
from pipeline.dataset.reader import ShardReader
from pipeline.dataset.rejects import rejects_text
from pipeline.media import video
from pipeline.media.same_video import OtherVideoError, VerifyVideos
from pipeline.media.stills import list_frames
from pipeline.plan.data import BakeConfig, PrepConfig, SourceConfig
from pipeline.records.irregularity import Irregularity
from pipeline.records.sample import Role, Sample, Task, Turn, VideoRef
from pipeline.storage.location import Location
from pipeline.times import temporal
from tests.datasets_prep.card_corpus import PageParser
from tests.datasets_prep.clips import write_clip, write_folder
from tests.datasets_prep.doctor_here import doctor, findings_of, write_plan
from tests.datasets_prep.irregular_corpus import LATE_S, write_irregular_corpus
from training.data.dataset import Dataset

EXPECTED = {
    "late": {"late_picture": 2},
    "durations": {"duration_mismatch": 1},
    "talk": {"frame_names": 1, "media_differs": 1},
    "contexts": {"span_clamped": 1},
    "masks": {"early_masks": 2},
}


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    return write_irregular_corpus(tmp_path_factory.mktemp("irregular"))


def build(sources: list[dict[str, Any]], out: Path, **rules: str) -> ShardReader:
    """Prepare the sources with ``rules`` added to each."""
    configs = [SourceConfig.model_validate({**s, **rules}) for s in sources]
    run.build(PrepConfig(sources=tuple(configs)), Location.parse, Location.parse(out), 1)
    return ShardReader(Location.parse(out))


def samples(reader: ShardReader, source: str) -> dict[str, Sample]:
    found = [reader.sample(source, row) for row in range(reader.count(source))]
    return {sample.key.removeprefix(f"{source}/"): sample for sample in found}


def rejects(reader: ShardReader) -> dict[str, str]:
    return {row["key"]: row["reason"] for row in reader.rejects().to_pylist()}


@pytest.mark.usefixtures("without_ray")
def test_every_irregularity_is_counted_listed_and_on_the_card(
    sources: list[dict[str, Any]], tmp_path: Path
) -> None:
    """Catches an irregularity that is corrected or kept without being counted, listed or shown."""
    reader = build(sources, tmp_path / "made")
    entries = {entry.name: entry for entry in reader.manifest.sources}
    assert {name: entry.irregularities for name, entry in entries.items()} == EXPECTED
    assert all(e.read == e.kept + e.rejected + e.not_selected for e in entries.values())
    rows = reader.irregularities().to_pylist()
    assert [(row["key"], row["irregularity"], row["file"]) for row in rows] == [
        ("late/0", "late_picture", "late.txt"),
        ("late/1", "late_picture", "late.txt"),
        ("durations/v/0", "duration_mismatch", "durations.json"),
        ("talk/0", "media_differs", "talk.json"),
        ("talk/2", "frame_names", "talk.json"),
        ("contexts/contexts/0", "span_clamped", "contexts.json"),
        ("masks/stills/0", "early_masks", "meta_expressions.json"),
        ("masks/stills/1", "early_masks", "meta_expressions.json"),
    ]
    details = {row["key"]: row["detail"] for row in rows}
    assert details["late/0"].startswith("the picture starts 2.000 s after the sound")
    assert details["durations/v/0"] == "the record says 3.00 s, the video lasts 6.00 s"
    assert details["talk/0"] == "v.mp4 is another file in media folder 2; that of an earlier one is taken"
    assert details["talk/2"].startswith("unpadded: 2.jpg and others")
    assert details["contexts/contexts/0"].startswith("a time was 0.100 s outside")
    assert details["masks/stills/0"] == "all masks of the video are in the first 4 of its 12 frames"
    page = write_card(reader, Location.parse(tmp_path / "made"), title="t", seed=1).read_text()
    (table,) = [
        t for t in PageParser(page).root.all("table") if "irregularity" in t.text and "late_picture" in t.text
    ]
    lines = {tuple(row[:3]): set(row[4].split(", ")) for row in table.rows()[1:]}
    assert lines["late", "late_picture sound before the picture", "2"] == {"late/0", "late/1"}
    assert len(lines) == sum(map(len, EXPECTED.values()))


@pytest.mark.usefixtures("without_ray")
def test_irregular_samples_have_the_right_values(sources: list[dict[str, Any]], tmp_path: Path) -> None:
    """Catches times that are not mapped, frames sorted as text, and the file of the second folder."""
    reader = build(sources, tmp_path)
    late = samples(reader, "late")
    assert {key: (s.spans[0].start_s, s.spans[0].end_s) for key, s in late.items()} == {
        "0": (pytest.approx(0.0), pytest.approx(2.0)),
        "1": (0.0, pytest.approx(1.0)),  # a start before the first frame moves to it
        "3": (1.0, 2.0),  # sound and video begin together
    }
    assert late["0"].video.start_s == pytest.approx(LATE_S, abs=0.01)
    assert rejects(reader)["late/2"] == "span_outside"
    talk = samples(reader, "talk")
    assert talk["2"].video.frames == tuple(f"{n}.jpg" for n in range(1, 13))
    assert talk["0"].video.num_frames == 60
    assert talk["3"].video.path == "own.mp4"
    contexts = samples(reader, "contexts")
    assert {key: (s.clip.start_s, s.clip.end_s) for key, s in contexts.items() if s.clip} == {
        "contexts/0": (1.0, pytest.approx(6.0)),
        "contexts/1": (1.0, pytest.approx(6.0)),
    }
    assert rejects(reader)["contexts/contexts/2"] == "span_outside"


@pytest.mark.usefixtures("without_ray")
def test_irregular_samples_are_rejected_where_the_plan_says_so(
    sources: list[dict[str, Any]], tmp_path: Path
) -> None:
    """Catches rules that are read but not applied."""
    chosen = [s for s in sources if s["name"] in ("durations", "masks")]
    reader = build(chosen, tmp_path, duration_mismatch="reject", early_masks="reject")
    found = rejects(reader)
    assert found["durations/v/0"] == "duration_mismatch"
    assert found["masks/stills/0"] == found["masks/stills/1"] == "early_masks"
    assert sorted(samples(reader, "masks")) == ["unpadded/0", "unpadded/1"]
    assert all(not entry.irregularities for entry in reader.manifest.sources)


@pytest.mark.usefixtures("doctor_here")
def test_the_doctor_reports_every_irregularity(sources: list[dict[str, Any]], tmp_path: Path) -> None:
    """Catches irregularities that preparation counts and the doctor misses, and wrong severities."""
    out = tmp_path / "out"
    assert doctor(write_plan(tmp_path, sources), out) == 1
    findings = findings_of(out)
    for source, counts in EXPECTED.items():
        for irregularity, count in counts.items():
            assert len(findings[source, irregularity]) == count
    rows = pq.read_table(out / "findings.parquet").to_pylist()
    kept = [r for r in rows if r["finding"] in set(Irregularity)]
    assert {r["severity"] for r in kept} == {"warning"}
    assert len(kept) == sum(sum(counts.values()) for counts in EXPECTED.values())
    assert [r["outside_s"] for r in kept if r["finding"] == "span_clamped"] == [pytest.approx(0.1)]
    page = (out / "doctor.html").read_text()
    assert all(irregularity in page for counts in EXPECTED.values() for irregularity in counts)
    strict = [{**s, "duration_mismatch": "reject"} for s in sources if s["name"] == "durations"]
    doctor(write_plan(tmp_path, strict), out)
    assert {r["severity"] for r in pq.read_table(out / "findings.parquet").to_pylist()} == {"reject"}


@pytest.mark.usefixtures("without_ray")
def test_preparation_ends_with_examples_of_every_irregularity(
    sources: list[dict[str, Any]], tmp_path: Path
) -> None:
    """Catches a preparation that does not report what it kept under a rule."""
    reader = build(sources, tmp_path)
    lines = rejects_text(reader.location).splitlines()
    assert f"8 irregularities; {(reader.location / IRREGULARITIES).uri} has all of them" in lines
    assert "  masks: 2 x early_masks" in lines
    assert "    durations/v/0  the record says 3.00 s, the video lasts 6.00 s" in lines


@pytest.mark.usefixtures("without_ray")
def test_a_video_that_was_replaced_by_another_file_is_reported(tmp_path: Path) -> None:
    """Catches training, the card, baking or a second preparation that use it as the annotated video."""
    root = tmp_path / "corpus"
    chosen = [s for s in write_irregular_corpus(root) if s["name"] == "talk"]
    reader = build(chosen, tmp_path / "made")
    sample = samples(reader, "talk")["0"]
    write_clip(root / "media" / "v.mp4", frames=61)
    with pytest.raises(OtherVideoError, match=r"media/v\.mp4: is not the video .* bytes instead of"):
        reader.footage(sample).decode([0])
    with pytest.raises(OtherVideoError):
        Dataset.open(reader.location).reader.footage(sample).decode([0])
    loose = Dataset.open(reader.location, verify=VerifyVideos.OFF)
    assert len(loose.reader.footage(sample).decode([0])) == 1
    page = write_card(reader, Location.parse(tmp_path / "made"), title="t", seed=1).read_text()
    assert page.count(OTHER) == 1
    baker = Baker.of(BakeConfig(frames=4), SourceConfig.model_validate(chosen[0]), Location.parse)
    assert baker is not None
    ((at, error),) = baker.failing(list(samples(reader, "talk").values())).items()
    assert (at, error.reason) == (0, Reason.MEDIA_UNREADABLE)
    assert "v.mp4 has changed since it was probed" in error.detail
    again = build(chosen, tmp_path / "again")
    assert changed_videos(reader.location, again.location) == ["videos of talk that have changed: v.mp4"]


def draft(*times: tuple[float, float | None], clip: tuple[float, float] | None = None, **more: Any) -> Draft:
    spans = tuple(DraftSpan(start=a, end=b, unit=more.get("unit", Unit.SECONDS)) for a, b in times)
    more.pop("unit", None)
    return Draft(
        key="s/0",
        task=Task.TEMPORAL,
        media=Media(("v.mp4",)),
        turns=(Turn(Role.USER, "When?"), Turn(Role.ASSISTANT, "Then.")),
        times=spans,
        clip=None if clip is None else DraftSpan(start=clip[0], end=clip[1], unit=Unit.SECONDS),
        **more,
    )


def finished(made: Draft, start_s: float = 2.0, **rules: str) -> FinishedSample:
    fields = {"name": "s", "format": "time_stamp", "annotations": "a", "media": ("m",), **rules}
    ref = VideoRef(path="v.mp4", num_frames=100, fps=10, duration_s=10.0, start_s=start_s, height=4, width=4)
    return finish(made, SourceConfig.model_validate(fields), ref, 1)


def clip_of(made: FinishedSample) -> tuple[float, float]:
    assert made.sample.clip is not None
    return made.sample.clip.start_s, made.sample.clip.end_s


def kinds(made: FinishedSample) -> list[Irregularity]:
    return [irregular.irregularity for irregular in made.irregular]


def test_times_are_counted_from_the_first_frame_unless_the_plan_says_otherwise() -> None:
    """Catches a shift of fractions, a shift by less than half a frame, and one that the plan rules out."""
    late = [Irregularity.LATE_PICTURE]
    made = finished(draft(clip=(3, 7)))
    assert (clip_of(made), kinds(made)) == ((1.0, 5.0), late)
    made = finished(draft(clip=(3, 7)), seconds_from="picture")
    assert (clip_of(made), kinds(made)) == ((3.0, 7.0), [])
    made = finished(draft(clip=(3, 7)), start_s=0.04)
    assert (clip_of(made), kinds(made)) == ((3.0, 7.0), [])
    made = finished(draft((0.1, 0.2), unit=Unit.FRACTION))
    assert kinds(made) == []
    made = finished(draft(clip=(0, 12)))  # from the start of playback to its end
    assert (clip_of(made), made.clamped, kinds(made)) == ((0.0, 10.0), False, late)
    with pytest.raises(RejectError, match=r"whose picture starts at 2\.000 s of a player") as caught:
        finished(draft(clip=(-0.5, 7)))  # before playback starts
    assert caught.value.reason is Reason.SPAN_OUTSIDE
    with pytest.raises(RejectError):
        finished(draft((3.5, 5), clip=(4, 8)))  # before the clip, not before the first frame
    made = finished(draft(clip=(-0.5, 7)), outside_spans="clamp")
    assert (clip_of(made), kinds(made)) == ((0.0, 5.0), [*late, Irregularity.SPAN_CLAMPED])


def test_a_true_span_beyond_the_video_can_be_kept_for_a_benchmark() -> None:
    """Catches raw truth that preparation cuts, and bins that no model could write."""
    fields = {"name": "s", "format": "charades_sta", "annotations": "a", "media": ("m",), "use": "benchmark"}
    source = SourceConfig.model_validate({**fields, "outside_spans": "keep"})
    ref = VideoRef(path="v.mp4", num_frames=100, fps=10, duration_s=10.0, height=4, width=4)
    clock = Clock(ref, source)
    span = clock.resolve(DraftSpan(start=2, end=12, unit=Unit.SECONDS))
    assert (span.start_s, span.end_s, span.end_bin) == (2.0, 12.0, temporal.LAST_BIN)
    assert [i.irregularity for i in clock.irregular()] == [Irregularity.SPAN_OUTSIDE]
    within = Clock(ref, source)
    assert within.resolve(DraftSpan(start=2, end=5, unit=Unit.SECONDS)).end_s == 5.0
    assert list(within.irregular()) == []
    with pytest.raises(RejectError):
        clock.resolve(DraftSpan(start=20, end=25, unit=Unit.SECONDS))
    with pytest.raises(ValidationError, match="keep is for the truth of a benchmark"):
        SourceConfig.model_validate({**fields, "use": "train", "outside_spans": "keep"})


def test_a_duration_that_differs_from_the_videos_is_reported_scaled_or_rejected() -> None:
    """Catches rounding or the sound's duration taken for a mismatch, and times scaled from a wrong start."""
    for duration_s in (10.0, 9.1, 10.9, 12.0, 12.9, None):
        assert Irregularity.DURATION_MISMATCH not in kinds(
            finished(draft(clip=(3, 7), duration_s=duration_s))
        )
    made = finished(draft(clip=(1, 2), duration_s=5.0), start_s=0)
    assert (clip_of(made), kinds(made)) == ((1.0, 2.0), [Irregularity.DURATION_MISMATCH])
    made = finished(draft(clip=(1, 2), duration_s=5.0), start_s=0, duration_mismatch="scale")
    assert clip_of(made) == (2.0, 4.0)
    made = finished(draft(clip=(2, 5), duration_s=6.0), duration_mismatch="scale")  # 12 s with its sound
    assert clip_of(made) == (2.0, 8.0)
    made = finished(draft(clip=(1, 2), duration_s=10.5), start_s=0, duration_mismatch="scale")
    assert clip_of(made) == (1.0, 2.0)
    with pytest.raises(RejectError, match=r"the record says 5\.00 s, the video lasts 10\.00 s"):
        finished(draft(clip=(1, 2), duration_s=5.0), start_s=0, duration_mismatch="reject")


@pytest.mark.parametrize(("end", "listed"), [(2, True), (50, True), (51, False), (1, False), (None, False)])
def test_masks_are_early_if_all_are_in_the_first_half(end: int | None, listed: bool) -> None:
    """Catches a rule that applies to a single mask, or to masks beyond the middle."""
    assert (Irregularity.EARLY_MASKS in kinds(finished(draft(masks_end=end)))) is listed


# ------------------------------------------------------------------------------ names of stills


def write_stills(folder: Path, *names: str) -> Path:
    write_folder(folder, frames=len(names))
    for still, name in zip(sorted(folder.glob("0*.jpg")), names, strict=True):
        still.rename(folder / f"x{name}")
    for name in names:
        (folder / f"x{name}").rename(folder / name)
    return folder


@pytest.mark.parametrize(
    ("there", "ordered"),
    [
        (("10.jpg", "9.jpg", "1.jpg"), ("1.jpg", "9.jpg", "10.jpg")),
        (("010.jpg", "9.jpg", "0001.jpg"), ("0001.jpg", "9.jpg", "010.jpg")),
        (("img_10.png", "img_9.png"), ("img_9.png", "img_10.png")),
        (("s2_f1.jpg", "s1_f10.jpg", "s1_f9.jpg"), ("s1_f9.jpg", "s1_f10.jpg", "s2_f1.jpg")),
        (("b.jpg", "a.jpg"), ("a.jpg", "b.jpg")),
    ],
)
def test_frames_are_in_the_order_of_their_numbers(
    tmp_path: Path, there: tuple[str, ...], ordered: tuple[str, ...]
) -> None:
    """Catches sorting as text, where 10.jpg precedes 9.jpg, and probing that differs from decoding."""
    folder = write_stills(tmp_path / "stills", *there)
    assert list_frames(folder) == ordered
    frames = video.decode(folder, range(len(ordered)))
    listed = video.decode(folder, range(len(ordered)), frames=ordered)
    assert (frames == listed).all()


@pytest.mark.parametrize(
    ("there", "odd"),
    [
        (("1.jpg", "2.jpg", "cover.jpg"), r"cover\.jpg: has no place among .*such as 1\.jpg"),
        (("1.jpg", "2.jpg", "cover_1.jpg"), r"cover_1\.jpg: has no place"),
        (("f1.jpg", "f2.jpg", "cover.jpg"), r"cover\.jpg: has no place"),
        (("1.jpg", "01.jpg"), r"1\.jpg: has the number of 01\.jpg"),
        (("00001.jpg", "00001.png"), r"00001\.png: has the number of 00001\.jpg"),
    ],
)
def test_frames_without_a_clear_order_are_an_error(tmp_path: Path, there: tuple[str, ...], odd: str) -> None:
    """Catches a cover image or a mask that becomes a frame of the video."""
    with pytest.raises(video.VideoError, match=odd):
        list_frames(write_stills(tmp_path / "stills", *there))


# ------------------------------------------------------------------------------ the shared cases


@pytest.mark.usefixtures("without_ray")
def test_inputs_that_once_failed_give_the_right_samples(cases: Path, tmp_path: Path) -> None:
    """The expected values are those of the README beside these inputs."""
    media = tmp_path / "media"
    write_clip(media / "v.mp4", frames=60)
    shutil.copy(media / "v.mp4", media / "v_x.mp4")
    shutil.copy(cases / "video" / "videolater.mp4", media / "late.mp4")
    shutil.copytree(cases / "video" / "unpadded_frames", media / "unpadded_frames")
    talk = [{"from": "human", "value": "What is it?"}, {"from": "gpt", "value": "It."}]
    (tmp_path / "talk.json").write_text(json.dumps([{"video": "unpadded_frames", "conversations": talk}]))
    records = cases / "records"

    def entry(name: str, fmt: str, annotations: Path, **more: str) -> dict[str, Any]:
        return {"name": name, "format": fmt, "annotations": str(annotations), "media": [str(media)], **more}

    chosen = [
        entry("late", "charades_sta", records / "late.txt"),
        entry("anet", "activitynet_captions", records / "duration_lies_anet.json"),
        entry("vtimellm", "vtimellm", records / "duration_lies_vtimellm.json"),
        entry(
            "ends", "mvbench", records / "mvbench_end_past_video.json", use="benchmark", outside_spans="clamp"
        ),
        entry("unpadded", "llava_video", tmp_path / "talk.json"),
    ]
    reader = build(chosen, tmp_path / "made")
    assert {e.name: e.irregularities for e in reader.manifest.sources} == {
        "late": {"late_picture": 2},
        "anet": {"duration_mismatch": 1},
        "vtimellm": {"duration_mismatch": 1},
        "ends": {"span_clamped": 4},  # 6.1, 6.4, 9 and -0.1 of 6 s
        "unpadded": {"frame_names": 1},
    }
    late = [(s.spans[0].start_s, s.spans[0].end_s) for s in samples(reader, "late").values()]
    assert late == [(0.0, pytest.approx(2.0)), (pytest.approx(2.0), pytest.approx(6.0))]
    assert rejects(reader)["late/1"] == "span_outside"  # during this span there is only sound
    (unpadded,) = samples(reader, "unpadded").values()
    assert unpadded.video.frames == tuple(f"{n}.jpg" for n in range(1, 13))
    scaled = [e | {"duration_mismatch": "scale"} for e in chosen if e["name"] in ("anet", "vtimellm")]
    reader = build(scaled, tmp_path / "scaled")
    spans = {source: next(iter(samples(reader, source).values())).spans[0] for source in reader.sources}
    assert (spans["anet"].start_s, spans["anet"].end_s) == (0.0, pytest.approx(3.0))
    assert (spans["vtimellm"].start_s, spans["vtimellm"].end_s) == (pytest.approx(2.0), pytest.approx(4.0))

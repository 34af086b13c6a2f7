"""A real video of variable frame rate, from probing to samples: times follow its time stamps."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from datasets_prep.card.gallery import frames_to_show, show
from datasets_prep.draft import Draft, DraftSpan, Media, Reason, RejectError, Unit, time_mark
from datasets_prep.passes.finish import finish
from datasets_prep.passes.media_table import MEDIA_SCHEMA, media_table
from datasets_prep.passes.probe import probe_media, probe_video
from pipeline.media import video
from pipeline.media.probing import FilmMeasurement
from pipeline.page.frames import strip_frames
from pipeline.plan.data import SourceConfig
from pipeline.records.sample import Role, Sample, Task, Turn, VideoRef
from pipeline.storage.location import Location
from pipeline.times import temporal
from pipeline.times.frame_times import frame_times
from pipeline.times.temporal import Outside
from tests.datasets_prep.clips import HEIGHT, WIDTH, picture, write_clip

# Twelve frames at ten per second, the last of which shows for eight seconds, then seven more frames.
PTS = [*range(0, 120, 10), *range(920, 990, 10)]
LONG, END_S = 11, 9.9


@pytest.fixture(scope="module", params=["mkv", "mp4"])
def media(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("media")
    write_clip(folder / "v.mp4", frames=20, fps=10)
    made = write_clip(folder / f"uneven.{request.param}", frames=len(PTS), pts=PTS)
    made.rename(folder / "uneven")
    return folder


@pytest.fixture(scope="module")
def uneven(media: Path) -> VideoRef:
    return probe_video(Location.parse(media / "uneven"), "uneven", (), 3.0)


def draft(span: DraftSpan, clip: DraftSpan | None = None) -> Draft:
    return Draft(
        key="s/0",
        task=Task.TEMPORAL,
        media=Media(candidates=("uneven",)),
        turns=(Turn(role=Role.USER, text="When?"), Turn(role=Role.ASSISTANT, text=time_mark(0))),
        times=(span,),
        clip=clip,
    )


def finished(ref: VideoRef, span: DraftSpan, clip: DraftSpan | None = None, **more: object) -> Sample:
    config = SourceConfig.model_validate(
        {"name": "s", "format": "st_align", "annotations": "x", "media": ("m",), **more}
    )
    return finish(draft(span, clip), config, ref, 1).sample


def frames(first: float, last: float) -> DraftSpan:
    return DraftSpan(start=first, end=last, unit=Unit.FRAMES)


def test_probing_keeps_the_start_of_each_frame_of_a_variable_rate(uneven: VideoRef) -> None:
    assert uneven.num_frames == len(PTS)
    assert uneven.frame_starts_s == pytest.approx([p / 100 for p in PTS], abs=0.001)
    assert uneven.duration_s == pytest.approx(END_S, abs=0.15)  # the duration of the last frame is a guess


def test_the_media_table_keeps_frame_starts_only_for_a_variable_rate(media: Path, uneven: VideoRef) -> None:
    asked = [f'[["{media}"], ["{name}"], [], 0]' for name in ("v.mp4", "uneven", "gone.mp4")]
    ids = [bytes([n]) * 16 for n in range(len(asked))]
    rows = pa.table({"media_id": pa.array(ids, pa.binary(16)), "media": asked})
    table = probe_media(rows, lambda root: Location.parse(root))
    assert table.schema == MEDIA_SCHEMA
    even, other, gone = media_table([table]).find(ids)
    assert even.video is not None
    assert even.video.frame_starts_s == ()
    assert other.video == uneven
    assert hash(other.video) == hash(uneven)
    assert (gone.video, gone.reason) == (None, str(Reason.MEDIA_MISSING))


def test_a_span_in_frames_ends_when_its_last_frame_ends(uneven: VideoRef) -> None:
    (span,) = finished(uneven, frames(10, LONG)).spans
    assert (span.start_s, span.end_s) == pytest.approx((1.0, 9.2), abs=0.001)
    (first,) = finished(uneven, frames(0, 0)).spans
    assert (first.start_s, first.end_s) == pytest.approx((0.0, 0.1), abs=0.001)
    (last,) = finished(uneven, frames(12, len(PTS) - 1)).spans
    assert (last.start_s, last.end_s) == (pytest.approx(9.2, abs=0.001), uneven.duration_s)
    assert (span.start_bin, span.end_bin) == tuple(
        temporal.to_bin(t, uneven.duration_s) for t in (span.start_s, span.end_s)
    )


def test_frame_numbers_beyond_the_video_are_rejected_or_clamped(uneven: VideoRef) -> None:
    with pytest.raises(RejectError, match="span_outside"):
        finished(uneven, frames(12, len(PTS)))
    (span,) = finished(uneven, frames(12, len(PTS) + 5), outside_spans=Outside.CLAMP).spans
    assert span.end_s == uneven.duration_s


def test_a_clip_shows_its_own_frames_and_no_others(media: Path, uneven: VideoRef) -> None:
    """At a constant rate they would be 2 to 9 of nineteen; decoding shows which frames they are."""
    clip = DraftSpan(start=1.05, end=5.0, unit=Unit.SECONDS)
    sample = finished(uneven, frames(LONG, LONG), clip, outside_spans=Outside.CLAMP)
    assert sample.clip is not None
    times = frame_times(uneven)
    assert times.frames_in(sample.clip.start_s, sample.clip.end_s) == (10, LONG)
    assert strip_frames(sample, 6) == [10, LONG]
    for index, pixels in zip((10, LONG), video.decode(media / "uneven", [10, LONG]), strict=True):
        assert abs(int(pixels.mean()) - int(picture(index).mean())) <= 3
    (span,) = sample.spans
    assert (span.start_s, span.end_s) == pytest.approx((1.1, 5.0), abs=0.001)


def test_the_card_shows_the_time_of_each_frame(uneven: VideoRef) -> None:
    early = finished(uneven, DraftSpan(start=2.0, end=2.5, unit=Unit.SECONDS))
    assert frames_to_show(early) == [2, 5, 9, LONG, 13, 16]  # no evenly spaced frame shows at that time
    sample = finished(uneven, DraftSpan(start=3.0, end=8.0, unit=Unit.SECONDS))
    shown = show(sample, {index: np.zeros((4, 6, 3), np.uint8) for index in range(len(PTS))})
    (frame,) = [f for f in shown.frames if f.caption.endswith(f"frame {LONG}")]
    assert frame.caption == f"1.1 s, frame {LONG}"
    assert frame.at == pytest.approx(100 * (1.1 + 9.2) / 2 / uneven.duration_s, abs=0.1)
    assert frame.kind == "answer"


def test_time_stamps_that_leave_a_frame_no_duration_are_an_error(
    monkeypatch: pytest.MonkeyPatch, media: Path
) -> None:
    stamps = [0.0, 1.0, 1.0, 1.0, 1.000003]
    film = FilmMeasurement(starts_s=stamps, end_s=2.0, end_source="stream", height=HEIGHT, width=WIDTH)
    monkeypatch.setattr(video, "measure", lambda path: film)
    with pytest.raises(video.VideoError, match="uneven: frame 1 shows"):
        video.probe(media / "uneven")

"""Writes the frames of one shard's samples: each video is decoded once, however many samples use it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from datasets_prep.draft import Reason, RejectError, unforeseen
from datasets_prep.passes.locate import Listings
from pipeline.dataset.baked import FramesEntry, to_jpeg, video_key, write_frames
from pipeline.errors import UserError
from pipeline.media import video
from pipeline.media.frame_choice import frames_needed
from pipeline.media.same_video import OtherVideoError, VerifyVideos, verify
from pipeline.plan.data import BakeConfig, SourceConfig
from pipeline.records.sample import Sample, VideoRef
from pipeline.storage.location import Location

_Frames = tuple[int, ...]


@dataclass(kw_only=True)
class BakeResult:
    """The file of some samples' frames, and by position the samples that have to be rejected."""

    frames: FramesEntry | None  # None: nothing was kept
    failed: dict[int, RejectError] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Baker:
    """Bakes the frames of one source."""

    config: BakeConfig
    media: tuple[str, ...]
    resolve: Callable[[str], Location]

    @classmethod
    def of(
        cls, config: BakeConfig | None, source: SourceConfig, resolve: Callable[[str], Location]
    ) -> Baker | None:
        """None where the plan bakes nothing."""
        return None if config is None else cls(config=config, media=source.media, resolve=resolve)

    def write(self, samples: Sequence[Sample], out: Location, shard: str) -> BakeResult:
        """Write the frames of a shard's samples.

        Frames of a sample that lacks one are left out, unless other samples need them.
        """
        baked = BakeResult(frames=None)
        by_video = self._by_video(samples)
        listings = self._listings(by_video)

        def videos() -> Iterator[tuple[VideoRef, Mapping[int, bytes]]]:
            for ref, frames_of in by_video:
                jpegs, failed = self._read_frames(ref, frames_of, self._jpegs, listings)
                baked.failed.update(failed)
                if jpegs:
                    yield ref, jpegs

        baked.frames = write_frames(out, shard, videos())
        return baked

    def failing(self, samples: Sequence[Sample]) -> dict[int, RejectError]:
        """The samples whose frames do not decode, by position: those that ``write`` would list as failed."""
        failed: dict[int, RejectError] = {}
        by_video = self._by_video(samples)
        listings = self._listings(by_video)
        for ref, frames_of in by_video:
            failed.update(self._read_frames(ref, frames_of, self._decodes, listings)[1])
        return failed

    def _by_video(self, samples: Sequence[Sample]) -> list[tuple[VideoRef, dict[int, _Frames]]]:
        """Each video with the frames that its samples need, by the samples' positions, sorted by video."""
        found: dict[tuple[str, str], tuple[VideoRef, dict[int, _Frames]]] = {}
        for at, sample in enumerate(samples):
            _, frames_of = found.setdefault(video_key(sample.video), (sample.video, {}))
            frames_of[at] = frames_needed(sample, self.config.frames)
        return [found[key] for key in sorted(found)]

    def _read_frames(
        self,
        ref: VideoRef,
        frames_of: Mapping[int, _Frames],
        make: Callable[[Path, VideoRef, _Frames], dict[int, bytes]],
        listings: Listings,
    ) -> tuple[dict[int, bytes], dict[int, RejectError]]:
        """The results of ``make`` for the frames of one video, and the samples whose frames do not decode.

        If not all frames decode, each sample is tried alone: a truncated end costs only samples that show it.
        """
        try:
            path = self._fetch(ref, listings)
        except RejectError as error:
            return {}, dict.fromkeys(frames_of, error)
        try:
            return make(path, ref, tuple(sorted({f for frames in frames_of.values() for f in frames}))), {}
        except RejectError:
            pass
        outcomes: dict[_Frames, RejectError | None] = {}
        made: dict[int, bytes] = {}
        for frames in frames_of.values():
            if frames not in outcomes:
                try:
                    made |= make(path, ref, frames)
                    outcomes[frames] = None
                except RejectError as error:
                    outcomes[frames] = error
        failed = {at: why for at, frames in frames_of.items() if (why := outcomes[frames]) is not None}
        return made, failed

    def _listings(self, by_video: Sequence[tuple[VideoRef, object]]) -> Listings:
        return Listings(((self.media, (ref.path,)) for ref, _ in by_video), self.resolve)

    def _fetch(self, ref: VideoRef, listings: Listings) -> Path:
        """A local copy of the video from the first media folder that has it, where probing found it."""
        try:
            place, _, listed = listings.find(self.media, (ref.path,))
            path = place.fetch_dir() if ref.frames else place.fetch(listed)
            verify(path, ref, VerifyVideos.HEAD)
        except OtherVideoError as error:
            problem = f"{ref.path} has changed since it was probed: it {error.problem}"
            raise RejectError(Reason.MEDIA_UNREADABLE, problem) from error
        except (RejectError, FileNotFoundError) as error:
            raise RejectError(Reason.MEDIA_MISSING, f"{ref.path} has gone since it was probed") from error
        return path

    def _jpegs(self, path: Path, ref: VideoRef, frames: _Frames) -> dict[int, bytes]:
        return self._each(path, ref, frames, self._jpeg)

    def _decodes(self, path: Path, ref: VideoRef, frames: _Frames) -> dict[int, bytes]:
        return self._each(path, ref, frames, lambda picture: b"")

    def _jpeg(self, picture: np.ndarray) -> bytes:
        return to_jpeg(picture, self.config.longest_side, self.config.quality)

    def _each(
        self, path: Path, ref: VideoRef, frames: _Frames, keep: Callable[[np.ndarray], bytes]
    ) -> dict[int, bytes]:
        """The result of ``keep`` for each frame. Raises RejectError; its text has no path of this machine."""
        made, size = dict[int, bytes](), None
        try:
            for index, picture in video.stream(
                path, frames, frames=ref.frames, num_frames=ref.num_frames or None
            ):
                if size not in (None, picture.shape):
                    raise video.VideoError(f"frame {index} is {picture.shape[:2]}, others are {size[:2]}")
                size = picture.shape
                made[index] = keep(picture)
        except video.VideoError as error:
            problem = str(error).removeprefix(f"{path}: ").removeprefix(f"{path}/")
            raise RejectError(Reason.MEDIA_UNREADABLE, f"{ref.path}: {problem}") from error
        except OSError as error:
            name = f"{ref.path}/{Path(error.filename).name}" if ref.frames and error.filename else ref.path
            raise RejectError(Reason.MEDIA_UNREADABLE, f"{name}: {error.strerror or error}") from error
        except (UserError, AssertionError, MemoryError):
            raise
        except Exception as error:  # decoders have error classes of every kind
            raise unforeseen(error, ref.path) from error
        return made

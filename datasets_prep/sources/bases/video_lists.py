"""The plan's lists of videos: which of a source's videos are selected."""

from __future__ import annotations

from pathlib import Path

from datasets_prep.sources.bases.reader import Files
from datasets_prep.sources.json.json_object import members
from pipeline.errors import UserError
from pipeline.plan.data import SourceConfig


class VideoFilter:
    """``keep_videos`` and ``drop_videos`` of a source. Raises UserError for a list that cannot be read.

    The published validation file of Refer-YouTube-VOS holds the test videos as well; the lines of Ref-DAVIS
    cover all splits.
    """

    def __init__(self, source: SourceConfig, files: Files, *, every_file: bool = False) -> None:
        for name in ("keep_videos", "drop_videos"):
            in_plan, local = getattr(source, name), getattr(files, name)
            assert (in_plan is None) == (local is None), f"{name} of the plan was not passed on"
        self._source, self._strict = source, every_file or not files.name
        self._keep = _names(files.keep_videos, "keep_videos") if files.keep_videos else None
        self._drop = _names(files.drop_videos, "drop_videos") if files.drop_videos else frozenset()
        self._kept = self._dropped = 0

    def wants(self, video: str) -> bool:
        """Whether the plan selects a video."""
        dropped = video in self._drop
        wanted = not dropped and (self._keep is None or video in self._keep)
        self._dropped += dropped
        self._kept += wanted
        return wanted

    def check_used(self) -> None:
        """Raise UserError for a list that matches none of the file's videos: it belongs to another set.

        With several annotation files a list may belong to another of them, unless it is for ``every_file``.
        """
        if not self._strict:
            return
        name = f"source {self._source.name}"
        if self._drop and not self._dropped:
            raise UserError(name, "drop_videos names none of its videos.", "Give the list of this set.")
        if not self._kept and (self._keep is not None or self._drop):
            raise UserError(
                name, "keep_videos and drop_videos leave none of its videos.", "Give the lists of this set."
            )


def _names(path: Path, key: str) -> frozenset[str]:
    """The names in a ``meta_expressions.json``, or in a text file, one a line."""
    try:
        text = path.read_bytes()
    except OSError as error:
        raise UserError(str(path), f"cannot be opened ({error.strerror}).", f"Correct `{key}`.") from error
    text = text.removeprefix(b"\xef\xbb\xbf")
    if text.lstrip().startswith(b"{"):
        names = [member.name for member in members(path, "videos")]
    else:
        names = [line.strip() for line in text.decode("utf-8", "replace").splitlines()]
    found = frozenset(filter(None, names))
    if not found:
        raise UserError(str(path), "names no video.", f"Correct `{key}`.")
    return found

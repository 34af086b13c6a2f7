"""The names of video, expression and frames, in a key and back."""

from __future__ import annotations

import pytest

from pipeline.errors import UserError
from pipeline.records.expressions import expression_key, expression_names
from pipeline.records.sample import Sample, Task, VideoRef


def sample(key: str, path: str, frames: tuple[str, ...] = ("00000.jpg", "7.png")) -> Sample:
    video = VideoRef(path=path, frames=frames, num_frames=len(frames))
    return Sample(key=key, dataset="a/b", task=Task.SEGMENT, video=video, turns=())


@pytest.mark.parametrize("video", ["0a1b", "5", "TAO/val/YFCC100M/v_1.2", "JPEGImages"])
@pytest.mark.parametrize("below", ["", "JPEGImages/"])
def test_names_are_read_back_from_the_key(video: str, below: str) -> None:
    """Unpadded names and slashes in a video's name are kept; the folder of stills is not part of it."""
    found = expression_names(sample(expression_key(f"a/b/{video}", "10"), below + video))
    assert found == (video, "10", ("00000", "7"))


@pytest.mark.parametrize(
    ("key", "path"),
    [
        ("a/b/valid/0a1b/0", "0a1b"),  # from one of several files, whose name is part of the key
        ("a/b/0a1b/0/1", "0a1b"),  # an expression's name with a slash
        ("a/b/a1b/0", "0a1b"),
        ("a/b/0", "0a1b"),
    ],
)
def test_a_key_of_another_form_is_refused(key: str, path: str) -> None:
    with pytest.raises(UserError, match="does not name its video"):
        expression_names(sample(key, path))


def test_a_video_file_has_no_names_of_frames() -> None:
    with pytest.raises(UserError, match="frames have no names"):
        expression_names(sample("a/b/v.mp4/0", "v.mp4", frames=()))

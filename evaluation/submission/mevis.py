"""The archive of MeViS valid (https://github.com/henghuiding/MeViS): video folders at its root."""

from __future__ import annotations

from evaluation.submission.layout import Layout


def _path(video: str, expression: str, frame: str) -> str:
    return f"{video}/{expression}/{frame}.png"


MEVIS_VALID = Layout(
    path=_path,
    videos=140,
    expressions=2236,
    about="MeViS valid has 140 videos and 2,236 expressions",
    upload="Upload it to the MeViS competition on CodaLab, https://codalab.lisn.upsaclay.fr/competitions/15094",
)

"""The archive of Refer-YouTube-VOS valid (https://youtube-vos.org/dataset/rvos): one folder ``Annotations``.

The published file of expressions names 507 videos, those of valid and of test; the server scores the 202 of
valid. The source's ``drop_videos`` with the test file leaves them.
"""

from __future__ import annotations

from evaluation.submission.layout import Layout


def _path(video: str, expression: str, frame: str) -> str:
    return f"Annotations/{video}/{expression}/{frame}.png"


REF_YOUTUBE_VOS_VALID = Layout(
    path=_path,
    videos=202,
    expressions=834,
    about="Refer-YouTube-VOS valid has 202 videos and 834 expressions: set drop_videos of the source to the "
    "meta_expressions.json of test, or keep_videos to a list of the 202",
    upload="Upload it to the Refer-YouTube-VOS competition on CodaLab, "
    "https://codalab.lisn.upsaclay.fr/competitions/29139",
)

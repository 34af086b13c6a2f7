"""Refer-YouTube-VOS valid: masks of what an expression names (https://youtube-vos.org/dataset/rvos).

Its truth is hidden: the answers are written as a submission. A part of the training set that is held out with
its masks is scored here, by the same rule.
"""

from __future__ import annotations

from evaluation.benchmarks.base import Benchmark
from evaluation.benchmarks.baselines import CONSTANT_MASK
from evaluation.benchmarks.judging import score_masks
from evaluation.benchmarks.mask_metrics import region_metrics
from evaluation.benchmarks.mevis import prompt
from evaluation.submission.ref_youtube_vos import REF_YOUTUBE_VOS_VALID
from pipeline.records.sample import Task

RULE = "mean over all annotated frames of an expression, then over expressions"

REF_YOUTUBE_VOS = Benchmark(
    name="ref_youtube_vos",
    title="Ref-YouTube-VOS",
    about="Refer-YouTube-VOS: masks of what an expression names; valid is submitted",
    accepts=(Task.SEGMENT,),
    baseline=CONSTANT_MASK,
    prompt=prompt,
    score=score_masks,
    metrics=(*region_metrics(RULE),),
    footnote="Ref-YouTube-VOS: its server has the truth of valid; masks are asked for on the listed frames.",
    submission=REF_YOUTUBE_VOS_VALID,
)

"""``ufvideo score`` for benchmarks whose texts a language model marks: which judge, and its marks.

Judgements are kept as a plan keeps them, in ``judgements/`` of a folder, so neither asks again for what the
other has judged.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from pydantic import ValidationError

from evaluation.benchmarks import Benchmark
from evaluation.judge.marking import Marked, mark
from evaluation.judge.rubric import JudgeTexts
from evaluation.metrics.aggregate import Score
from evaluation.score.given import Given
from evaluation.score.predicted import prediction_of
from pipeline.errors import UserError
from pipeline.plan.judge import JudgeConfig
from pipeline.records.sample import Sample
from pipeline.storage.location import Location

_FIELDS = ("url", "model", "cache", "key_variable", "instructions", "tokens")  # of the options --judge-…


def judge_of(options: argparse.Namespace, benchmark: Benchmark | None) -> JudgeConfig | None:
    """The judge that the options ask for, or None. Raises UserError for options that cannot work.

    ``benchmark`` is None for two trees of masks.
    """
    given = [name for name in _FIELDS if getattr(options, f"judge_{name}") is not None]
    if not given:
        return None
    first = "--judge-" + given[0].replace("_", "-")
    if benchmark is None or benchmark.judged is None:
        what = benchmark.title if benchmark else "masks"
        raise UserError(first, f"is not used: no metric of {what} is judged.", "Leave it out.")
    settings: dict[str, object] = {
        "endpoint": options.judge_url,
        "model": options.judge_model,
        "instructions": options.judge_instructions,
        "budget": {"tokens": options.judge_tokens},
    }
    values = {name: value for name, value in settings.items() if value is not None}
    if options.judge_key_variable is not None:  # an empty one: the endpoint needs no key
        values["key_variable"] = options.judge_key_variable or None
    try:
        config = JudgeConfig.model_validate(values)
    except ValidationError as error:  # its text would repeat the value, which may hold a key
        problem = error.errors(include_input=False, include_url=False)[0]
        option = {"endpoint": "url", "budget": "tokens"}.get(str(problem["loc"][0]), str(problem["loc"][0]))
        text = str(problem["msg"]).removeprefix("Value error, ")
        raise UserError(f"--judge-{option.replace('_', '-')}", f"{text}.", "Correct it.") from None
    if config.endpoint and config.key_variable and not os.environ.get(config.key_variable):
        raise UserError(
            config.key_variable,
            "is not set in the environment, and holds the key of the judge's endpoint.",
            'Set it, or name another variable as --judge-key-variable ("" for an endpoint without a key).',
        )
    return config


def marked(
    benchmark: Benchmark,
    scores: Sequence[Score],
    texts: Sequence[JudgeTexts | None],
    config: JudgeConfig,
    cache: str | None,
) -> Marked:
    """The scores with the judge's marks, by the benchmark's name. Raises UserError for a missing file."""
    instructions = None
    if config.instructions is not None:
        try:
            instructions = Path(config.instructions).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(config.instructions, f"cannot be read ({error}).", "Name a text file.") from None
    return mark(
        {benchmark.name: scores},
        {benchmark.name: texts},
        config,
        Location.parse(cache or "."),
        instructions,
        benchmark.title,
    )


def texts_of(
    benchmark: Benchmark, samples: Sequence[Sample], given: Mapping[int, Given]
) -> list[JudgeTexts | None]:
    """What the judge is to mark of each sample's prediction; None for one without a text.

    Masks that cannot be used do not matter here: the text is judged all the same.
    """
    assert benchmark.judged is not None, "only benchmarks with judged metrics have a judge"
    out = []
    for number, sample in enumerate(samples):
        one = given.get(number)
        text = replace(one, masks=None, rle=None, tracks=()) if one else None
        out.append(benchmark.judged(sample, prediction_of(sample, text)))
    return out

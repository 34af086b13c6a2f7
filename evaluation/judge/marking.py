"""From stored answers to marked scores: which texts are judged, by which judge, and the results."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from evaluation.answer_store import AnswerStore, Stored
from evaluation.benchmarks import benchmark_of
from evaluation.benchmarks.marks import MEASURES, measures
from evaluation.judge.agreement import agreement, agreement_text, read_reference
from evaluation.judge.cache import JudgementCache
from evaluation.judge.judge import NOT_JUDGED, Outcome, judge
from evaluation.judge.rubric import JudgeTexts, Rubric
from evaluation.metrics.aggregate import Score
from evaluation.work import Item
from pipeline import progress
from pipeline.dataset.reader import ShardReader
from pipeline.errors import UserError
from pipeline.plan.evaluation import BenchmarkConfig
from pipeline.plan.judge import JudgeConfig
from pipeline.storage.location import Location

JUDGEMENTS, JUDGE, AGREEMENT = "judgements.jsonl", "judge.json", "agreement.json"
NO_JUDGE = f"{NOT_JUDGED}: the plan has no judge"
_NONE_JUDGED = f"{NOT_JUDGED}: an answer without text, and no other is judged"
_NO_REFERENCE = f"{NOT_JUDGED}: the sample has no reference"


@dataclass(frozen=True, kw_only=True)
class Marked:
    """Scores with their marks. ``judged_by`` describes the judge by entry, ``judge`` is its digest.

    ``unjudged`` counts answers that the plan's judge could still judge. ``rows`` are the lines of
    ``judgements.jsonl``, ``report`` is the content of ``judge.json``.
    """

    scores: Mapping[str, Sequence[Score]]
    judged_by: Mapping[str, str] = field(default_factory=dict)
    judge: str = ""
    unjudged: int = 0
    rows: Sequence[Mapping[str, Any]] = ()
    report: Mapping[str, Any] | None = None

    def identity(self, entry: str) -> tuple[str, ...]:
        """The judge's digest if it marks this entry, as the scores then depend on it; otherwise nothing."""
        return (self.judge,) if self.judge and entry in self.judged_by else ()


def mark(
    scores: Mapping[str, Sequence[Score]],
    texts: Mapping[str, Sequence[JudgeTexts | None]],
    config: JudgeConfig | None,
    storage: Location,
    instructions: str | None,
    subject: str,
) -> Marked:
    """Have the answers of every entry in ``texts`` judged, in the order of its scores."""
    wanted = [one for group in texts.values() for one in group if one is not None and one.reference]
    if not texts:
        return Marked(scores=scores)
    if config is None:
        marked = {name: [_missing(score, NO_JUDGE) for score in scores[name]] for name in texts}
        return Marked(scores={**scores, **marked}, judged_by=dict.fromkeys(texts, NOT_JUDGED))
    cache = JudgementCache(storage, config.model, Rubric(instructions))
    outcome = _judge(wanted, config, cache, subject)
    marked, rows = {}, []
    for name, group in texts.items():
        keys = [cache.key(one) if one else "" for one in group]
        marked[name] = _marked(scores[name], keys, outcome)
        rows += [
            _row(name, score.key, one, key, outcome)
            for score, one, key in zip(scores[name], group, keys, strict=True)
            if one is not None
        ]
    missing = Counter(row["reason"] for row in rows if row["reason"])
    models = Counter(row["model"] for row in rows if row["model"])
    report = {
        "model": config.model,
        "models": dict(sorted(models.items())),
        "rubric": cache.rubric.digest,
        "judged": sum(row["marks"] is not None for row in rows),
        "missing": dict(sorted(missing.items())),
        "stored_before": outcome.stored,
        "spent": asdict(outcome.spent),
    }
    _say(report, outcome)
    who = "this project's instructions" if instructions is None else "instructions of the plan"
    served = " and ".join(sorted(models)) or config.model
    told = f"marked by {served} at temperature 0, {who} {cache.rubric.digest[:8]}"
    return Marked(
        scores={**scores, **marked},
        judged_by=dict.fromkeys(texts, told),
        judge=cache.identity,
        unjudged=sum(n for reason, n in missing.items() if reason != _NO_REFERENCE),
        rows=rows,
        report=report,
    )


def texts_of(
    benchmarks: Sequence[BenchmarkConfig],
    reader: ShardReader,
    store: AnswerStore,
    items: Mapping[str, Sequence[Item]],
    index: Mapping[str, Mapping[tuple[str, str], Stored]],
) -> dict[str, list[JudgeTexts | None]]:
    """What a judge is to mark, by entry and in the order of its items; without entries that need no judge."""
    out: dict[str, list[JudgeTexts | None]] = {}
    for b in benchmarks:
        judged = benchmark_of(b.family).judged
        if judged is None:
            continue
        group = items[b.entry]
        places = [index[b.source][item.name] for item in group]
        order = sorted(range(len(group)), key=lambda n: places[n])  # each part is read once
        made = dict(zip(order, store.read(b.source, [places[n] for n in order]), strict=True))
        out[b.entry] = [judged(reader.sample(b.source, item.row), made[n]) for n, item in enumerate(group)]
    return out


def write(out: Location, marked: Marked, reference: Location | None) -> None:
    """``judgements.jsonl`` and ``judge.json``; ``agreement.json`` where there are reference marks."""
    if marked.report is None:
        return
    lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in marked.rows]
    (out / JUDGEMENTS).write_text("".join(lines))
    (out / JUDGE).write_text(json.dumps(marked.report, indent=1, ensure_ascii=False) + "\n")
    if reference is not None:
        rows, counts = agreement(read_reference(reference), marked.rows)
        print(agreement_text(rows, counts), flush=True)
        content = {"references": counts, "dimensions": [asdict(row) for row in rows]}
        (out / AGREEMENT).write_text(json.dumps(content, indent=1) + "\n")


def read_instructions(place: Location | None) -> str | None:
    """The plan's instructions. Raises UserError for an empty file."""
    if place is None:
        return None
    text = place.read_text().strip()
    if not text:
        raise UserError(place.uri, "holds no instructions for the judge.", "Correct evaluation.judge.")
    return text


def _judge(wanted: Sequence[JudgeTexts], config: JudgeConfig, cache: JudgementCache, subject: str) -> Outcome:
    # Shells and secret stores often add a line break.
    key = os.environ.get(config.key_variable, "").strip() if config.key_variable else None
    if wanted and config.endpoint:
        cache.describe()
    with progress.track(f"judge {subject}", len({cache.key(one) for one in wanted})) as bar:

        def done(outcome: Outcome) -> None:
            ended = len(outcome.judgements) + len(outcome.reasons)
            bar.update(ended, failures=len(outcome.reasons), requests=outcome.spent.requests)

        outcome = judge(wanted, config, cache, key, done)
        done(outcome)
    return outcome


def _marked(scores: Sequence[Score], keys: Sequence[str], outcome: Outcome) -> list[Score]:
    """The scores of an entry with their marks, or with the reason why there are none.

    ``keys`` are those of the judgements, empty for an answer without text. Such a failure of the model has 0
    in every dimension, unless none of the others is judged: a mean of failures alone says nothing.
    """
    alone = any(keys) and not any(key in outcome.judgements for key in keys)
    out = []
    for score, key in zip(scores, keys, strict=True):
        if made := outcome.judgements.get(key):
            out.append(replace(score, values={**score.values, **measures(made.marks.marks)}))
        elif not key and not alone:
            out.append(replace(score, values={**score.values, **dict.fromkeys(MEASURES, 0.0)}))
        else:
            out.append(_missing(score, outcome.reasons.get(key, _NO_REFERENCE) if key else _NONE_JUDGED))
    return out


def _row(entry: str, name: str, one: JudgeTexts, key: str, outcome: Outcome) -> dict[str, Any]:
    """One line of ``judgements.jsonl``."""
    made = outcome.judgements.get(key)
    return {
        "benchmark": entry,
        "key": name,
        "answer": one.answer,
        "marks": dict(made.marks.marks) if made else None,
        "reasons": dict(made.marks.reasons) if made else None,
        "model": made.model if made else None,
        "reason": "" if made else outcome.reasons.get(key, _NO_REFERENCE),
        "judgement": key,
    }


def _missing(score: Score, reason: str) -> Score:
    return replace(score, missing={**score.missing, **dict.fromkeys(MEASURES, reason)})


def _say(report: Mapping[str, Any], outcome: Outcome) -> None:
    spent = outcome.spent
    total = report["judged"] + sum(report["missing"].values())
    line = f"judge: {report['judged']} of {total} answers judged, {outcome.stored} judgements stored before; "
    line += f"{spent.requests} requests ({spent.retries} again), "
    line += f"{spent.prompt_tokens} + {spent.reply_tokens} tokens, {spent.money:.2f} at the plan's prices"
    if spent.uncounted:
        line += f"; tokens of {spent.uncounted} requests are estimated"
    print(line, flush=True)
    for reason, n in report["missing"].items():
        detail = outcome.details.get(reason)
        print(f"judge: {n} answers: {reason}" + (f" ({detail})" if detail else ""), flush=True)
    if len(report["models"]) > 1:
        print(f"judge: the endpoint served several models: {report['models']}", flush=True)
    for name in outcome.damaged:
        print(f"judge: {name} of the stored judgements is damaged and was not read", flush=True)

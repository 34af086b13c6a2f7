"""The judge's client, cache and limits against a real HTTP server that also misbehaves."""

from __future__ import annotations

import json
import shutil
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest
from judge_server import KEY, MODEL, Act, JudgeServer, judge_server, marks

from evaluation.judge import judge as judging
from evaluation.judge.cache import JudgementCache
from evaluation.judge.judge import NOT_JUDGED, Outcome, judge
from evaluation.judge.limits import retry_after_s, wait_s
from evaluation.judge.rubric import DIMENSIONS, JudgeTexts, Rubric, read_marks
from pipeline.plan.judge import JudgeConfig
from pipeline.storage.location import Location


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Waits between tries in milliseconds; what the server asks for is waited for in full."""
    monkeypatch.setattr(judging, "wait_s", lambda attempt, name: wait_s(attempt, name) / 100)


def texts(n: int) -> list[JudgeTexts]:
    return [JudgeTexts(question="Describe it.", reference=f"A cat, {i}.", answer=f"a{i}") for i in range(n)]


def cache_at(folder: Path, model: str = "judge", instructions: str | None = None) -> JudgementCache:
    return JudgementCache(Location.parse(folder), model, Rubric(instructions))


def run(server: JudgeServer | None, folder: Path, n: int = 4, **keys: Any) -> Outcome:
    url = server.url if server else None
    config = JudgeConfig.model_validate({"endpoint": url, "model": "judge", **keys})
    out = judge(texts(n), config, cache_at(folder), KEY)
    wanted = {cache_at(folder).key(one) for one in texts(n)}
    assert wanted == out.judgements.keys() | out.reasons.keys(), "no answer is lost"
    assert not out.judgements.keys() & out.reasons.keys()
    return out


def files(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_what_is_sent(tmp_path: Path):
    with judge_server() as server:
        out = run(server, tmp_path, 1)
    (request,), (headers,) = server.requests, server.headers
    assert (request["model"], request["temperature"]) == ("judge", 0)
    form = request["response_format"]["json_schema"]
    assert form["strict"] is True
    assert list(form["schema"]["properties"]) == [d.field for d in DIMENSIONS]
    assert json.loads(request["messages"][1]["content"]) == {
        "question": "Describe it.",
        "reference": "A cat, 0.",
        "answer": "a0",
    }
    assert headers["Authorization"] == f"Bearer {KEY}"
    (made,) = out.judgements.values()
    assert made.model == MODEL, "the name that the server gives"
    assert made.marks.marks == {"SC": 4, "AD": 4, "TD": 4, "HD": 4}
    assert made.marks.reasons["SC"] == "because of Subject Correspondence"
    assert (out.spent.requests, out.spent.prompt_tokens, out.spent.reply_tokens) == (1, 100, 50)


def test_instructions_of_a_file_are_sent_in_the_published_form(tmp_path: Path):
    config = JudgeConfig.model_validate({"model": "judge", "endpoint": "http://x"})
    with judge_server() as server:
        config = config.model_copy(update={"endpoint": server.url})
        judge(texts(1), config, cache_at(tmp_path, instructions="Mark it."), KEY)
    system, user = server.requests[0]["messages"]
    assert system["content"] == "Mark it."
    assert user["content"] == "##Correct answer: A cat, 0.\n##Predicted answer: a0\n"


CUT = Act(content=marks(), cut=True)


@pytest.mark.parametrize(
    ("bad", "keys"),
    [
        (Act(status=429, headers={"Retry-After": "0"}), {}),
        (Act(status=500), {}),
        (Act(status=503, body=b"<html>busy</html>"), {}),
        (CUT, {}),
        (Act(content="I would give it a four."), {}),
        (Act(content={"subject_correspondence": {"score": 4}}), {}),
        (Act(content=marks(6)), {}),
        (Act(content=marks(-1)), {}),
        (Act(content=marks(3.5)), {}),
        (Act(content=marks(True)), {}),
        (Act(content=marks("4")), {}),
        (Act(content=json.dumps(marks())[:60], ended="length"), {}),
        (Act(body=b'{"choices": []}'), {}),
        (Act(body=b"[]"), {}),
        (Act(content=marks(), wait_s=1.5), {"timeout_s": 0.5}),
    ],
    ids=lambda value: str(value)[:60] if isinstance(value, Act) else "",
)
def test_a_fault_that_passes_costs_a_retry_and_no_answer(tmp_path: Path, bad: Act, keys: dict[str, Any]):
    with judge_server(lambda request, n: bad if n == 1 else Act(content=marks(3))) as server:
        out = run(server, tmp_path, 2, **keys)
    assert not out.reasons
    assert (out.spent.requests, out.spent.retries, len(server.requests)) == (4, 2, 4)
    assert {made.marks.marks["SC"] for made in out.judgements.values()} == {3}


def test_a_fault_that_stays_is_a_failure_with_its_reason(tmp_path: Path):
    """One answer of four: the others are judged."""

    def script(request: dict[str, Any], n: int) -> Act:
        return Act(content="no idea") if '"a2"' in request["messages"][1]["content"] else Act(content=marks())

    with judge_server(script) as server:
        out = run(server, tmp_path, retries=2)
    assert list(out.reasons.values()) == ["the reply is no JSON"]
    assert (len(out.judgements), out.spent.requests, out.spent.retries) == (3, 6, 2)
    assert out.details["the reply is no JSON"] == "no idea"
    with judge_server() as server:
        assert not run(server, tmp_path).reasons
    assert server.answers() == ["a2"], "only what failed is asked again"


def test_a_refusal_is_not_asked_again(tmp_path: Path):
    with judge_server(lambda request, n: Act(content="", ended="content_filter")) as server:
        out = run(server, tmp_path, 2)
    assert set(out.reasons.values()) == {"the judge refuses"}
    assert len(server.requests) == 2


@pytest.mark.parametrize("date", [False, True])
def test_retry_after_holds_for_all_requests(tmp_path: Path, date: bool):
    def script(request: dict[str, Any], n: int) -> Act:
        if len(server.requests) > 1:
            return Act(content=marks())
        until = datetime.now(UTC) + timedelta(seconds=2)  # in whole seconds when it is written
        after = format_datetime(until, usegmt=True) if date else "1"
        return Act(status=429, headers={"Retry-After": after})

    with judge_server(script) as server:
        out = run(server, tmp_path, 4, concurrency=1)
    assert not out.reasons
    assert min(server.times[1:]) - server.times[0] >= (0.5 if date else 0.95)


def test_a_server_that_wants_hours_is_not_waited_for(tmp_path: Path):
    with judge_server(lambda request, n: Act(status=429, headers={"Retry-After": "7200"})) as server:
        out = run(server, tmp_path, 4, concurrency=1)
    assert len(server.requests) == 1
    stopped = f"{NOT_JUDGED}: the endpoint asks to wait for 7200 s"
    assert sorted(out.reasons.values()) == [stopped] * 3 + ["the endpoint answers 429"]


@pytest.mark.parametrize("bad", [Act(status=401), Act(status=404)])
def test_what_fails_for_all_is_asked_once(tmp_path: Path, bad: Act):
    bad.body = json.dumps({"error": {"message": f"Incorrect API key {KEY}"}}).encode()
    with judge_server(lambda request, n: bad) as server:
        out = run(server, tmp_path, 30, concurrency=1)
    assert len(server.requests) == 1
    assert len(out.reasons) == 30
    assert out.details[f"the endpoint answers {bad.status}"] == "Incorrect API key ***"


def test_an_empty_account_is_no_rate_limit(tmp_path: Path):
    body = json.dumps({"error": {"message": "pay", "code": "insufficient_quota"}}).encode()
    with judge_server(lambda request, n: Act(status=429, body=body)) as server:
        run(server, tmp_path, 5, concurrency=1)
    assert len(server.requests) == 1


def test_a_server_that_is_down_is_given_up(tmp_path: Path):
    with judge_server() as server:
        pass
    out = run(server, tmp_path, 20, retries=1, concurrency=1)
    assert out.spent.requests == 10
    reasons = list(out.reasons.values())
    assert reasons.count("the endpoint cannot be reached") == 5
    assert sum(reason.startswith(f"{NOT_JUDGED}: 5 answers in a row failed") for reason in reasons) == 15


def test_the_same_again_asks_nothing(tmp_path: Path):
    with judge_server() as server:
        first = run(server, tmp_path, 40)
        before = files(tmp_path)
        again = run(server, tmp_path, 40)
    assert len(server.requests) == 40
    assert (again.spent.requests, again.stored) == (0, 40)
    assert again.judgements == first.judgements
    assert files(tmp_path) == before


def test_equal_answers_are_asked_once(tmp_path: Path):
    config = JudgeConfig.model_validate({"model": "judge", "endpoint": "http://x"})
    with judge_server() as server:
        config = config.model_copy(update={"endpoint": server.url})
        out = judge(texts(1) * 5, config, cache_at(tmp_path), KEY)
    assert (len(server.requests), len(out.judgements)) == (1, 1)


def test_a_shipped_cache_replays_without_a_server(tmp_path: Path):
    with judge_server() as server:
        first = run(server, tmp_path / "here", 5)
    shutil.copytree(tmp_path / "here" / "judgements", tmp_path / "there" / "judgements")
    out = run(None, tmp_path / "there", 7)
    assert out.judgements == first.judgements
    assert list(out.reasons.values()) == [f"{NOT_JUDGED}: the plan names no endpoint"] * 2


def test_another_model_rubric_or_text_is_another_judgement(tmp_path: Path):
    (one,) = texts(1)
    other = JudgeTexts(question=one.question, reference=one.reference + " ", answer=one.answer)
    keys = {
        cache_at(tmp_path).key(one),
        cache_at(tmp_path).key(other),
        cache_at(tmp_path, model="judge2").key(one),
        cache_at(tmp_path, instructions="x").key(one),
    }
    assert len(keys) == 4


def test_a_damaged_part_is_named_and_its_answers_are_asked_again(tmp_path: Path):
    with judge_server() as server:
        run(server, tmp_path, 3)
        (part,) = tmp_path.rglob("*.jsonl")
        part.write_bytes(part.read_bytes().replace(b'"SC": 4', b'"SC": 5'))
        out = run(server, tmp_path, 3)
    assert out.damaged == [part.name]
    assert len(server.requests) == 6


@pytest.mark.parametrize(
    ("budget", "asked"),
    [({"requests": 3}, 3), ({"tokens": 4000}, None), ({"money": 0.02}, None), ({"requests": 0}, 0)],
)
def test_a_budget_stops(tmp_path: Path, budget: dict[str, float], asked: int | None):
    prices = {"input": 10.0, "output": 10.0}
    keys = {"budget": budget, "prices": prices, "concurrency": 4, "reply_tokens": 100}
    with judge_server() as server:
        out = run(server, tmp_path, 60, **keys)
    assert set(out.reasons.values()) == {f"{NOT_JUDGED}: the budget is spent"}
    assert out.spent.requests == len(server.requests) == len(out.judgements) < 60
    if asked is None:
        assert 0 < out.spent.prompt_tokens + out.spent.reply_tokens <= 4000
        assert out.spent.money <= 0.02 + (1 if "tokens" in budget else 0)
    else:
        assert len(server.requests) == asked
    with judge_server() as server:
        out = run(server, tmp_path, 60)
    assert not out.reasons, "a run without the limit goes on"


def test_a_budget_counts_replies_that_are_of_no_use(tmp_path: Path):
    with judge_server(lambda request, n: Act(content="no")) as server:
        out = run(server, tmp_path, 3, budget={"requests": 4}, concurrency=1, retries=1)
    assert len(server.requests) == 4
    assert (out.spent.prompt_tokens, out.spent.reply_tokens) == (400, 200)
    assert len(out.reasons) == 3


def test_replies_without_usage_are_estimated_and_counted(tmp_path: Path):
    with judge_server(lambda request, n: Act(content=marks(), usage=False)) as server:
        out = run(server, tmp_path, 2)
    assert out.spent.uncounted == 2
    assert out.spent.prompt_tokens > 200


def test_requests_a_minute_and_at_once(tmp_path: Path):
    with judge_server(lambda request, n: Act(content=marks(), wait_s=0.3)) as server:
        run(server, tmp_path / "a", 6, requests_per_minute=600, concurrency=6)
        gaps = [b - a for a, b in zip(server.times, server.times[1:], strict=False)]
        assert sum(gaps) >= 0.45, "five gaps of a tenth of a second"
        server.busiest = 0
        run(server, tmp_path / "b", 6, concurrency=2)
    assert server.busiest <= 2


def test_what_was_judged_is_kept_when_the_run_dies(tmp_path: Path):
    config = JudgeConfig.model_validate({"model": "judge", "endpoint": "http://x", "concurrency": 1})
    with judge_server() as server:
        config = config.model_copy(update={"endpoint": server.url})

        def done(outcome: Outcome) -> None:
            if len(outcome.judgements) == 3:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            judge(texts(9), config, cache_at(tmp_path), KEY, done)
    assert len(cache_at(tmp_path).read()[0]) == 3


def test_the_key_is_in_no_file_and_may_be_missing(tmp_path: Path):
    with judge_server() as server:
        run(server, tmp_path, 3)
        assert not any(KEY.encode() in content for content in files(tmp_path).values())
        config = JudgeConfig.model_validate({"model": "judge", "endpoint": server.url})
        out = judge(texts(5), config, cache_at(tmp_path), None)
        assert (len(out.judgements), len(server.requests)) == (3, 3)
        assert set(out.reasons.values()) == {f"{NOT_JUDGED}: OPENAI_API_KEY is not set"}
        without = config.model_copy(update={"key_variable": None})
        assert not judge(texts(5), without, cache_at(tmp_path), None).reasons
    assert "Authorization" not in server.headers[-1]


def test_a_fenced_reply_is_read():
    assert read_marks(f"```json\n{json.dumps(marks(2))}\n```").marks["HD"] == 2


def test_waits_double_and_headers_are_read():
    waits = [wait_s(n, "8000") for n in range(10)]
    assert waits[:4] == [0.5, 1.0, 2.0, 4.0]
    assert waits[-1] == 60
    assert retry_after_s("1.5") == 1.5
    assert retry_after_s("soon") is None
    assert retry_after_s(None) is None
    assert retry_after_s("Wed, 21 Oct 2015 07:28:00 GMT") == 0

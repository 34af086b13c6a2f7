"""The judge's client, cache and limits against a real HTTP server that also misbehaves."""

from __future__ import annotations

import json
import shutil
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest
from judge_server import KEY, MODEL, JudgeServer, Response, judge_server, marks
from pydantic import ValidationError

from evaluation.judge import judge as judging
from evaluation.judge.cache import JudgementCache
from evaluation.judge.judge import NOT_JUDGED, Outcome, judge
from evaluation.judge.limits import retry_after_s, wait_s
from evaluation.judge.rubric import DIMENSIONS, JudgeTexts, Rubric, read_marks
from pipeline.plan.judge import JudgeConfig
from pipeline.storage.location import Location


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shortens waits between tries to milliseconds; a server's Retry-After is kept in full."""
    monkeypatch.setattr(judging, "wait_s", lambda attempt, name: wait_s(attempt, name) / 100)


def texts(n: int) -> list[JudgeTexts]:
    return [JudgeTexts(question="Describe it.", reference=f"A cat, {i}.", answer=f"a{i}") for i in range(n)]


def cache_at(folder: Path, model: str = "judge", instructions: str | None = None) -> JudgementCache:
    return JudgementCache(Location.parse(folder), model, Rubric(instructions))


def run(server: JudgeServer | None, folder: Path, n: int = 4, **keys: Any) -> Outcome:
    url = server.url if server else None
    config = JudgeConfig.model_validate({"endpoint": url, "model": "judge", **keys})
    out = judge(texts(n), config, cache_at(folder), KEY)
    expected = {cache_at(folder).key(one) for one in texts(n)}
    assert expected == out.judgements.keys() | out.reasons.keys(), "no answer is lost"
    assert not out.judgements.keys() & out.reasons.keys()
    return out


def files(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_the_request_has_temperature_0_the_schema_and_the_texts(tmp_path: Path):
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


CUT = Response(content=marks(), cut=True)


@pytest.mark.parametrize(
    ("bad", "keys"),
    [
        (Response(status=429, headers={"Retry-After": "0"}), {}),
        (Response(status=500), {}),
        (Response(status=503, body=b"<html>busy</html>"), {}),
        (CUT, {}),
        (Response(content="I would give it a four."), {}),
        (Response(content={"subject_correspondence": {"score": 4}}), {}),
        (Response(content=marks(6)), {}),
        (Response(content=marks(-1)), {}),
        (Response(content=marks(3.5)), {}),
        (Response(content=marks(True)), {}),
        (Response(content=marks("4")), {}),
        (Response(content=json.dumps(marks())[:60], ended="length"), {}),
        (Response(content="[" * 100_000), {}),
        (Response(body=b"[" * 100_000), {}),
        (Response(body=b'{"choices": []}'), {}),
        (Response(body=b"[]"), {}),
        (Response(content=marks(), wait_s=1.5), {"timeout_s": 0.5}),
    ],
    ids=lambda value: str(value)[:60] if isinstance(value, Response) else "",
)
def test_a_transient_fault_costs_a_retry_and_no_answer(tmp_path: Path, bad: Response, keys: dict[str, Any]):
    with judge_server(lambda request, n: bad if n == 1 else Response(content=marks(3))) as server:
        out = run(server, tmp_path, 2, **keys)
    assert not out.reasons
    assert (out.spent.requests, out.spent.retries, len(server.requests)) == (4, 2, 4)
    assert {made.marks.marks["SC"] for made in out.judgements.values()} == {3}


def test_a_persistent_fault_is_a_failure_with_its_reason(tmp_path: Path):
    """One answer of four: the others are judged."""

    def script(request: dict[str, Any], n: int) -> Response:
        failing = '"a2"' in request["messages"][1]["content"]
        return Response(content="no idea" if failing else marks())

    with judge_server(script) as server:
        out = run(server, tmp_path, retries=2)
    assert list(out.reasons.values()) == ["the reply is not JSON"]
    assert (len(out.judgements), out.spent.requests, out.spent.retries) == (3, 6, 2)
    assert out.details["the reply is not JSON"] == "no idea"
    with judge_server() as server:
        assert not run(server, tmp_path).reasons
    assert server.answers() == ["a2"], "only the failed answer is judged again"


def test_a_refusal_is_not_retried(tmp_path: Path):
    with judge_server(lambda request, n: Response(content="", ended="content_filter")) as server:
        out = run(server, tmp_path, 2)
    assert set(out.reasons.values()) == {"the judge refuses"}
    assert len(server.requests) == 2


@pytest.mark.parametrize("date", [False, True])
def test_retry_after_holds_for_all_requests(tmp_path: Path, date: bool):
    def script(request: dict[str, Any], n: int) -> Response:
        if len(server.requests) > 1:
            return Response(content=marks())
        until = datetime.now(UTC) + timedelta(seconds=2)  # in whole seconds when it is written
        after = format_datetime(until, usegmt=True) if date else "1"
        return Response(status=429, headers={"Retry-After": after})

    with judge_server(script) as server:
        out = run(server, tmp_path, 4, concurrency=1)
    assert not out.reasons
    assert min(server.times[1:]) - server.times[0] >= (0.5 if date else 0.95)


def test_a_retry_after_of_hours_ends_the_judging(tmp_path: Path):
    with judge_server(lambda request, n: Response(status=429, headers={"Retry-After": "7200"})) as server:
        out = run(server, tmp_path, 4, concurrency=1)
    assert len(server.requests) == 1
    stopped = f"{NOT_JUDGED}: the endpoint asks to wait for 7200 s"
    assert sorted(out.reasons.values()) == [stopped] * 3 + ["the endpoint answers 429"]


@pytest.mark.parametrize("bad", [Response(status=401), Response(status=404)])
def test_an_error_of_every_request_ends_the_judging_after_one(tmp_path: Path, bad: Response):
    bad.body = json.dumps({"error": {"message": f"Incorrect API key {KEY}"}}).encode()
    with judge_server(lambda request, n: bad) as server:
        out = run(server, tmp_path, 30, concurrency=1)
    assert len(server.requests) == 1
    assert len(out.reasons) == 30
    assert out.details[f"the endpoint answers {bad.status}"] == "Incorrect API key ***"


def test_an_exhausted_quota_is_not_retried_as_a_rate_limit(tmp_path: Path):
    body = json.dumps({"error": {"message": "pay", "code": "insufficient_quota"}}).encode()
    with judge_server(lambda request, n: Response(status=429, body=body)) as server:
        run(server, tmp_path, 5, concurrency=1)
    assert len(server.requests) == 1


def test_judging_ends_when_the_server_is_down(tmp_path: Path):
    with judge_server() as server:
        pass
    out = run(server, tmp_path, 20, retries=1, concurrency=1)
    assert out.spent.requests == 10
    reasons = list(out.reasons.values())
    assert reasons.count("the endpoint cannot be reached") == 5
    assert sum(reason.startswith(f"{NOT_JUDGED}: 5 answers in a row failed") for reason in reasons) == 15


def test_a_repeated_run_sends_no_request(tmp_path: Path):
    with judge_server() as server:
        first = run(server, tmp_path, 40)
        before = files(tmp_path)
        again = run(server, tmp_path, 40)
    assert len(server.requests) == 40
    assert (again.spent.requests, again.stored) == (0, 40)
    assert again.judgements == first.judgements
    assert files(tmp_path) == before


def test_equal_answers_are_judged_once(tmp_path: Path):
    config = JudgeConfig.model_validate({"model": "judge", "endpoint": "http://x"})
    with judge_server() as server:
        config = config.model_copy(update={"endpoint": server.url})
        out = judge(texts(1) * 5, config, cache_at(tmp_path), KEY)
    assert (len(server.requests), len(out.judgements)) == (1, 1)


def test_a_copied_cache_gives_its_judgements_without_a_server(tmp_path: Path):
    with judge_server() as server:
        first = run(server, tmp_path / "here", 5)
    shutil.copytree(tmp_path / "here" / "judgements", tmp_path / "there" / "judgements")
    out = run(None, tmp_path / "there", 7)
    assert out.judgements == first.judgements
    assert list(out.reasons.values()) == [f"{NOT_JUDGED}: the plan names no endpoint"] * 2


def test_another_model_rubric_or_text_has_another_key(tmp_path: Path):
    (one,) = texts(1)
    other = JudgeTexts(question=one.question, reference=one.reference + " ", answer=one.answer)
    keys = {
        cache_at(tmp_path).key(one),
        cache_at(tmp_path).key(other),
        cache_at(tmp_path, model="judge2").key(one),
        cache_at(tmp_path, instructions="x").key(one),
    }
    assert len(keys) == 4


def test_a_damaged_part_is_named_and_its_answers_are_judged_again(tmp_path: Path):
    with judge_server() as server:
        run(server, tmp_path, 3)
        (part,) = tmp_path.rglob("*.jsonl")
        part.write_bytes(part.read_bytes().replace(b'"SC": 4', b'"SC": 5'))
        out = run(server, tmp_path, 3)
    assert out.damaged == [part.name]
    assert len(server.requests) == 6


@pytest.mark.parametrize(
    ("budget", "expected_requests"),
    [({"requests": 3}, 3), ({"tokens": 4000}, None), ({"money": 0.02}, None), ({"requests": 0}, 0)],
)
def test_judging_stops_at_the_budget(tmp_path: Path, budget: dict[str, float], expected_requests: int | None):
    prices = {"input": 10.0, "output": 10.0}
    keys = {"budget": budget, "prices": prices, "concurrency": 4, "reply_tokens": 100}
    with judge_server() as server:
        out = run(server, tmp_path, 60, **keys)
    assert set(out.reasons.values()) == {f"{NOT_JUDGED}: the budget is spent"}
    assert out.spent.requests == len(server.requests) == len(out.judgements) < 60
    if expected_requests is None:
        assert 0 < out.spent.prompt_tokens + out.spent.reply_tokens <= 4000
        assert out.spent.money <= 0.02 + (1 if "tokens" in budget else 0)
    else:
        assert len(server.requests) == expected_requests
    with judge_server() as server:
        out = run(server, tmp_path, 60)
    assert not out.reasons, "a run without the limit judges the rest"


def test_a_budget_counts_unreadable_replies(tmp_path: Path):
    with judge_server(lambda request, n: Response(content="no")) as server:
        out = run(server, tmp_path, 3, budget={"requests": 4}, concurrency=1, retries=1)
    assert len(server.requests) == 4
    assert (out.spent.prompt_tokens, out.spent.reply_tokens) == (400, 200)
    assert len(out.reasons) == 3


def test_replies_without_usage_are_estimated_and_counted(tmp_path: Path):
    with judge_server(lambda request, n: Response(content=marks(), usage=False)) as server:
        out = run(server, tmp_path, 2)
    assert out.spent.uncounted == 2
    assert out.spent.prompt_tokens > 200


@pytest.mark.parametrize("counted", ["-5", "1e999", '"x"', "null"])
def test_impossible_counts_of_tokens_are_estimated(tmp_path: Path, counted: str):
    """Negative ones would raise the budget."""
    message = {"finish_reason": "stop", "message": {"content": json.dumps(marks(4.0))}}
    reply = {"model": MODEL, "choices": [message], "usage": {"prompt_tokens": 100, "completion_tokens": "N"}}
    body = json.dumps(reply).replace('"N"', counted).encode()
    with judge_server(lambda request, n: Response(body=body)) as server:
        out = run(server, tmp_path, 2)
    assert (len(out.judgements), out.spent.uncounted) == (2, 2)
    assert out.spent.reply_tokens > 0


def test_requests_per_minute_and_concurrent_requests_are_limited(tmp_path: Path):
    with judge_server(lambda request, n: Response(content=marks(), wait_s=0.3)) as server:
        run(server, tmp_path / "a", 6, requests_per_minute=600, concurrency=6)
        gaps = [b - a for a, b in zip(server.times, server.times[1:], strict=False)]
        assert sum(gaps) >= 0.45, "five gaps of a tenth of a second"
        server.busiest = 0
        run(server, tmp_path / "b", 6, concurrency=2)
    assert server.busiest <= 2


def test_judgements_are_kept_when_the_run_dies(tmp_path: Path):
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


@pytest.mark.parametrize("padding", range(150, 210, 5))
def test_no_part_of_the_key_is_in_a_detail(tmp_path: Path, padding: int):
    """Also where the detail is cut within the key."""
    with judge_server(lambda request, n: Response(status=400, body=b"x" * padding + KEY.encode())) as server:
        out = run(server, tmp_path, 1)
    assert KEY[:4] not in str(out.details)
    with judge_server(lambda request, n: Response(content="x" * padding + KEY)) as server:
        out = run(server, tmp_path, 1, retries=0)
    assert KEY[:4] not in str(out.details)


@pytest.mark.parametrize("key", ["sk-\u00e4bc", "sk-abc\ndef", "sk-abc\x00"])
def test_a_key_that_no_header_can_hold_is_not_sent(tmp_path: Path, key: str):
    with judge_server() as server:
        config = JudgeConfig.model_validate({"model": "judge", "endpoint": server.url})
        out = judge(texts(2), config, cache_at(tmp_path), key)
    assert not server.requests
    assert len(out.reasons) == 2
    told = str([*out.reasons.values(), *out.details.values()])
    assert "OPENAI_API_KEY has characters that no key has" in told
    assert "sk-" not in told


@pytest.mark.parametrize(
    "url", ["http://localhost:99999/v1", "http://local host/v1", "http://", "https:///v1"]
)
def test_an_endpoint_without_a_usable_address_is_refused(url: str):
    with pytest.raises(ValidationError, match="is not an http:// or https:// URL"):
        JudgeConfig.model_validate({"model": "judge", "endpoint": url})


def test_a_fenced_reply_is_read():
    assert read_marks(f"```json\n{json.dumps(marks(2))}\n```").marks["HD"] == 2


def test_waits_double_up_to_a_minute_and_retry_after_is_parsed():
    waits = [wait_s(n, "8000") for n in range(10)]
    assert waits[:4] == [0.5, 1.0, 2.0, 4.0]
    assert waits[-1] == 60
    assert retry_after_s("1.5") == 1.5
    assert retry_after_s("soon") is None
    assert retry_after_s(None) is None
    assert retry_after_s("Wed, 21 Oct 2015 07:28:00 GMT") == 0

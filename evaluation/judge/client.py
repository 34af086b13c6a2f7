"""One request to an OpenAI-compatible chat endpoint, and everything that can be wrong with the reply."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from evaluation.judge.limits import retry_after_s
from evaluation.judge.rubric import Marks, read_marks, schema
from pipeline.plan.judge import JudgeConfig

if TYPE_CHECKING:
    import httpx2

_REFUSES_ALL = (401, 403, 404)  # a wrong key, no rights, no such model or address: as wrong for every request
_PASSES = (408, 409, 425, 429)  # worth another try, as every 5xx is
_READ = 20_000  # characters of a server's own words


@dataclass(frozen=True, kw_only=True, slots=True)
class Reply:
    """A usable reply. ``model`` is the server's name for it; ``used`` are tokens of prompt and reply."""

    marks: Marks
    model: str
    used: tuple[int, int] | None


class Unusable(Exception):
    """A request without a usable reply. ``reason`` is one of few, ``detail`` has the server's own words."""

    def __init__(
        self,
        reason: str,
        detail: str = "",
        *,
        again: bool = True,
        all_fail: bool = False,
        after_s: float | None = None,
        used: tuple[int, int] | None = (0, 0),
    ) -> None:
        self.reason, self.detail = reason, detail
        self.again = again  # another try can succeed
        self.all_fail = all_fail  # every other request would fail too
        self.after_s = after_s  # seconds that the server asks to wait
        self.used = used
        super().__init__(f"{reason}: {detail}" if detail else reason)


@dataclass(frozen=True)
class Endpoint:
    """An open endpoint; its key is in the client's headers and nowhere else."""

    config: JudgeConfig
    client: httpx2.AsyncClient

    async def ask(self, messages: list[dict[str, str]]) -> Reply:
        """The judge's marks. Raises Unusable."""
        import httpx2

        body = {
            "model": self.config.model,
            "messages": messages,
            "temperature": 0,
            "max_tokens": self.config.reply_tokens,
            "response_format": {
                "type": "json_schema",
                "json_schema": {"name": "marks", "strict": True, "schema": schema()},
            },
        }
        try:
            async with asyncio.timeout(self.config.timeout_s):
                response = await self.client.post(f"{self.config.endpoint}/chat/completions", json=body)
        except (TimeoutError, httpx2.TimeoutException):
            raise Unusable(f"no reply in {self.config.timeout_s:g} s", used=None) from None
        except httpx2.ConnectError as error:
            raise Unusable("the endpoint cannot be reached", str(error)) from None
        except httpx2.RequestError as error:
            raise Unusable("the connection was cut", str(error), used=None) from None
        if response.status_code != 200:
            raise _refusal(response)
        return _reply(response)


@asynccontextmanager
async def open_endpoint(config: JudgeConfig, key: str | None) -> AsyncIterator[Endpoint]:
    """The endpoint of a plan. Redirects are not followed: they would carry the key elsewhere."""
    import httpx2

    headers = {"Authorization": f"Bearer {key}"} if key else {}
    limits = httpx2.Limits(max_connections=config.concurrency)
    async with httpx2.AsyncClient(headers=headers, limits=limits, timeout=config.timeout_s) as client:
        yield Endpoint(config, client)


def _refusal(response: httpx2.Response) -> Unusable:
    status, (code, words) = response.status_code, _error(response)
    # Without money in the account, OpenAI answers as it does to too many requests.
    if status in _REFUSES_ALL or code == "insufficient_quota":
        return Unusable(f"the endpoint answers {status}", words, again=False, all_fail=True)
    passes = status >= 500 or status in _PASSES
    after_s = retry_after_s(response.headers.get("retry-after"))
    return Unusable(f"the endpoint answers {status}", words, again=passes, after_s=after_s)


def _reply(response: httpx2.Response) -> Reply:
    try:
        content: Any = json.loads(response.content)
        choice = content["choices"][0]
        text, ended = choice["message"]["content"], choice.get("finish_reason")
        refusal = choice["message"].get("refusal")
        model = str(content.get("model") or "")
    except (ValueError, KeyError, IndexError, TypeError, AttributeError, RecursionError):
        raise Unusable("the endpoint's answer is not a chat completion", used=None) from None
    used = _used(content)
    if ended == "length":
        raise Unusable("the reply was cut off at its longest", used=used)
    if ended == "content_filter" or refusal:
        raise Unusable("the judge refuses", str(refusal or ended)[:_READ], again=False, used=used)
    try:
        return Reply(marks=read_marks(text if isinstance(text, str) else ""), model=model, used=used)
    except ValueError as error:
        raise Unusable(str(error), str(text)[:_READ], used=used) from None


def _used(content: Any) -> tuple[int, int] | None:
    try:
        usage = content["usage"]
        counts = int(usage["prompt_tokens"]), int(usage["completion_tokens"])
    except (KeyError, TypeError, ValueError, OverflowError):
        return None
    return counts if min(counts) >= 0 else None


def _error(response: httpx2.Response) -> tuple[str, str]:
    """Code and message of an error as OpenAI writes it; of any other its text."""
    try:
        error = json.loads(response.content)["error"]
        return str(error.get("code") or ""), str(error.get("message") or "")[:_READ]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return "", response.text[:_READ]

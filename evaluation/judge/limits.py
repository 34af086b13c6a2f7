"""Rate limit, waits between tries, and a budget that is never exceeded."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from pipeline.plan.judge import BudgetConfig, PricesConfig

LONGEST_WAIT_S = 600.0  # a server that asks for more is not waited for
_LOOK_EVERY_S = 1.0
_FIRST_WAIT_S, _MOST_WAIT_S = 0.5, 60.0


@dataclass(kw_only=True)
class Spent:
    """What the judge has cost. Tokens are those that the server counts; ``money`` is at the plan's prices."""

    requests: int = 0
    retries: int = 0
    prompt_tokens: int = 0
    reply_tokens: int = 0
    uncounted: int = 0  # replies without a count of tokens, for which an estimate stands
    money: float = 0.0


class Budget:
    """What may be spent. A request is let through if what it could cost fits beside those in flight."""

    def __init__(self, limits: BudgetConfig, prices: PricesConfig) -> None:
        self.limits, self.prices = limits, prices
        self.spent = Spent()
        self._held: list[tuple[int, int]] = []  # tokens that requests in flight could take
        self._changed = asyncio.Condition()

    async def reserve(self, prompt: int, reply: int) -> bool:
        """Reserve what a request could cost; False: beyond the budget. May wait for requests in flight."""
        async with self._changed:
            while not self._fits(prompt, reply):
                if not self._held:
                    return False
                await self._changed.wait()
            self._held.append((prompt, reply))
            return True

    async def settle(self, held: tuple[int, int], used: tuple[int, int] | None, *, sent: bool) -> None:
        """Count what a request cost instead of what was held for it. ``used`` is None if it is not known."""
        async with self._changed:
            self._held.remove(held)
            self.spent.requests += sent
            prompt, reply = held if used is None else used
            self.spent.prompt_tokens += prompt
            self.spent.reply_tokens += reply
            self.spent.uncounted += used is None
            self.spent.money += self._price(prompt, reply)
            self._changed.notify_all()

    def _fits(self, prompt: int, reply: int) -> bool:
        prompts = self.spent.prompt_tokens + prompt + sum(p for p, _ in self._held)
        replies = self.spent.reply_tokens + reply + sum(r for _, r in self._held)
        limits = self.limits
        return (
            (limits.requests is None or self.spent.requests + len(self._held) < limits.requests)
            and (limits.tokens is None or prompts + replies <= limits.tokens)
            and (limits.money is None or self._price(prompts, replies) <= limits.money)
        )

    def _price(self, prompt: int, reply: int) -> float:
        return (prompt * self.prices.input + reply * self.prices.output) / 1e6


class Pace:
    """Lets requests through evenly, with a limit per minute, and none while the server asks to wait."""

    def __init__(self, per_minute: float | None) -> None:
        self._gap_s = 60 / per_minute if per_minute else 0.0
        self._next = 0.0

    async def turn(self, stopped: Callable[[], bool] = lambda: False) -> None:
        """Wait for a turn, or until the run has stopped asking."""
        while (wait := self._next - time.monotonic()) > 0 and not stopped():
            await asyncio.sleep(min(wait, _LOOK_EVERY_S))
        self._next = time.monotonic() + self._gap_s

    def rest(self, seconds: float) -> None:
        """Let no request through for this time."""
        self._next = max(self._next, time.monotonic() + seconds)


def wait_s(attempt: int, name: str) -> float:
    """Seconds before a request's next try: doubled each time, spread by the request's name (a digest)."""
    return min(_MOST_WAIT_S, _FIRST_WAIT_S * 2**attempt) * (0.75 + int(name[:4], 16) / 2**17)


def retry_after_s(header: str | None) -> float | None:
    """Seconds that a Retry-After header asks for, as a number or a date; None without a readable one."""
    if not header:
        return None
    with suppress(ValueError):
        return max(0.0, float(header))
    with suppress(ValueError, TypeError):
        until = parsedate_to_datetime(header)
        return max(0.0, (until.replace(tzinfo=until.tzinfo or UTC) - datetime.now(UTC)).total_seconds())
    return None

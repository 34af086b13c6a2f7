"""Judgements of answers: from the store if they were judged before, otherwise from the endpoint.

No answer is lost: each has a judgement or a reason why there is none.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from evaluation.judge.cache import Judgement, JudgementCache
from evaluation.judge.client import Endpoint, Reply, Unusable, open_endpoint
from evaluation.judge.limits import LONGEST_WAIT_S, Budget, Pace, Spent, wait_s
from evaluation.judge.rubric import JudgeTexts, schema
from pipeline.plan.judge import JudgeConfig

NOT_JUDGED = "not judged"
_WRITE_EVERY, _WRITE_EVERY_S = 32, 10.0  # judgements in a part, so that a killed run loses few
_GIVE_UP_AFTER = 5  # answers in a row for which no try had a usable reply
_BYTES_PER_TOKEN = 2  # fewer than in any usual text, so that a budget is not exceeded
_OVERHEAD_TOKENS = 100  # of the form of a conversation
_SHOWN = 200  # characters of a server's own words


@dataclass(kw_only=True)
class Outcome:
    """Judgements, and the reason where there is none, by key; ``stored`` of them were there before.

    ``details`` are a server's own words by reason, once each.
    """

    judgements: dict[str, Judgement] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)
    stored: int = 0
    spent: Spent = field(default_factory=Spent)
    details: dict[str, str] = field(default_factory=dict)
    damaged: list[str] = field(default_factory=list)


def judge(
    texts: Sequence[JudgeTexts],
    config: JudgeConfig,
    cache: JudgementCache,
    key: str | None,
    done: Callable[[Outcome], object] = lambda outcome: None,
) -> Outcome:
    """Judge every text; equal ones once. ``done`` is called after each one that is asked."""
    found, damaged = cache.read()
    wanted = {cache.key(one): one for one in texts}
    out = Outcome(damaged=damaged)
    out.judgements = {name: found[name] for name in wanted if name in found}
    out.stored = len(out.judgements)
    missing = {name: one for name, one in wanted.items() if name not in found}
    if not missing:
        return out
    if config.endpoint is None:
        out.reasons = dict.fromkeys(missing, f"{NOT_JUDGED}: the plan names no endpoint")
    elif config.key_variable and not key:
        out.reasons = dict.fromkeys(missing, f"{NOT_JUDGED}: {config.key_variable} is not set")
    elif key and not (key.isascii() and key.isprintable()):
        reason = f"{NOT_JUDGED}: {config.key_variable} has characters that no key has, such as a line break"
        out.reasons = dict.fromkeys(missing, reason)
    else:
        asyncio.run(_Run(config, cache, key, out, done).all(missing))
    return out


class _Run:
    """Everything that the requests of one run share."""

    def __init__(
        self,
        config: JudgeConfig,
        cache: JudgementCache,
        key: str | None,
        out: Outcome,
        done: Callable[[Outcome], object],
    ) -> None:
        self.config, self.cache, self.key, self.out, self.done = config, cache, key, out, done
        self.budget = Budget(config.budget, config.prices)
        self.pace = Pace(config.requests_per_minute)
        self.out.spent = self.budget.spent
        self.stop = ""  # why no further request is made
        self.failed_in_a_row = 0
        self.unwritten: list[Judgement] = []
        self.written_at = time.monotonic()

    async def all(self, missing: dict[str, JudgeTexts]) -> None:
        """Ask for each; whatever happens, what was judged is written."""
        queue = iter(missing.items())

        async def work(endpoint: Endpoint) -> None:
            for name, texts in queue:
                await self.one(endpoint, name, texts)
                self.done(self.out)

        try:
            async with open_endpoint(self.config, self.key) as endpoint:
                await asyncio.gather(*(work(endpoint) for _ in range(self.config.concurrency)))
        finally:
            self._write()

    async def one(self, endpoint: Endpoint, name: str, texts: JudgeTexts) -> None:
        """Ask for one judgement until there is one, or a reason why there is none."""
        for attempt in range(self.config.retries + 1):
            try:
                reply = await self._ask(endpoint, texts, again=attempt > 0)
            except Unusable as problem:
                self._note(problem)
                if problem.again and attempt < self.config.retries and not self.stop:
                    await asyncio.sleep(wait_s(attempt, name))
                    continue
                self._fail(name, problem.reason)
            else:
                if reply is None:
                    self.out.reasons[name] = f"{NOT_JUDGED}: {self.stop}"
                else:
                    self._keep(name, texts, reply)
            return

    async def _ask(self, endpoint: Endpoint, texts: JudgeTexts, *, again: bool) -> Reply | None:
        """One request, within budget and pace; None if nothing more is asked. Raises Unusable."""
        messages = self.cache.rubric.messages(texts)
        size = len((str(messages) + str(schema())).encode())
        held = (size // _BYTES_PER_TOKEN + _OVERHEAD_TOKENS, self.config.reply_tokens)
        if not self.stop and not await self.budget.reserve(*held):
            self.stop = self.stop or "the budget is spent"
        if self.stop:
            return None
        sent, used = False, None
        try:
            await self.pace.turn(lambda: bool(self.stop))
            if self.stop:
                return None
            sent = True
            self.budget.spent.retries += again
            reply = await endpoint.ask(messages)
            used = reply.used
        except Unusable as problem:
            used = problem.used
            raise
        finally:
            await self.budget.settle(held, used if sent else (0, 0), sent=sent)
        return reply

    def _note(self, problem: Unusable) -> None:
        """Apply the consequences of a problem for all requests."""
        self.out.details.setdefault(problem.reason, self._without_key(problem.detail)[:_SHOWN])
        if problem.all_fail:
            self.stop = self.stop or problem.reason
        if problem.after_s is not None and problem.after_s > LONGEST_WAIT_S:
            self.stop = self.stop or f"the endpoint asks to wait for {problem.after_s:.0f} s"
        elif problem.after_s is not None:
            self.pace.rest(problem.after_s)

    def _fail(self, name: str, reason: str) -> None:
        self.out.reasons[name] = reason
        self.failed_in_a_row += 1
        if self.failed_in_a_row >= _GIVE_UP_AFTER:
            self.stop = self.stop or f"{_GIVE_UP_AFTER} answers in a row failed, the last one since {reason}"

    def _keep(self, name: str, texts: JudgeTexts, reply: Reply) -> None:
        self.failed_in_a_row = 0
        made = Judgement(key=name, texts=texts, marks=reply.marks, model=reply.model, tokens=reply.used)
        self.out.judgements[name] = made
        self.unwritten.append(made)
        if len(self.unwritten) >= _WRITE_EVERY or time.monotonic() - self.written_at > _WRITE_EVERY_S:
            self._write()

    def _write(self) -> None:
        self.cache.write(self.unwritten)
        self.unwritten, self.written_at = [], time.monotonic()

    def _without_key(self, text: str) -> str:
        """A server may repeat the key in its error, and this text is printed: whole, as a part may be cut."""
        return text.replace(self.key, "***") if self.key else text

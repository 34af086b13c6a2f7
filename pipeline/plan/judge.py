"""The judge section: which language model marks free text, and within which limits."""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import urlsplit

from pydantic import Field, field_validator

from pipeline.plan.base import Config, RuntimeConfig
from pipeline.plan.identity import Input, Runtime
from pipeline.plan.section_errors import Problem
from pipeline.storage.credentials import has_credentials

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def _names_a_host(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return bool(parts.hostname) and parts.port != 0 and not any(c.isspace() for c in url)
    except ValueError:  # a port that no address has
        return False


class PricesConfig(RuntimeConfig):
    """What the endpoint charges, in any currency, for a million tokens."""

    input: float = Field(default=0.0, ge=0, description="Price of a million tokens of prompts.")
    output: float = Field(default=0.0, ge=0, description="Price of a million tokens of replies.")


class BudgetConfig(RuntimeConfig):
    """Where one run of a step stops asking the judge; null: no limit."""

    requests: int | None = Field(default=None, ge=0, description="HTTP requests, retries included.")
    tokens: int | None = Field(default=None, ge=0, description="Tokens of prompts and replies together.")
    money: float | None = Field(default=None, ge=0, description="Money, in the currency of the prices.")


class JudgeConfig(Config):
    """A language model that marks free text, behind an OpenAI-compatible endpoint."""

    endpoint: Runtime[str | None] = Field(
        default=None,
        description="Base URL of the server, such as https://api.openai.com/v1; null: only judgements that "
        "are stored already are used.",
    )
    model: str = Field(
        default="gpt-4o-2024-08-06",
        min_length=1,
        description="The model, best with its date: a name without one changes its meaning over time.",
    )
    key_variable: Runtime[str | None] = Field(
        default="OPENAI_API_KEY",
        description="Environment variable that holds the endpoint's key; null: it needs none.",
    )
    instructions: Input[str | None] = Field(
        default=None,
        description="Text file with instructions for the judge, such as VideoRefer-Bench's own; null: this "
        "project's.",
    )
    reference: Input[str | None] = Field(
        default=None,
        description="JSON lines with marks of the same answers, by people or another judge; the agreement "
        "with them is measured.",
    )
    concurrency: Runtime[int] = Field(default=8, ge=1, le=256, description="Requests in flight at once.")
    requests_per_minute: Runtime[float | None] = Field(
        default=None, gt=0, description="At most so many requests a minute; null: no limit."
    )
    retries: Runtime[int] = Field(
        default=5, ge=0, description="How often a request is repeated after a failure or an unusable reply."
    )
    timeout_s: Runtime[float] = Field(
        default=120.0, gt=0, description="Seconds after which a request counts as failed."
    )
    reply_tokens: Runtime[int] = Field(
        default=1000, ge=100, description="Tokens at which the server cuts a reply off."
    )
    budget: Runtime[BudgetConfig] = Field(
        default=BudgetConfig(), description="What one run of a step may spend; the rest is not judged."
    )
    prices: Runtime[PricesConfig] = Field(
        default=PricesConfig(), description="What the endpoint charges; a budget in money needs them."
    )

    @field_validator("endpoint")
    @classmethod
    def _is_a_plain_url(cls, text: str | None) -> str | None:
        # Plans are copied into the storage root and to MLflow. The messages must not repeat the value.
        if text is None:
            return None
        if has_credentials(text) or "?" in text:
            raise ValueError("holds credentials or a query. Leave them out, and name key_variable")
        if not text.startswith(("http://", "https://")) or not _names_a_host(text):
            raise ValueError("is not an http:// or https:// URL")
        return text.rstrip("/")

    @field_validator("key_variable")
    @classmethod
    def _names_a_variable(cls, text: str | None) -> str | None:
        # A key put here by mistake would be copied with the plan; most keys are no names of variables.
        if text is not None and not _VARIABLE.fullmatch(text):
            raise ValueError("is not a name of an environment variable. The key itself must not be in a plan")
        return text

    def problems(self) -> Iterator[Problem]:
        """A budget in money without prices."""
        if self.budget.money is not None and not (self.prices.input or self.prices.output):
            yield Problem(
                ("budget", "money"),
                "a budget in money needs the endpoint's prices; set evaluation.judge.prices",
            )

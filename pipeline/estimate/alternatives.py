"""Changes of a stage's layout with which it fits into the memory of its GPUs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Any, Final

from pipeline.estimate.activations import OBJECTS
from pipeline.estimate.memory import memory
from pipeline.plan.model import ModelConfig
from pipeline.plan.parts import CHECKPOINTED, Part
from pipeline.plan.training import LoraConfig, StageConfig

_TOGETHER: Final = 3
_OFFERED: Final = 4
_LAYOUT: Final = "layout."


@dataclass(frozen=True, kw_only=True)
class Change:
    """Some keys of a stage with other values, by their dotted names, and the peak memory in bytes."""

    values: Mapping[str, Any]
    peak: int


def changes_that_fit(
    config: ModelConfig,
    stage: StageConfig,
    limit: int,
    *,
    start_bytes: int | None = None,
    objects: int = OBJECTS,
) -> list[Change]:
    """The first few changes whose estimate is at most ``limit`` bytes, those of the fewest keys first.

    None contains another one of the list. At the same number of keys, what changes the result least comes
    first and LoRA last.
    """
    found: list[Change] = []
    single = list(_single(stage))
    for count in range(1, _TOGETHER + 1):
        for chosen in combinations(single, count):
            values = dict(pair for change in chosen for pair in change.items())
            if len(values) < count or any(values.items() >= other.values.items() for other in found):
                continue
            changed = _apply(stage, values)
            if changed.layout.compile and changed.layout.zero_stage == 3:
                continue
            peak = memory(config, changed, start_bytes=start_bytes, objects=objects).peak
            if peak <= limit:
                found.append(Change(values=values, peak=peak))
        if len(found) >= _OFFERED:
            break
    return found[:_OFFERED]


def _single(stage: StageConfig) -> Iterator[dict[str, Any]]:
    layout = stage.layout
    again = [part for part in CHECKPOINTED if part in (*stage.train, *layout.gradient_checkpointing)]
    if set(again) > set(layout.gradient_checkpointing):
        yield {"layout.gradient_checkpointing": tuple(again)}
    smaller = [m for m in range(layout.micro_batch - 1, 0, -1) if not layout.micro_batch % m]
    yield from ({"layout.micro_batch": m} for m in smaller)
    if layout.zero_stage < 3:
        yield {"layout.zero_stage": 3}
    for times in (2, 4, 8):
        if layout.workers * times * layout.micro_batch <= stage.global_batch:
            yield {"layout.workers": layout.workers * times}
    if Part.LANGUAGE in stage.train and stage.lora is None:
        yield {"lora": LoraConfig()}


def _apply(stage: StageConfig, values: Mapping[str, Any]) -> StageConfig:
    of_layout = {key.removeprefix(_LAYOUT): value for key, value in values.items() if key.startswith(_LAYOUT)}
    layout = stage.layout.model_copy(update=of_layout)
    if "layout.workers" in values:
        layout = layout.model_copy(update={"min_workers": None})
    lora = {"lora": values["lora"]} if "lora" in values else {}
    return stage.model_copy(update={"layout": layout, **lora})

"""What MLflow is shown of a plan, without secrets, and under which names."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from pipeline.canonical import plain, yaml_text
from pipeline.plan.plan import Plan
from pipeline.storage.credentials import without_credentials

SECRET = re.compile(
    r"passw|token(?!iz|s\b|s_|_tokens)|secret|credential|api_?key|access_?key|private_?key", re.IGNORECASE
)
PARAM_LENGTH = 6000  # MLflow's limit for the value of a parameter

_SPOKEN = {"&": "_and_", "@": "_at_", "%": "_percent_", "+": "_plus_"}
_KEPT = re.compile(r"[^A-Za-z0-9_.\-]+")
_PLACES = ("name", "storage", "ray", "tracking")  # sections that affect no result
_NAMES = ("name", "entry", "source")  # of an item in a list of sections
_RESOURCES = (
    *("actors", "batch_size", "batches_ahead", "cpus_per_actor", "gpus_per_actor"),
    *("cpus_per_worker", "frame_cache_mb", "keep", "loader_threads", "max_failures", "save_every"),
    "torch_threads",
)


def metric_name(*parts: str) -> str:
    """The name of a metric or parameter in MLflow: parts joined by ``/``, as in ``mevis/J_and_F``.

    Letters and digits of ASCII, ``_``, ``-``, ``.`` and ``/`` stay. ``&``, ``@``, ``%`` and ``+`` become
    ``_and_``, ``_at_``, ``_percent_`` and ``_plus_``; everything else becomes ``_``. There is never a double
    ``_`` or one at an end, and no empty part: MLflow takes names for paths and refuses some.
    """
    pieces = [_clean(piece) for part in parts for piece in part.split("/")]
    return "/".join(piece for piece in pieces if piece)[:250] or "unnamed"


def metric_names(names: Iterable[str]) -> dict[str, str]:
    """``metric_name`` of each name; names that would become the same get ``_2``, ``_3`` in their order."""
    out: dict[str, str] = {}
    taken: set[str] = set()
    for name in names:
        wanted = free = metric_name(name)
        number = 1
        while free in taken:
            number += 1
            free = f"{wanted[:240]}_{number}"
        taken.add(free)
        out[name] = free
    return out


def _clean(piece: str) -> str:
    for sign, word in _SPOKEN.items():
        piece = piece.replace(sign, word)
    piece = re.sub(r"_+", "_", _KEPT.sub("_", piece)).strip("_")
    return "" if set(piece) <= {"."} else piece


def flatten(value: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested dicts as one with dotted keys; lists of sections by name, or by index where there is none."""
    out: dict[str, Any] = {}
    for key, item in plain(value).items():
        name = f"{prefix}{key}"
        if isinstance(item, list) and any(isinstance(v, dict) for v in item):
            named = {_name_of(v, i): v for i, v in enumerate(item)}
            item = named if len(named) == len(item) else {str(i): v for i, v in enumerate(item)}
        out |= flatten(item, name + ".") if isinstance(item, dict) else {name: item}
    return out


def _name_of(item: Any, index: int) -> str:
    named = (item.get(key) for key in _NAMES) if isinstance(item, dict) else ()
    return str(next(filter(None, named), index))


def params(values: Mapping[str, Any]) -> dict[str, str]:
    """A flat or nested dict as MLflow's parameters: clean names, no secrets, long values cut."""
    flat = {k: v for k, v in flatten(values).items() if not SECRET.search(k)}
    names = metric_names(flat)
    return {names[k]: without_credentials(str(v))[:PARAM_LENGTH] for k, v in flat.items()}


def plan_params(plan: Plan) -> dict[str, Any]:
    """The keys by which two plans differ: those that are not at their default.

    Places of files and the resources of workers are left out: they change no result, and five keys for each
    of thirty sources would hide the others. The whole plan is an artifact of the run.
    """
    said = plan.model_dump(mode="json", exclude_defaults=True)
    said = {key: value for key, value in said.items() if key not in _PLACES}
    sources = said.get("data", {}).pop("sources", [])
    said.setdefault("data", {})["sources"] = len(sources)
    kept = [
        {k: v for k, v in source.items() if k in ("name", "select", "keep_types", "region_mode")}
        for source in sources
    ]
    flat = flatten({**said, "source": [s for s in kept if len(s) > 1]})
    left_out = {*_NAMES, *_RESOURCES}
    return {key: value for key, value in flat.items() if key.rpartition(".")[2] not in left_out}


def plan_text(plan: Plan) -> str:
    """The whole plan as YAML, every default written out, without credentials."""
    return yaml_text(without_secrets(plain(plan)))


def without_secrets(value: Any) -> Any:
    """Plain values without keys that name a secret, and without credentials in addresses."""
    if isinstance(value, dict):
        return {k: without_secrets(v) for k, v in value.items() if not SECRET.search(k)}
    if isinstance(value, list):
        return [without_secrets(v) for v in value]
    return without_credentials(value) if isinstance(value, str) else value

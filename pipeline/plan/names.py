"""Names that refer to another section of a plan: sources, stages, checkpoints."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pipeline.plan.benchmarks import FAMILIES, PromptStyle
from pipeline.plan.data import Use
from pipeline.plan.formats import FORMATS
from pipeline.plan.identity import in_corpora
from pipeline.plan.section_errors import Problem
from pipeline.plan.suggest import suggest
from pipeline.records.sample import Task

INIT = "init"


def name_problems(plan: Any) -> Iterator[Problem]:
    """Every name that refers to nothing. ``plan`` is a Plan, or the mapping of an invalid one.

    Values that cannot be read are skipped: validation by type reports them.
    """
    uses = _uses(plan)
    yield from _sources(plan, uses)
    yield from _entries(plan)
    yield from _families(plan)
    yield from _checkpoints(plan)
    if not _get(plan, "demo"):
        for i, source in enumerate(_list(_get(_get(plan, "data"), "sources"))):
            for key in ("annotations", "media"):
                value = _get(source, key)
                texts = [value] if isinstance(value, str) else _list(value)
                if any(isinstance(text, str) and in_corpora(text) for text in texts):
                    text = "is in ${corpora}, but the plan has no demo section that would write it."
                    yield Problem(("data", "sources", i, key), text)


def _sources(plan: Any, uses: Mapping[str, str] | None) -> Iterator[Problem]:
    """Problems of mixtures and benchmarks; none if a source's own name cannot be read."""
    if uses is None:
        return
    train = [name for name, use in uses.items() if use == Use.TRAIN]
    for i, stage in enumerate(_list(_get(plan, "stages"))):
        named = [(key, _get(stage, key)) for key in ("mixture", "max_unusable")]
        for key, name in ((key, name) for key, one in named if isinstance(one, Mapping) for name in one):
            if uses.get(name, Use.TRAIN) != Use.TRAIN:
                text = f"{name} is a benchmark of this plan, and benchmarks are never trained on."
            elif name not in uses:
                text = f"{name} is not a training source of this plan. {suggest(name, train, 'They are')}"
            else:
                continue
            yield Problem(("stages", i, key, name), text)
    for i, bench in enumerate(_list(_get(_get(plan, "evaluation"), "benchmarks"))):
        name, wanted = _get(bench, "source"), Use.TRAIN if _get(bench, "seen") is True else Use.BENCHMARK
        if not isinstance(name, str) or uses.get(name) == wanted:
            continue
        fitting = [source for source, use in uses.items() if use == wanted]
        if name in uses:
            text = f"{name} is not a source with use: {wanted}. " + (
                "Leave seen out."
                if wanted is Use.TRAIN
                else "Set it, or seen: true to score what was trained on."
            )
        else:
            text = f"{name} is not a source with use: {wanted}. {suggest(name, fitting, 'They are')}"
        yield Problem(("evaluation", "benchmarks", i, "source"), text)


def _families(plan: Any) -> Iterator[Problem]:
    """Benchmarks whose family does not score what their source's format gives."""
    formats, kept = {}, {}
    for source in _list(_get(_get(plan, "data"), "sources")):
        name, format_ = _get(source, "name"), _get(source, "format")
        if isinstance(name, str) and isinstance(format_, str):
            formats[name] = format_
            kept[name] = [str(kind) for kind in _list(_get(source, "keep_types"))]
    for i, bench in enumerate(_list(_get(_get(plan, "evaluation"), "benchmarks"))):
        source, family = _get(bench, "source"), _get(bench, "family")
        if not isinstance(source, str) or not isinstance(family, str) or source not in formats:
            continue
        try:
            accepts, row = FAMILIES[family].accepts, FORMATS[formats[source]]
        except ValueError:  # an unknown name, which validation by type reports
            continue
        tasks = row.tasks
        if accepts and tasks and not set(accepts) & set(tasks):
            text = (
                f"{family} scores samples of task {' or '.join(accepts)}; {source} has the format "
                f"{formats[source]}, whose samples are of task {' or '.join(tasks)}."
            )
            yield Problem(("evaluation", "benchmarks", i, "family"), text)
        elif row.own_data and accepts:
            style = _get(bench, "style", PromptStyle.PUBLISHED)
            yield from _own_data(i, source, family, accepts, kept[source], str(style))


def _own_data(
    i: int, source: str, family: str, accepts: Sequence[Task], kept: Sequence[str], style: str
) -> Iterator[Problem]:
    """A list of any tasks has records that a family cannot score, and asks its own questions."""
    wanted = ", ".join(accepts)
    if not kept or not set(kept) <= {str(task) for task in accepts}:
        text = (
            f"{family} scores samples of task {' or '.join(accepts)}; {source} may hold others. Set "
            f"keep_types: [{wanted}] in {source}."
        )
        yield Problem(("evaluation", "benchmarks", i, "family"), text)
    if style == PromptStyle.PUBLISHED and Task.CHOICE not in accepts:
        text = f"the records of {source} ask their own questions; set style: prepared."
        yield Problem(("evaluation", "benchmarks", i, "style"), text)


def _entries(plan: Any) -> Iterator[Problem]:
    """Entries of one name: their samples would be counted together."""
    known: set[str] = set()
    for i, bench in enumerate(_list(_get(_get(plan, "evaluation"), "benchmarks"))):
        own, source = _get(bench, "name"), _get(bench, "source")
        entry = own or source
        if not isinstance(entry, str):
            continue
        if entry in known:
            text = f"another entry is called {entry}; give this one a name of its own."
            yield Problem(("evaluation", "benchmarks", i, "name" if own else "source"), text)
        known.add(entry)


def _checkpoints(plan: Any) -> Iterator[Problem]:
    made = [INIT]
    starts: list[tuple[tuple[str | int, ...], Any]] = []
    unread = False
    for i, stage in enumerate(_list(_get(plan, "stages"))):
        name, start = _get(stage, "name"), _get(stage, "start_from", INIT)
        starts.append((("stages", i, "start_from"), start))
        if isinstance(start, str) and not unread and (text := _unknown(start, made, "before this one")):
            yield Problem(("stages", i, "start_from"), text)
        if not isinstance(name, str):
            unread = True
        elif name in (*made, "before"):
            yield Problem(("stages", i, "name"), f"the name {name} is taken; give the stage another one.")
        else:
            made.append(name)
    for i, checkpoint in enumerate(_list(_get(_get(plan, "evaluation"), "checkpoints"))):
        starts.append((("evaluation", "checkpoints", i), checkpoint))
        if (
            isinstance(checkpoint, str)
            and not unread
            and (text := _unknown(checkpoint, made, "of this plan"))
        ):
            yield Problem(("evaluation", "checkpoints", i), text)
    if _get(plan, "model") is None:
        if _list(_get(plan, "stages")):
            text = "the key model is missing, and the plan trains: give at least its preset."
            yield Problem(("model",), text)
        elif any(start == INIT for _, start in starts):
            text = "the key model is missing, and the plan scores init: give at least its preset."
            yield Problem(("model",), text)


def _unknown(name: str, made: Sequence[str], before: str) -> str:
    if "/" in name or name in made:
        return ""
    return f"{name} is neither init nor a stage {before}. {suggest(name, made, 'There are')}"


def _uses(plan: Any) -> dict[str, str] | None:
    """The use of each source by name; None if a name or a use cannot be read."""
    out = {}
    for source in _list(_get(_get(plan, "data"), "sources")):
        name, use = _get(source, "name"), _get(source, "use", Use.TRAIN)
        if not isinstance(name, str) or use not in tuple(Use):
            return None
        out[name] = str(use)
    return out


def _get(section: Any, key: str, default: Any = None) -> Any:
    if isinstance(section, Mapping):
        return section.get(key, default)
    return getattr(section, key, default)


def _list(value: Any) -> Sequence[Any]:
    return value if isinstance(value, list | tuple) else ()

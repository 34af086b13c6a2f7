"""``ufvideo score masks``: J and F of two trees of PNG files, by sequence and object, as DAVIS counts them.

A sequence is a folder of frames. In palette images a value is an object and 255 is void, taken out of both;
an image with 0 and one other value is one object, and every object of the prediction counts as it. Recall
is the share of frames above 0.5, decay the mean of the first quarter of the frames minus that of the last
(Perazzi et al. 2016).
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np

from evaluation.metrics.davis_unsupervised import Frame, match
from evaluation.metrics.masks import j_and_f, pair_j_and_f
from evaluation.score.fingerprint import of_masks
from evaluation.score.mask_trees import MaskFiles
from evaluation.score.output import progress_apart
from evaluation.score.palettes import VOID, object_ids, proposal_ids, sequences, spread
from pipeline import progress
from pipeline.errors import UserError

UNSUPERVISED = "davis-unsupervised"
PROTOCOLS = {
    "standard": "every frame",
    "davis-semi-supervised": "without the first frame, which is given, and the last",
    UNSUPERVISED: "every frame; at most 20 proposals, matched with the objects of the first frame",
}
_THRESHOLD = 0.5


@dataclass(frozen=True, kw_only=True)
class ObjectScore:
    """Means over the frames of one object, in 0-1; ``object`` is its value in the truth."""

    sequence: str
    object: int
    frames: int
    J: float
    J_recall: float
    J_decay: float
    F: float
    F_recall: float
    F_decay: float

    @property
    def mean(self) -> float:
        """J&F."""
        return (self.J + self.F) / 2


@dataclass(frozen=True, kw_only=True)
class SequenceScore:
    """The objects of a sequence, and what was wrong with its prediction."""

    objects: tuple[ObjectScore, ...]
    problems: tuple[str, ...]


def run(options: argparse.Namespace) -> int:
    """Score, print, write."""
    protocol = options.protocol or "standard"
    if protocol not in PROTOCOLS:
        raise UserError(f"--protocol {protocol}", "is not one of masks.", f"Choose {', '.join(PROTOCOLS)}.")
    truth, made = Path(options.truth), Path(options.predictions)
    with progress_apart(options.json):
        scored, problems = score_trees(truth, made, protocol)
    of_all = means(scored)
    content = {
        "protocol": protocol,
        "rule": PROTOCOLS[protocol],
        "made_from": {"truth": str(truth), "predictions": str(made)},
        "means": of_all,
        "fingerprints": of_masks(list(of_all), protocol, PROTOCOLS[protocol], (truth, made)),
        "objects": [asdict(o) for o in scored],
        "problems": problems,
    }
    if options.out:
        folder = Path(options.out)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "metrics.json").write_text(json.dumps(content, indent=1) + "\n")
    if options.json:
        print(json.dumps(content, indent=1))
    else:
        _show(scored, problems, f"{protocol}: {PROTOCOLS[protocol]}")
    return 0


def score_trees(truth: Path, made: Path, protocol: str = "standard") -> tuple[list[ObjectScore], list[str]]:
    """Scores of every object, and what did not fit. Raises UserError where nothing can be compared."""
    for place in (truth, made):
        if not place.exists():
            raise UserError(str(place), "does not exist.", "Correct --truth or --predictions.")
    true_files, made_files = MaskFiles(truth), MaskFiles(made)
    true, ours = sequences(true_files.names()), sequences(made_files.names())
    for place, found in ((truth, true), (made, ours)):
        if not found:
            raise UserError(str(place), "holds no PNG file.", "Name the folder above the sequences.")
    shared = [name for name in true if name in ours]
    if not shared:
        raise UserError(
            str(made),
            f"has none of the sequences {', '.join(list(true)[:3])} ...; it has {', '.join(list(ours)[:3])}.",
            "Name the folder above the sequences.",
        )
    problems = [f"sequence {name} has no truth, and is not scored" for name in ours if name not in true]
    work = partial(_sequence, true_files, made_files, protocol)
    scored: list[ObjectScore] = []
    jobs = [(name, frames, ours.get(name, {})) for name, frames in true.items()]
    with progress.track("score masks", len(jobs)) as bar:
        for one in spread(work, jobs, sum(len(frames) for _, frames, _ in jobs)):
            scored += one.objects
            problems += one.problems
            bar.advance()
    return scored, problems


def means(scored: Sequence[ObjectScore]) -> dict[str, float]:
    """Every measure as the mean over objects, as DAVIS 2017 has it."""
    if not scored:
        return {}
    fields = ("J", "J_recall", "J_decay", "F", "F_recall", "F_decay", "mean")
    out = {name: float(np.mean([getattr(o, name) for o in scored])) for name in fields}
    return {"J&F": out.pop("mean"), **out}


def _sequence(
    true_files: MaskFiles,
    made_files: MaskFiles,
    protocol: str,
    job: tuple[str, Mapping[str, str], Mapping[str, str]],
) -> SequenceScore:
    name, frames, ours = job
    problems = []
    order = sorted(frames)
    missing = [frame for frame in order if frame not in ours]
    if missing:
        problems.append(
            f"{name}: {len(missing)} of {len(order)} frames are missing ({missing[0]} ...); empty"
        )
    if extra := [frame for frame in ours if frame not in frames]:
        problems.append(f"{name}: {len(extra)} frames have no truth ({extra[0]} ...), and are not scored")
    if protocol == UNSUPERVISED:
        return _unsupervised(
            true_files, made_files, name, {f: (frames[f], ours.get(f)) for f in order}, problems
        )
    values: dict[int, list[tuple[float, float]]] = {}
    strange: set[int] = set()
    ids, binary = _objects([true_files.read(frames[frame]) for frame in order])
    for frame in order:
        true = true_files.read(frames[frame])
        pred = np.zeros_like(true) if frame in missing else made_files.read(ours[frame])
        if pred.shape != true.shape:
            problems.append(f"{name}, frame {frame}: {pred.shape} for {true.shape} (height, width); empty")
            pred = np.zeros_like(true)
        if binary:
            found = j_and_f(pred != 0, true != 0)
            values.setdefault(ids[0], []).append((found.j, found.f))
            continue
        strange |= set(np.unique(pred).tolist()) - {0, VOID, *ids}
        void = true == VOID
        pairs = pair_j_and_f([pred == i for i in ids], [true == i for i in ids], void if void.any() else None)
        for n, i in enumerate(ids):
            values.setdefault(i, []).append((pairs[n][n].j, pairs[n][n].f))
    if strange:
        problems.append(f"{name}: objects {sorted(strange)} have no truth, and are not scored")
    cut = slice(1, -1) if protocol == "davis-semi-supervised" else slice(None)
    scored = [_object(name, i, np.array(pairs[cut])) for i, pairs in values.items() if len(pairs[cut])]
    if not scored:
        problems.append(f"{name}: {len(order)} frames are too few for {protocol}; not scored")
    return SequenceScore(objects=tuple(scored), problems=tuple(problems))


def _unsupervised(
    true_files: MaskFiles,
    made_files: MaskFiles,
    name: str,
    files: Mapping[str, tuple[str, str | None]],
    problems: list[str],
) -> SequenceScore:
    """The objects of the first frame, each with the proposal that it got."""
    first = true_files.read(next(iter(files.values()))[0])
    ids = object_ids([first]) or ([VOID] if (first == VOID).any() else [])  # 0 and 255: one object
    if not ids:
        return SequenceScore(
            objects=(), problems=(*problems, f"{name}: no object in the first frame; not scored")
        )
    proposals = proposal_ids((made_files.read(made) for _, made in files.values() if made), f"{name}")

    def masks() -> Iterator[Frame]:
        for frame, (true_file, made) in files.items():
            true = true_files.read(true_file)
            pred = made_files.read(made) if made else np.zeros_like(true)
            if pred.shape != true.shape:
                problems.append(
                    f"{name}, frame {frame}: {pred.shape} for {true.shape} (height, width); empty"
                )
                pred = np.zeros_like(true)
            void = None if VOID in ids else true == VOID
            yield Frame([pred == i for i in proposals], [true == i for i in ids], void)

    j, f = match(masks())
    scored = [_object(name, i, np.stack([j[n], f[n]], axis=1)) for n, i in enumerate(ids)]
    return SequenceScore(objects=tuple(scored), problems=tuple(problems))


def _objects(true: Sequence[np.ndarray]) -> tuple[list[int], bool]:
    """The values of a sequence's objects, and whether it is one object against the rest."""
    found = sorted(set().union(*(np.unique(mask).tolist() for mask in true)) - {0})
    if len(found) <= 1:
        return [int(found[0]) if found else 1], True
    return [int(i) for i in found if i != VOID], False


def _object(sequence: str, number: int, pairs: np.ndarray) -> ObjectScore:
    (j, j_recall, j_decay), (f, f_recall, f_decay) = (_statistics(pairs[:, n]) for n in (0, 1))
    return ObjectScore(
        sequence=sequence, object=number, frames=len(pairs),
        J=j, J_recall=j_recall, J_decay=j_decay, F=f, F_recall=f_recall, F_decay=f_decay,
    )  # fmt: skip


def _statistics(values: np.ndarray) -> tuple[float, float, float]:
    """Mean, recall and decay. Quarters begin and end at rounded frames and share the frame between them."""
    ends = np.round(np.linspace(1, len(values), 5) + 1e-10).astype(int) - 1
    first, last = values[ends[0] : ends[1] + 1], values[ends[3] : ends[4] + 1]
    return (
        float(np.mean(values)),
        float(np.mean(values > _THRESHOLD)),
        float(np.mean(first) - np.mean(last)),
    )


def _show(scored: Sequence[ObjectScore], problems: Sequence[str], title: str) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    console = Console(highlight=False)
    table = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0), title=title, title_justify="left")
    for name in ("sequence", "object"):
        table.add_column(name, no_wrap=True)
    for name in ("frames", "J&F", "J", "recall", "decay", "F", "recall", "decay"):
        table.add_column(name, justify="right", no_wrap=True)
    for o in scored:
        numbers = (o.mean, o.J, o.J_recall, o.J_decay, o.F, o.F_recall, o.F_decay)
        table.add_row(o.sequence, str(o.object), str(o.frames), *(f"{100 * n:.1f}" for n in numbers))
    if scored:
        table.add_section()
        m = means(scored)
        keys = ("J&F", "J", "J_recall", "J_decay", "F", "F_recall", "F_decay")
        table.add_row(f"mean of {len(scored)}", "", "", *(f"{100 * m[k]:.1f}" for k in keys))
    console.print(table)
    for problem in problems:
        console.print(problem, markup=False)

"""How often each sample of each source occurs in one epoch of a stage: a pure function of names."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.draw import draws, mix_draws
from pipeline.plan.training import MixtureEntry


@dataclass(frozen=True, kw_only=True)
class SourceRows:
    """The samples of one source: their count, and one hash per sample key."""

    name: str
    hashes: np.ndarray  # [N] uint64

    @classmethod
    def of(cls, name: str, keys: Sequence[str]) -> SourceRows:
        """From the sample keys, in row order."""
        return cls(name=name, hashes=draws(keys))


@dataclass(frozen=True, kw_only=True, slots=True)
class SourceCount:
    """Planned and realised visits of one source in one epoch."""

    source: str
    available: int
    used: int  # distinct samples after the cap
    planned: float  # used x repeat
    realised: int  # visits in this epoch


@dataclass(frozen=True, kw_only=True)
class Mixture:
    """The sources of a stage and how often each is visited in an epoch."""

    sources: tuple[SourceRows, ...]
    entries: tuple[MixtureEntry, ...]
    seed: int

    @classmethod
    def of(cls, sources: Sequence[SourceRows], entries: Mapping[str, MixtureEntry], seed: int) -> Mixture:
        """``entries`` by source name; an empty mapping visits every sample of every source once."""
        chosen = sorted((s for s in sources if not entries or s.name in entries), key=lambda s: s.name)
        missing = set(entries) - {s.name for s in chosen}
        if missing:
            raise ValueError(f"the mixture names {sorted(missing)[0]}, which the data does not have")
        own = [entries.get(s.name, MixtureEntry()) for s in chosen]
        return cls(sources=tuple(chosen), entries=tuple(_repeats(chosen, own)), seed=seed)

    def used(self, index: int) -> np.ndarray:
        """Rows [n] of source ``index`` that the stage may visit, in row order: all, or those within its cap.

        A cap keeps the rows with the smallest hashes of (seed, key): the same ones in every epoch.
        """
        source, entry = self.sources[index], self.entries[index]
        rows = np.arange(len(source.hashes))
        if entry.cap is None or entry.cap >= len(rows):
            return rows
        return np.sort(_smallest(mix_draws(source.hashes, self.seed, "cap"), rows, entry.cap))

    def rows(self, index: int, epoch: int) -> np.ndarray:
        """Rows [n] of source ``index`` in an epoch; each row occurs once per visit.

        A repeat of 2.5 visits each used row twice, and half of them, by a hash of (seed, key, epoch), a third
        time.
        """
        source, entry, rows = self.sources[index], self.entries[index], self.used(index)
        whole, extra = divmod(entry.repeat, 1)
        part = _smallest(
            mix_draws(source.hashes[rows], self.seed, epoch, "repeat"),
            rows,
            math.floor(extra * len(rows) + 0.5),
        )
        return np.concatenate([*[rows] * int(whole), np.sort(part)])

    def counts(self, epoch: int) -> tuple[SourceCount, ...]:
        """Planned and realised visits of every source in an epoch."""
        counts = []
        for index, (source, entry) in enumerate(zip(self.sources, self.entries, strict=True)):
            used = min(len(source.hashes), entry.cap or len(source.hashes))
            counts.append(
                SourceCount(
                    source=source.name,
                    available=len(source.hashes),
                    used=used,
                    planned=used * entry.repeat,
                    realised=len(self.rows(index, epoch)),
                )
            )
        return tuple(counts)


def _repeats(sources: Sequence[SourceRows], entries: Sequence[MixtureEntry]) -> list[MixtureEntry]:
    """The entries with their weights converted to repeats."""
    weights = [e.weight for e in entries if e.weight is not None]
    if not weights:
        return list(entries)
    used = [min(len(s.hashes), e.cap or len(s.hashes)) for s, e in zip(sources, entries, strict=True)]
    epoch, out = sum(used), []
    for source, count, entry in zip(sources, used, entries, strict=True):
        assert entry.weight is not None, "the plan checks that all entries of a stage have a weight, or none"
        if not count:
            raise ValueError(f"{source.name} has a weight and no sample")
        repeat = epoch * entry.weight / sum(weights) / count
        out.append(entry.model_copy(update={"repeat": repeat, "weight": None}))
    return out


def _smallest(hashes: np.ndarray, rows: np.ndarray, count: int) -> np.ndarray:
    order = np.lexsort((rows, hashes))
    return rows[order[:count]]

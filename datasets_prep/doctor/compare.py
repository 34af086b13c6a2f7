"""Compares all samples: duplicate keys, samples and videos, and videos both in training and in a benchmark.

Pure arithmetic on integer codes: equal codes mean equal things. ``N`` samples are in the order of the plan,
``M`` media in any order. A hit is a sample and the one that it matches.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.plan.doctor import Finding


@dataclass(frozen=True, kw_only=True)
class Samples:
    """What is compared of all samples."""

    source_N: np.ndarray  # index of the source in the plan
    key_N: np.ndarray
    fingerprint_N: np.ndarray  # hash of the content
    media_N: np.ndarray  # row of its medium


@dataclass(frozen=True, kw_only=True)
class Videos:
    """What is compared of all media."""

    content_M: np.ndarray  # code of the bytes; a medium that was not probed has a code of its own
    place_M: np.ndarray  # code of the URI
    name_M: np.ndarray  # code of the file's name without the suffix


@dataclass(frozen=True, kw_only=True)
class Hits:
    """Samples with one finding, and for each the sample that it matches."""

    finding: Finding
    at_K: np.ndarray
    match_K: np.ndarray


@dataclass(frozen=True, kw_only=True)
class Shared:
    """A video that training and benchmarks share: samples by source, and one example of each side."""

    finding: Finding
    train: Mapping[int, int]  # samples by source
    benchmark: Mapping[int, int]
    train_at: int
    benchmark_at: int

    @property
    def samples(self) -> int:
        """Number of samples on both sides."""
        return sum(self.train.values()) + sum(self.benchmark.values())


def compare(samples: Samples, videos: Videos, is_benchmark: Sequence[bool]) -> list[Hits]:
    """Everything that samples have in common and should not. ``is_benchmark`` has a value per source."""
    if not len(samples.key_N):
        return []
    return [
        _keys(samples),
        _duplicates_within_source(samples),
        _duplicates_across_sources(samples),
        _copies(samples, videos),
        *_overlaps(samples, videos, np.asarray(is_benchmark)[samples.source_N]),
    ]


def shared_videos(
    hits: Sequence[Hits], samples: Samples, videos: Videos, is_benchmark: Sequence[bool]
) -> list[Shared]:
    """The overlaps of ``compare`` by video, those with the most samples first."""
    bench = np.asarray(is_benchmark, bool)
    out = []
    for found in hits:
        codes = {Finding.OVERLAP_CONTENT: videos.content_M, Finding.OVERLAP_NAME: videos.name_M}
        if found.finding not in codes or not len(found.at_K):
            continue
        code_K = codes[found.finding][samples.media_N[found.at_K]]
        order_K = np.argsort(code_K, kind="stable")
        for group in np.split(order_K, np.flatnonzero(np.diff(code_K[order_K])) + 1):
            at = found.at_K[group]
            count = Counter(samples.source_N[at].tolist())
            # One side may already be listed as an overlap of contents; its sample is in ``match_K``.
            either = np.concatenate([at, found.match_K[group]])
            in_bench = bench[samples.source_N[either]]
            out.append(
                Shared(
                    finding=found.finding,
                    train={s: n for s, n in count.items() if not bench[s]},
                    benchmark={s: n for s, n in count.items() if bench[s]},
                    train_at=int(either[~in_bench].min()),
                    benchmark_at=int(either[in_bench].min()),
                )
            )
    return sorted(out, key=lambda s: (s.finding is not Finding.OVERLAP_CONTENT, -s.samples, s.train_at))


def _first_of(code_N: np.ndarray) -> np.ndarray:
    """For each index the first index with the same code."""
    _, first, inverse = np.unique(code_N, return_index=True, return_inverse=True)
    return first[inverse]


def _keys(samples: Samples) -> Hits:
    first_N = _first_of(samples.key_N)
    return _hits(Finding.DUPLICATE_KEY, first_N != np.arange(len(first_N)), first_N)


def _duplicates_within_source(samples: Samples) -> Hits:
    """Within a source: every sample whose content an earlier one has."""
    first_N = _first_of(_pairs(samples.fingerprint_N, samples.source_N))
    return _hits(Finding.DUPLICATE_SAMPLE, first_N != np.arange(len(first_N)), first_N)


def _duplicates_across_sources(samples: Samples) -> Hits:
    """Across sources: every sample whose content an earlier source of the plan has."""
    first_N = _first_of(samples.fingerprint_N)
    return _hits(Finding.DUPLICATE_ELSEWHERE, samples.source_N[first_N] != samples.source_N, first_N)


def _copies(samples: Samples, videos: Videos) -> Hits:
    """Samples whose video also exists elsewhere, byte for byte, and occurred there first.

    Two sources that have a video under one name are not copies: sets are built on one another that way.
    """
    content_N, place_N = videos.content_M[samples.media_N], videos.place_M[samples.media_N]
    name_N = videos.name_M[samples.media_N]
    own_N, any_N = _first_of(_pairs(content_N, samples.source_N)), _first_of(content_N)
    within_N = place_N[own_N] != place_N
    across_N = (place_N[any_N] != place_N) & (name_N[any_N] != name_N)
    return _hits(Finding.DUPLICATE_MEDIA, within_N | across_N, np.where(within_N, own_N, any_N))


def _overlaps(samples: Samples, videos: Videos, bench_N: np.ndarray) -> list[Hits]:
    content = _overlap(Finding.OVERLAP_CONTENT, videos.content_M[samples.media_N], bench_N)
    name = _overlap(Finding.OVERLAP_NAME, videos.name_M[samples.media_N], bench_N)
    # Videos with the same content are not listed a second time.
    new_K = ~np.isin(name.at_K, content.at_K)
    return [content, Hits(finding=name.finding, at_K=name.at_K[new_K], match_K=name.match_K[new_K])]


def _overlap(finding: Finding, code_N: np.ndarray, bench_N: np.ndarray) -> Hits:
    """Samples with a code that the other side has too, and the first such sample of the other side."""
    codes, code_N = np.unique(code_N, return_inverse=True)
    none = len(code_N)
    first = np.full((2, len(codes)), none)  # of training, of benchmarks
    np.minimum.at(first, (bench_N.astype(int), code_N), np.arange(none))
    other_N = first[1 - bench_N.astype(int), code_N]
    return _hits(finding, other_N < none, other_N)


def _hits(finding: Finding, hit_N: np.ndarray, match_N: np.ndarray) -> Hits:
    return Hits(finding=finding, at_K=np.flatnonzero(hit_N), match_K=match_N[hit_N])


def _pairs(one_N: np.ndarray, other_N: np.ndarray) -> np.ndarray:
    """A code for each distinct pair. The codes in ``other_N`` are small."""
    return np.unique(one_N, return_inverse=True)[1] * (int(other_N.max()) + 1) + other_N

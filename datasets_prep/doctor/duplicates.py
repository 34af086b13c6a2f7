"""Findings about samples that have something in common, with the samples' keys and videos."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from datasets_prep.doctor.check import FINDING_SCHEMA, WARNING
from datasets_prep.doctor.compare import Hits, Samples, Shared, Videos
from datasets_prep.passes.media_table import MediaTable
from pipeline.plan.doctor import Finding

NAMED_SCHEMA = pa.schema(
    [("chunk", pa.int32()), ("record", pa.int64()), ("part", pa.int32()), ("key", pa.string())]
)
_ROWS = 16384  # that exist as Python objects at a time
# Names hold colons, dots and @, so only known endings are removed.
_SUFFIX = re.compile(r"\.(mp4|webm|mkv|avi|mov|gif|m4v|flv|mpe?g|wmv|3gp|ts)$", re.IGNORECASE)

_DETAILS = {
    Finding.DUPLICATE_KEY: "the key of record {record} of {file} in {source}",
    Finding.DUPLICATE_SAMPLE: "the video and the text of {key}",
    Finding.DUPLICATE_ELSEWHERE: "the video and the text of {key} in {source}",
    Finding.DUPLICATE_MEDIA: "{own_video} has the bytes of {uri}",
    Finding.OVERLAP_CONTENT: "the video is {video} of {source} as well, for example in {key}",
    Finding.OVERLAP_NAME: "{video} of {source} has the same name, for example in {key}",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Overlap:
    """A video in training and in benchmarks: its names there, samples by source, a key of each side."""

    finding: str
    train_video: str
    benchmark_video: str
    train: Mapping[str, int]
    benchmark: Mapping[str, int]
    train_key: str
    benchmark_key: str


def stem(path: str) -> str:
    """The name of a video without folder and ending: ``a/b/v_1.2.mp4`` -> ``v_1.2``."""
    return _SUFFIX.sub("", posixpath.basename(path.rstrip("/")))


def samples_to_name(hits: Sequence[Hits], shared: Sequence[Shared]) -> np.ndarray:
    """The samples whose keys the findings about these name, in order."""
    named = [array for found in hits for array in (found.at_K, found.match_K)]
    pairs = [at for one in shared for at in (one.train_at, one.benchmark_at)]
    return np.unique(np.concatenate([*named, np.array(pairs, np.int64)]))


@dataclass(kw_only=True)
class SampleLookup:
    """All samples as numbers, and the names for findings about them. ``files`` are those of the chunks."""

    traces: pa.Table  # TRACE_SCHEMA, in the order of the plan
    source_of_chunk: np.ndarray
    media: MediaTable
    sources: Sequence[str]
    files: Sequence[str]
    samples: Samples = field(init=False)
    videos: Videos = field(init=False)

    def __post_init__(self) -> None:
        column = {name: self.traces[name].to_numpy() for name in self.traces.column_names}
        self._place_N3 = np.stack([column[name].astype(np.int64) for name in ("chunk", "record", "part")], 1)
        self.samples = Samples(
            source_N=self.source_of_chunk[column["chunk"]] if len(self.traces) else column["chunk"],
            key_N=column["key"],
            fingerprint_N=column["fingerprint"],
            media_N=column["media"],
        )
        video = self.media.table["video"].combine_chunks()
        self._paths, self._uris = video.field("path"), self.media.table["uri"]
        names = pa.array([None if p is None else stem(p) for p in self._paths.to_pylist()], pa.string())
        self.videos = Videos(
            content_M=_codes(video.field("sha256")),
            place_M=_codes(self._uris.combine_chunks()),
            name_M=_codes(names),
        )

    def places(self, at_K: np.ndarray) -> dict[int, list[tuple[int, int]]]:
        """The records and parts of some samples, by chunk."""
        out: dict[int, list[tuple[int, int]]] = {}
        for chunk, record, part in self._place_N3[at_K].tolist():
            out.setdefault(chunk, []).append((record, part))
        return out

    def name(self, at_K: np.ndarray, named: pa.Table) -> None:
        """Store the keys of samples: NAMED_SCHEMA rows in the samples' order."""
        assert named.num_rows == len(at_K), "a sample was not found in its chunk again"
        self._named_K, self._keys = at_K, named["key"]

    def findings(self, found: Hits) -> Iterator[pa.Table]:
        """FINDING_SCHEMA rows of samples whose keys ``name`` has stored, in several tables."""
        for first in range(0, len(found.at_K), _ROWS):
            pairs = zip(
                found.at_K[first : first + _ROWS].tolist(),
                found.match_K[first : first + _ROWS].tolist(),
                strict=True,
            )
            rows = [self._row(found.finding, at, like) for at, like in pairs]
            yield pa.Table.from_pylist(rows, schema=FINDING_SCHEMA)

    def overlap(self, one: Shared) -> Overlap:
        """A shared video with names instead of numbers."""
        return Overlap(
            finding=one.finding,
            train_video=self._video(one.train_at),
            benchmark_video=self._video(one.benchmark_at),
            train={self.sources[s]: n for s, n in sorted(one.train.items())},
            benchmark={self.sources[s]: n for s, n in sorted(one.benchmark.items())},
            train_key=self._key(one.train_at),
            benchmark_key=self._key(one.benchmark_at),
        )

    def videos_of(self, source: int) -> int:
        """How many videos the samples of a source use, by content."""
        own_N = self.samples.source_N == source
        return len(np.unique(self.videos.content_M[self.samples.media_N[own_N]]))

    def _row(self, finding: Finding, at: int, like: int) -> dict[str, Any]:
        chunk, record, part = self._place_N3[at].tolist()
        other = self._place_N3[like].tolist()
        detail = _DETAILS[finding].format(
            key=self._key(like),
            source=self.sources[self.samples.source_N[like]],
            record=other[1],
            file=self.files[other[0]],
            video=self._video(like),
            uri=self._uri(like),
            own_video=self._video(at),
        )
        return {
            "chunk": chunk,
            "record": record,
            "part": part,
            "source": self.sources[self.samples.source_N[at]],
            "key": self._key(at),
            "file": self.files[chunk],
            "finding": finding,
            "severity": WARNING,
            "detail": detail,
            "video": self._video(at),
        }

    def _key(self, at: int) -> str:
        return self._keys[int(np.searchsorted(self._named_K, at))].as_py()

    def _video(self, at: int) -> str:
        return self._paths[int(self.samples.media_N[at])].as_py()

    def _uri(self, at: int) -> str:
        return self._uris[int(self.samples.media_N[at])].as_py()


def _codes(texts: pa.Array) -> np.ndarray:
    """A number for each distinct text."""
    return pc.dictionary_encode(texts, null_encoding="encode").indices.to_numpy(zero_copy_only=False)

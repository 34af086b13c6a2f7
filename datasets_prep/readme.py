"""The ``README.md`` of a dataset: facts for people, and the list of files for Hugging Face's `datasets`.

``load_dataset(FOLDER)`` reads the list of files from the YAML header, so it finds only the samples:
https://huggingface.co/docs/hub/datasets-manual-configuration.
"""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.canonical import yaml_text
from pipeline.dataset.manifest import (
    IRREGULARITIES,
    MANIFEST,
    REJECTS,
    SELECTED,
    SHARDS,
    Manifest,
    SourceEntry,
)
from pipeline.plan.data import Use, file_stem
from pipeline.storage.location import Location

README = "README.md"
_ALL = "default"  # the configuration that is loaded without a name
_SPLITS = {Use.TRAIN: "train", Use.BENCHMARK: "test"}  # the names that other tools know


def write_readme(manifest: Manifest, out: Location) -> None:
    """Write the file. It holds no paths, so the same dataset has the same text everywhere."""
    (out / README).write_text(readme(manifest))


def readme(manifest: Manifest) -> str:
    """The text."""
    head = yaml_text({"configs": _configs(manifest)})
    rows = [
        f"| `{s.name}` | {_SPLITS[s.use]} | {s.read:,} | {s.kept:,} | {s.rejected:,} | {s.not_selected:,} |"
        for s in manifest.sources
    ]
    frames = ""
    if manifest.bake is not None:
        frames = "\n- `frames/`: the frames that the samples need, as JPEGs in Parquet files"
    return f"""---
{head}---

# Samples of videos and words

Digest `{manifest.digest}`, schema version {manifest.schema_version}.

| source | split | records read | samples kept | rejected | not selected |
|---|---|---|---|---|---|
{chr(10).join(rows)}

- `{SHARDS}/`: the samples, and nothing else{frames}
- `{REJECTS}`: the records that are not samples, with the reason (Parquet)
- `{IRREGULARITIES}`: what is irregular about samples that were kept (Parquet)
- `{SELECTED}`: the samples that were chosen from sources of which a part is kept (Parquet)
- `{MANIFEST}`: every file with its SHA-256, every source with its counts
- `card.html`: what the samples look like

```python
datasets.load_dataset("FOLDER")  # or one source: load_dataset("FOLDER", "NAME")
ray.data.read_parquet("FOLDER/{SHARDS}")
duckdb.sql("from 'FOLDER/{SHARDS}/*.parquet'")
polars.read_parquet("FOLDER/{SHARDS}")
pandas.read_parquet("FOLDER/{SHARDS}")
```
"""


def _configs(manifest: Manifest) -> list[dict[str, object]]:
    """One for all samples, and one for each source that has samples."""
    names = {shard.source for shard in manifest.shards}
    held = [source for source in manifest.sources if source.name in names]
    if not held:
        return []
    named = {file_stem(s.name): [s] for s in held}
    if _ALL in named:  # a source may have this name, too
        named[f"{_ALL}_source"] = named.pop(_ALL)
    return [{"config_name": name, "data_files": _files(own)} for name, own in ({_ALL: held} | named).items()]


def _files(sources: Sequence[SourceEntry]) -> list[dict[str, object]]:
    return [
        {"split": split, "path": [f"{SHARDS}/{file_stem(s.name)}-*.parquet" for s in own]}
        for use, split in _SPLITS.items()
        if (own := [s for s in sources if s.use is use])
    ]

"""Readers of temporal datasets on real annotation files; the videos are assumed to last as the rows say."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

from datasets_prep.draft import Reason, RejectError
from datasets_prep.sources import Files, reader_of
from datasets_prep.sources.formats.didemo import DiDeMo
from datasets_prep.sources.json.json_file import Limits
from pipeline.records.sample import Sample
from tests.datasets_prep.mask_corpora import source
from tests.datasets_prep.test_temporal_readers import sample, times


def outcomes(path: Path, fmt: str, **more: Any) -> tuple[Counter[str], dict[str, Sample]]:
    """Counts of outcomes and samples by key of a real file, for videos that last as long as the rows say."""
    config = source(fmt, **more)
    reader = reader_of(config.format)
    files = Files(annotations=path, masks=Path(more["masks"]) if "masks" in more else None)
    counts: Counter[str] = Counter()
    made: dict[str, Sample] = {}
    for chunk in reader.chunks(config, files, Limits(records=2048, bytes=16 << 20)):
        for record in reader.records(config, files, chunk):
            counts["read"] += 1
            if record.left_out:
                counts["left out"] += 1
                continue
            try:
                (draft,) = reader.convert(record, config, 1)
                assert reader.media(record, config, 1) == (draft.media,)
                entry = getattr(record.raw, "entry", {})
                length = (
                    entry.get("duration") or entry.get("v_duration") or 5.0 * entry.get("num_segments", 40)
                )
                made[record.key] = sample(draft, config, float(length))
            except RejectError as error:
                counts[str(error.reason)] += 1
    assert counts["read"] == len(made) + counts["left out"] + sum(
        n for reason, n in counts.items() if reason in set(Reason)
    )
    return counts, made


def test_real_activitynet_captions_are_read_with_known_rejects(realdata: Path) -> None:
    path = realdata / "activitynet_captions" / "val_2.json"
    counts, made = outcomes(path, "activitynet_captions")
    assert counts == {"read": 17_031, "span_outside": 1}
    assert all(m.expression == m.expression.strip() for m in made.values())
    counts, made = outcomes(path, "activitynet_captions", temporal_task="dense_captions")
    assert counts == {"read": 4_885, "span_outside": 1}
    assert sum(len(m.spans) for m in made.values()) > 17_000
    assert all(times(m) == sorted(times(m)) for m in made.values())


def test_real_youcook2_is_read_with_known_rejects(realdata: Path) -> None:
    path = realdata / "youcook2" / "val.caption_coco_format.json"
    counts, _ = outcomes(path, "youcook2")
    assert counts == {"read": 415, "span_outside": 1}
    counts, made = outcomes(path, "youcook2", temporal_task="grounding")
    assert counts == {"read": 3_187, "span_outside": 1}
    assert made["s/0/0"].expression == "pick the ends off the verdalago"
    assert times(made["s/0/0"]) == [(47.0, 60.0)]


def test_real_didemo_is_read_without_rejects(realdata: Path) -> None:
    counts, made = outcomes(realdata / "didemo" / "val_data.json", "didemo")
    assert counts == {"read": 4_180}
    assert times(made["s/0"]) == [(5.0, 10.0)]
    rows = json.loads((realdata / "didemo" / "val_data.json").read_text())
    assert len({row["video"] for row in rows}) == 1_094
    bare = [row for row in rows if row["video"].endswith(".")]
    assert len(bare) == 53
    for row in bare:
        assert f"{row['video']}mp4" in DiDeMo().media_for(row["video"], row).candidates


def test_real_hirest_is_read_with_known_rejects(realdata: Path) -> None:
    path = realdata / "hirest" / "all_data_train.json"
    counts, made = outcomes(path, "hirest")
    # 865 parts and 4,145 steps; one part and 15 steps have no length.
    assert counts == {"read": 642 + 865 + 4_145, "left out": 642, "span_zero_length": 16}
    assert sum(key.endswith("/query") for key in made) == 864
    counts, _ = outcomes(path, "hirest", temporal_task="dense_captions")
    assert counts == {"read": 1_507, "left out": 642 + 315, "span_zero_length": 15}


def test_real_qvhighlights_is_read_without_rejects(realdata: Path) -> None:
    counts, made = outcomes(realdata / "qvhighlights" / "val.json", "qvhighlights")
    assert counts == {"read": 1_550}
    assert sum(len(m.spans) > 1 for m in made.values()) == 530
    assert times(made["s/QVHighlight_5342"]) == [(56.0, 76.0), (96.0, 150.0)]


def test_real_nextgqa_is_read_with_known_rejects(realdata: Path) -> None:
    folder = realdata / "nextgqa"
    counts, made = outcomes(folder / "test.csv", "nextgqa", masks=str(folder))
    # 36 spans begin up to 0.2 s before the video.
    assert counts == {"read": 5_553, "span_outside": 36}
    counts, made = outcomes(folder / "test.csv", "nextgqa", masks=str(folder), outside_spans="clamp")
    assert counts == {"read": 5_553}
    assert sum(len(m.spans) > 1 for m in made.values()) == 591
    assert all(m.expression.endswith("?") for m in made.values())

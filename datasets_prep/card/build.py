"""Reads a prepared dataset once and writes its card beside the manifest."""

from __future__ import annotations

from datasets_prep.card.areas import measure_areas
from datasets_prep.card.gallery import draw_gallery
from datasets_prep.card.page import render
from datasets_prep.card.rejects import irregular, rejected
from datasets_prep.card.scan import scan
from pipeline import progress
from pipeline.dataset.reader import ShardReader
from pipeline.storage.location import Location

CARD = "card.html"
GALLERY = 4  # samples of each source and task


def write_card(
    reader: ShardReader, out: Location, *, title: str, seed: int, gallery: int = GALLERY
) -> Location:
    """Write ``card.html`` in the folder ``out`` and return its location.

    ``gallery`` samples of every source and task are shown, chosen by a hash of (seed, key). Shards are read a
    row group at a time, so memory does not grow with the number of samples. The card says which media are
    missing or damaged. The same dataset with the same media gives the same bytes.
    """
    entries = reader.manifest.sources
    with progress.track("reading shards for the card", len(reader.manifest.shards)) as bar:
        scans = [scan(reader, entry, seed=seed, gallery=gallery, advance=bar.advance) for entry in entries]
    with progress.track("measuring masks for the card", len(scans)) as bar:
        for source in scans:
            measure_areas(reader, source, seed)
            bar.advance()
    with progress.track(
        "drawing samples for the card", sum(len(r) for s in scans for r in s.shown.values())
    ) as bar:
        shown = draw_gallery(reader, scans, bar.advance)
    page = render(
        title=title,
        seed=seed,
        manifest=reader.manifest,
        scans=scans,
        rejects=rejected(reader, entries, seed),
        irregular=irregular(reader, entries, seed),
        shown=shown,
    )
    place = out / CARD
    place.write_text(page)
    return place

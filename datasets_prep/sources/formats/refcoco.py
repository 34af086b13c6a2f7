"""RefCOCO, RefCOCO+ and RefCOCOg: expressions for one object of a still image.

Format: https://github.com/lichengunc/refer. ``refs(unc).p``, ``refs(umd).p`` or ``refs(google).p`` is a
pickled list of ``{"ref_id", "ann_id", "image_id", "split", "sentences": [{"sent_id", "sent"}]}``;
``instances.json`` has COCO's form, with the images' sizes and the masks. An image is a video of one frame.
Its name is that in instances.json: a reference's ``file_name`` has an extra number.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from datasets_prep.draft import Draft, DraftTrack, Media, Reason, RejectError
from datasets_prep.sources.bases.fields import expression_of, mapping
from datasets_prep.sources.bases.format import Format
from datasets_prep.sources.bases.grouped_chunks import Group, pack, places
from datasets_prep.sources.bases.plain_pickle import load_plain, without_surrogates
from datasets_prep.sources.bases.reader import WHOLE, Files, Record, record_key
from datasets_prep.sources.bases.segmentation_text import segment
from datasets_prep.sources.json.json_file import Chunk, Limits
from datasets_prep.sources.json.json_object import elements
from datasets_prep.sources.json.opening import open_annotations
from datasets_prep.sources.json.parse import load_value
from pipeline.errors import UserError
from pipeline.plan.data import SourceConfig
from pipeline.records.sample import Task

QUESTIONS = ("Can you segment the {expression} in this image?",)
_NAME = re.compile(r"COCO_(\w+)_\d{12}\.jpg")  # the folder of an image is a part of its name
_LARGEST = 1 << 53  # ids beyond it are not ids


class RefCoco:
    """One draft per sentence, keyed ``<source>/<ref_id>/<sent_id>``."""

    suffixes = (".p",)

    def chunks(self, source: SourceConfig, files: Files, limits: Limits) -> Iterator[Chunk]:
        """Objects with all their sentences; a chunk stores where in instances.json their masks are.

        All splits are read, and those that the plan does not name are left out. Raises UserError for a split
        without any object, and if there are several reference files to choose from.
        """
        if files.name:
            raise UserError(
                f"source {source.name}",
                f"{files.annotations.name} may lie beside another division of the same images into splits.",
                "Point `annotations` at one file, such as refs(unc).p.",
            )
        if files.masks is None:
            raise UserError(
                f"source {source.name}", "has no masks.", "Set `masks` to the set's instances.json."
            )
        return pack(_groups(source, files.annotations, files.masks), limits)

    def records(self, source: SourceConfig, files: Files, chunk: Chunk | None = None) -> Iterator[Record]:
        """Sentences in file order."""
        for part in [chunk] if chunk else self.chunks(source, files, WHOLE):
            for place in places(part):
                for name, sentence in place["sentences"]:
                    key = record_key(source, files, name)
                    if place["left_out"]:
                        yield Record(key=key, raw=None, left_out=True)
                    else:
                        yield Record(key=key, raw=place | {"sentence": sentence, "masks": files.masks})

    def media(self, record: Record, source: SourceConfig, seed: int) -> tuple[Media, ...]:
        """The image."""
        raw = mapping(record.raw)
        return () if raw["problem"] else (_media(raw["image"][0]),)

    def convert(self, record: Record, source: SourceConfig, seed: int) -> list[Draft]:
        """``frame_size`` is the size in instances.json, in whose coordinates the polygons are."""
        raw = mapping(record.raw)
        if raw["problem"]:
            raise RejectError(Reason(raw["problem"][0]), raw["problem"][1])
        name, height, width = raw["image"]
        return [
            segment(
                record,
                source,
                seed,
                expression=expression_of(raw["sentence"], "sent"),
                media=_media(name),
                target=DraftTrack(masks=((0, (_mask(raw["masks"], raw["at"]),)),)),
                questions=QUESTIONS,
                frame_size=(height, width),
            )
        ]


def _groups(source: SourceConfig, refs_file: Path, instances: Path) -> Iterator[Group]:
    refs = load_plain(refs_file)
    if not isinstance(refs, list) or not refs:
        raise UserError(str(refs_file), "is not a list of references.", "Download it again.")
    splits = sorted({r["split"] for r in refs if type(r) is dict and type(r.get("split")) is str})
    if source.split not in splits:
        raise UserError(
            str(refs_file), f"has no split {source.split!r}.", f"Set `split` to one of {', '.join(splits)}."
        )
    images = {
        image["id"]: (image.get("file_name"), image.get("height"), image.get("width"))
        for image, _ in _objects(instances, "images")
    }
    masks = {mask["id"]: (place, mask.get("image_id")) for mask, place in _objects(instances, "annotations")}
    seen: set[str] = set()
    for number, ref in enumerate(refs):
        place = _place(number, ref, images, masks, seen)
        place["left_out"] = type(ref) is dict and ref.get("split") in splits and ref["split"] != source.split
        start, end = place["at"] or (0, 0)
        yield Group(place=place, count=len(place["sentences"]), size=end - start)


def _objects(path: Path, name: str) -> Iterator[tuple[Mapping[str, Any], tuple[int, int]]]:
    with open_annotations(path) as file:
        for start, end in elements(path, name):
            found = load_value(file, start, end)
            if isinstance(found, Mapping) and type(found.get("id")) is int:
                yield found, (start, end)


def _place(
    number: int, ref: Any, images: Mapping[int, Any], masks: Mapping[int, Any], seen: set[str]
) -> dict[str, Any]:
    """What a chunk stores of one reference: [key, text] of its sentences, image, mask, or the problem."""
    out: dict[str, Any] = {"sentences": [[f"reference {number}", None]], "image": None, "at": None}
    try:
        name, sentences = _sentences(ref)
        keys = [f"{name}/{sentence}" for sentence, _ in sentences]
        doubled = next((key for key in keys if key in seen), None)
        if doubled or len(set(keys)) < len(keys):
            raise RejectError(
                Reason.DUPLICATE_KEY, f"reference {name} came before, or names a sentence twice"
            )
        seen.update(keys)
        out["sentences"] = [[key, text] for key, (_, text) in zip(keys, sentences, strict=True)]
        mask = masks.get(_id(ref, "ann_id"))
        if mask is None:
            raise RejectError(Reason.MASK_MISSING, f"annotation {ref['ann_id']} is not in instances.json")
        image = images.get(_id(ref, "image_id"))
        if image is None or mask[1] != ref["image_id"]:
            raise RejectError(
                Reason.MALFORMED, f"image {ref['image_id']} is not in instances.json, or not the annotation's"
            )
        if type(image[0]) is not str or type(image[1]) is not int or type(image[2]) is not int:
            raise RejectError(Reason.MALFORMED, f"image {ref['image_id']} lacks a name or its size")
        out |= {"image": image, "at": mask[0], "problem": None}
    except RejectError as error:
        out["problem"] = (str(error.reason), error.detail)
    return out


def _sentences(ref: Any) -> tuple[int, list[tuple[int, str | None]]]:
    """A reference's id, and ids and texts of its sentences. Types are exact: the pickle is not trusted."""
    if type(ref) is not dict or type(ref.get("sentences")) is not list or not ref["sentences"]:
        raise RejectError(Reason.MALFORMED, "no list of `sentences`")
    if not all(type(sentence) is dict for sentence in ref["sentences"]):
        raise RejectError(Reason.MALFORMED, "a sentence is not an object")
    sentences = [(_id(s, "sent_id"), s.get("sent")) for s in ref["sentences"]]
    return _id(ref, "ref_id"), [
        (n, without_surrogates(text) if type(text) is str else None) for n, text in sentences
    ]


def _id(fields: Mapping[str, Any], name: str) -> int:
    value = fields.get(name)
    if type(value) is not int or not 0 <= value < _LARGEST:
        raise RejectError(Reason.MALFORMED, f"`{name}` is not an id (a whole number below 2^53)")
    return value


def _mask(path: Path, at: tuple[int, int]) -> Any:
    with open_annotations(path) as file:
        mask = mapping(load_value(file, *at)).get("segmentation")
    if not mask:
        raise RejectError(Reason.MASK_MISSING, "the annotation has no `segmentation`")
    return mask


def _media(name: str) -> Media:
    """COCO's images are in a folder of their split, which is part of their names; others in ``images``."""
    if "/" in name or "\\" in name or "\0" in name or name in ("", ".", ".."):
        raise RejectError(Reason.MALFORMED, f"image {name!r} is not a file name")
    found = _NAME.fullmatch(name)
    folder = found[1] if found else "images"
    return Media(candidates=(folder, f"images/{folder}", f"images/mscoco/images/{folder}"), frames=(name,))


FORMAT = Format(
    name="refcoco",
    about="RefCOCO, RefCOCO+, RefCOCOg: refs(*).p and instances.json",
    tasks=(Task.SEGMENT,),
    reader=RefCoco(),
    options=("masks", "question_templates", "answer_templates"),
    needs={"split": "refcoco needs a split (train, val, ...)"},
)

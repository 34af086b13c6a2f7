"""Damage to masks and to the frames that they are for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from datasets_prep.draft import Reason
from tests.datasets_prep.damage.kinds import Kind, Place, Raw, dumps
from tests.datasets_prep.damage.records import Change, record, sets

_SIZE = [128, 96]  # of the damaged record's video, height and width
_PIXELS = _SIZE[0] * _SIZE[1]
_EXPRESSION = "0"  # of the first video; its mask is in mask_dict.json under this name


def _mask(change: Callable[[dict[str, Any]], Any]) -> Change:
    """Replace the first mask of a row by what ``change`` returns; None means that it was changed in place."""

    def changed(row: Any) -> None:
        entry = next(iter(row["annotation"][0].values()))
        made = change(entry["segmentation"])
        entry["segmentation"] = entry["segmentation"] if made is None else made

    return changed


def _counts(change: Callable[[str], Any]) -> Change:
    return _mask(lambda rle: rle.update(counts=change(rle["counts"])))


def _polygon(*numbers: Any) -> Change:
    return _mask(lambda rle: [[*numbers]])


def _frame(name: Callable[[str], str]) -> Change:
    """Rename the first annotated frame."""

    def change(row: Any) -> None:
        first, *rest = row["annotation"][0].items()
        row["annotation"][0] = dict([(name(first[0]), first[1]), *rest])

    return change


def _refer() -> Iterator[Kind]:
    mask, size = Reason.BAD_MASK, Reason.MASK_SIZE
    bad, frame, count = Reason.MALFORMED, Reason.FRAME_OUTSIDE, Reason.REGION_COUNT
    far = [0, 0, 1e12, 0, 1e12, 1e12]
    table: list[tuple[str, Reason | None, Change, str]] = [
        ("an RLE cut off", mask, _counts(lambda c: c[:-4]), ""),
        ("an RLE that goes on", mask, _counts(lambda c: c + "5"), "pixels"),
        ("an RLE of illegal characters", mask, _counts(lambda c: "é" + c), "not a character"),
        ("an RLE with a line break", mask, _counts(lambda c: c[:9] + "\n" + c[9:]), "not a character"),
        ("an RLE that ends in a number", mask, _counts(lambda c: c + "o"), "middle of a number"),
        ("an RLE of one endless number", mask, _counts(lambda c: "o" * 3_000_000), "40 bits"),
        ("an RLE with a negative run", mask, _counts(lambda c: "O" + c), "negative"),
        ("an empty RLE", mask, _counts(lambda c: ""), "0 pixels"),
        ("an RLE of null", mask, _counts(lambda c: None), "null"),
        ("an RLE of a number", mask, _counts(lambda c: 5), "text or a list"),
        ("runs of the wrong sum", mask, _counts(lambda c: [5, 7]), "sum to"),
        ("a negative run", mask, _counts(lambda c: [-1, _PIXELS + 1]), "not negative"),
        ("runs that are not whole numbers", mask, _counts(lambda c: [0.5, _PIXELS - 0.5]), "whole"),
        ("runs that are text", mask, _counts(lambda c: ["a"]), "whole"),
        ("runs beyond 64 bits", mask, _counts(lambda c: [2**63, 2**63]), "whole"),
        ("runs in nested lists", mask, _counts(lambda c: [[_PIXELS]]), "whole"),
        ("a mask turned by 90 degrees", size, _mask(lambda r: r.update(size=_SIZE[::-1])), "video [128, 96]"),
        ("a mask of a huge size", size, _mask(lambda r: r.update(size=[100_000, 100_000])), "100000"),
        ("a mask of a negative size", size, _mask(lambda r: r.update(size=[-128, -96])), "-128"),
        ("a mask of half a size", size, _mask(lambda r: r.update(size=[128])), "[128]"),
        ("a mask whose size is text", size, _mask(lambda r: r.update(size="128x96")), "128x96"),
        ("a row that claims a huge frame", size, sets(height=100_000, width=100_000), "100000x100000"),
        ("a row that claims a frame in words", bad, sets(height="tall", width="wide"), "not a whole number"),
        ("a mask without a size", None, _mask(lambda r: r.pop("size") and None), ""),
        ("a mask of null in one of several frames", None, _frames_null, ""),
        ("a mask that is a number", mask, _mask(lambda r: 3), "not int"),
        ("a mask that is text", mask, _mask(lambda r: r["counts"]), "not str"),
        ("an object of another kind", mask, _mask(lambda r: {"bbox": [1, 2, 3, 4]}), "counts"),
        ("a polygon of two points", mask, _polygon(1, 1, 20, 20), "three"),
        ("a polygon of seven numbers", mask, _polygon(1, 1, 20, 20, 1, 20, 5), "three"),
        ("a polygon with NaN as text", mask, _polygon(1, 1, "nan", 20, 1, 20), "finite"),
        ("a polygon with null", mask, _polygon(1, 1, None, 20, 1, 20), "finite"),
        ("a polygon of pairs", mask, _polygon([1, 1], [20, 1], [20, 20]), ""),
        ("a polygon far outside", mask, _polygon(*far), "far outside"),
        ("a polygon far outside on the other side", mask, _polygon(*(-v for v in far)), "far outside"),
        ("a polygon without a pixel", Reason.EMPTY_REGION, _only(_polygon(1, 1, 1, 1, 1, 1)), "no pixel"),
        ("a negative frame", frame, _frame(lambda n: "-1"), "frame -1"),
        ("a frame beyond the video", frame, _frame(lambda n: "100000"), "frame 100000"),
        ("a frame beyond any video", frame, _frame(lambda n: "9" * 30), "frame 9999"),
        ("a frame in endless digits", bad, _frame(lambda n: "9" * 5000), "not a whole number"),
        ("a frame in words", bad, _frame(lambda n: "first"), "not a whole number"),
        ("half a frame", bad, _frame(lambda n: "7.5"), "not a whole number"),
        ("a frame with an underscore", bad, _frame(lambda n: "1_0"), "not a whole number"),
        ("a frame in digits of another script", bad, _frame(lambda n: "٣"), "not a whole number"),
        ("a frame without a name", bad, _frame(lambda n: ""), "not a whole number"),
        ("a frame annotated twice in two spellings", mask, _twice, "annotated twice"),
        ("no annotation", bad, sets(annotation=None), "not a list of objects"),
        ("an empty annotation", count, sets(annotation=[]), "0 annotated objects"),
        ("an object without frames", bad, sets(annotation=[{}]), "at least one frame"),
        ("an object that is null", bad, sets(annotation=[None]), "at least one frame"),
        ("an annotation in words", bad, sets(annotation="all of it"), "not a list of objects"),
        ("a frame's mask in a list", bad, _entry([1, 2]), "`segmentation`, or null"),
        ("a frame without segmentation", bad, _entry({"mask": None}), "`segmentation`, or null"),
        (
            "one object too many",
            count,
            lambda row: row["annotation"].append(row["annotation"][0]),
            "2 annotated",
        ),
    ]
    for name, reason, change, detail in table:
        yield record(name, reason, change, detail, "refer")


def _only(change: Change) -> Change:
    """Annotate only one frame, and change that."""

    def changed(row: Any) -> None:
        first, *_ = row["annotation"][0].items()
        row["annotation"][0] = dict([first])
        change(row)

    return changed


def _frames_null(row: Any) -> None:
    frames = row["annotation"][0]
    frames[next(iter(frames))] = None


def _entry(value: Any) -> Change:
    def change(row: Any) -> None:
        frames = row["annotation"][0]
        frames[next(iter(frames))] = value

    return change


def _twice(row: Any) -> None:
    frames = row["annotation"][0]
    first = next(iter(frames))
    frames[f"0{first}"] = frames[first]


def _in_expression(change: Callable[[Any], Any]) -> Callable[[Place], object]:
    """Change the first expression of the first video."""

    def put(place: Place) -> None:
        meta = place.load(place.annotations)
        expressions = next(iter(meta["videos"].values()))["expressions"]
        made = change(expressions[_EXPRESSION])
        expressions[_EXPRESSION] = expressions[_EXPRESSION] if made is None else made
        place.write(place.annotations, dumps(meta))

    return put


def _in_masks(change: Callable[[Any], Any]) -> Callable[[Place], object]:
    """Change the masks of a new annotation, which the first expression alone then names."""

    def put(place: Place) -> None:
        known = place.load(place.masks)
        masks = list(known[_EXPRESSION])
        made = change(masks)
        known["new"] = masks if made is None else made
        place.write(place.masks, dumps(known))
        _in_expression(lambda expression: expression.update(anno_id=["new"]))(place)

    return put


def _segment() -> Iterator[Kind]:
    bad, gone, shifted = Reason.MALFORMED, Reason.MASK_MISSING, Reason.MASKS_SHIFTED
    table: list[tuple[str, Reason | None, Callable[[Place], object], str]] = [
        ("an annotation that does not exist", gone, _in_expression(sets(anno_id=[404])), "404 is not in"),
        ("annotations in an object", gone, _in_expression(sets(anno_id={"0": 0})), "is not in"),
        (
            "an expression without annotations",
            bad,
            _in_expression(lambda e: e.pop("anno_id") and None),
            "anno_id",
        ),
        ("objects without annotations", bad, _in_expression(sets(anno_id=[])), "`anno_id` is empty"),
        ("an expression without words", bad, _in_expression(sets(exp="  ")), "`exp` is '  '"),
        ("an expression that is a number", bad, _in_expression(sets(exp=5)), "`exp` is 5"),
        ("an expression that is a list", bad, _in_expression(lambda e: [e]), "an object, not list"),
        ("an expression with a NUL", bad, _in_expression(sets(exp="the \0 one")), "NUL"),
        ("one mask too few", shifted, _in_masks(lambda m: m[:-1]), "15 masks for 16 frames"),
        ("one mask too many", shifted, _in_masks(lambda m: [*m, None]), "17 masks for 16 frames"),
        ("masks that are not a list", shifted, _in_masks(lambda m: {"0": m[0]}), "no masks for 16 frames"),
        ("masks of null", shifted, _in_masks(lambda m: Raw("null")), "no masks for 16 frames"),
        (
            "a mask that is a number among masks",
            Reason.BAD_MASK,
            _in_masks(lambda m: [*m[:-1], 5]),
            "frame 15",
        ),
        (
            "a mask of another size among masks",
            Reason.MASK_SIZE,
            _in_masks(lambda m: [*m[:-1], {"size": [5, 5], "counts": "i0"}]),
            "frame 15: mask [5, 5]",
        ),
    ]
    for name, reason, put, detail in table:
        yield Kind(name=name, corpus="segment", put=put, reason=reason, says=detail)


def kinds() -> Iterator[Kind]:
    """All kinds of damage to masks."""
    yield from (*_refer(), *_segment())

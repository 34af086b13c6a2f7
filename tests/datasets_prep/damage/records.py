"""Damage to one record: its form, its conversation, its times."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from datasets_prep.draft import Reason
from tests.datasets_prep.damage.kinds import Kind, Place, Raw

Change = Callable[[Any], Any]


def sets(**fields: Any) -> Change:
    """Set some fields of the record to other values."""
    return lambda row: row.update(fields)


def drops(name: str) -> Change:
    """Remove a field of the record."""

    def change(row: Any) -> None:
        del row[name]

    return change


def sets_in_turn(at: int, **fields: Any) -> Change:
    """Set fields of one turn of the record to other values."""
    return lambda row: row["conversations"][at].update(fields)


def becomes(value: Any) -> Change:
    """Put another value in place of the record."""

    return lambda row: Raw("null") if value is None else value


def record(name: str, reason: Reason | None, change: Change, detail: str = "", corpus: str = "talk") -> Kind:
    """A record that cannot be used, or with ``reason`` None one that can."""
    return Kind(name=name, corpus=corpus, put=lambda place: place.edit(change), reason=reason, says=detail)


def _form() -> Iterator[Kind]:
    bad, broken = Reason.MALFORMED, Reason.BROKEN_JSON
    yield record("a list as the record", bad, becomes([1, 2]), "an object, not list")
    yield record("null as the record", bad, becomes(None), "an object, not NoneType")
    yield record("a number as the record", bad, becomes(7), "an object, not int")
    yield record("a text as the record", bad, becomes("see above"), "an object, not str")
    yield record("an empty object as the record", bad, becomes({}))
    yield record("NaN in a field that is not read", None, sets(score=float("nan")))
    yield record("Infinity in a field that is not read", None, sets(score=float("inf")))
    yield record("a number too large for a float in a field that is not read", None, sets(score=Raw("1e400")))
    yield record(
        "a lone surrogate in a text", bad, sets_in_turn(1, value="B. \ud83d"), "one half of a character"
    )
    yield Kind(name="bytes that are not UTF-8", corpus="talk", put=_with_bytes, reason=broken, says="UTF-8")
    yield record("ten thousand brackets", bad, sets(id=Raw("[" * 10_000 + "]" * 10_000)), "nested too")
    yield record("a key that occurs twice", bad, sets(id=Raw('0, "video": "a.mp4"')), "'video' occurs twice")
    yield record(
        "a key that occurs twice in a turn",
        bad,
        sets_in_turn(1, value=Raw('"A.", "value": "B."')),
        "'value' occurs twice",
    )
    yield record("a colon in a text and in a key", None, sets(**{'a": "b': '": ": \\": \\'}))
    yield record("an escape that JSON does not know", broken, sets(id=Raw(r'"\x41"')), "escape")
    yield record("a huge integer in a field that is not read", None, sets(id=10**40))
    yield record("an unknown field", None, sets(extra={"deep": [[{"er": None}]]}))


def _with_bytes(place: Place) -> None:
    place.edit(sets(id="@bytes@"))
    place.write(place.annotations, place.annotations.read_bytes().replace(b"@bytes@", b"\xc3\x28"))


def _conversation() -> Iterator[Kind]:
    bad, turns = Reason.MALFORMED, Reason.TURNS
    yield record("no conversation", bad, drops("conversations"), "neither `conversations`")
    yield record("null as the conversation", bad, sets(conversations=None), "neither `conversations`")
    yield record(
        "a text as the conversation", bad, sets(conversations="Q? A."), "a list of turns was expected"
    )
    yield record(
        "an object as the conversation", bad, sets(conversations={"0": 1}), "a list of turns was expected"
    )
    yield record("an empty conversation", bad, sets(conversations=[]), "a list of turns was expected")
    yield record(
        "a text as a turn", bad, sets(conversations=["Q?", "A."]), "turn 0 of `conversations` is 'Q?'"
    )
    yield record("null as a text", bad, sets_in_turn(1, value=None), "`value`: null")
    yield record("a number as a text", bad, sets_in_turn(0, value=3), "a text was expected")
    yield record("a list of one text as a text", None, sets_in_turn(0, value=["Q?"]))
    yield record("a list of numbers as a text", bad, sets_in_turn(0, value=[1, 2]), "has the part 1")
    yield record(
        "a question without an answer", turns, lambda r: r["conversations"].pop() and None, "no answer"
    )
    yield record("an unknown speaker", turns, sets_in_turn(0, **{"from": "system"}), "turn 0 is by 'system'")
    yield record("a speaker that is not text", turns, sets_in_turn(0, **{"from": ["human"]}), "turn 0 is by")
    yield record(
        "turns in the wrong order", turns, lambda r: r["conversations"].reverse(), "turn 0 is by 'gpt'"
    )
    yield record("an empty answer", turns, _talk("Q?", " \n "), "turn 1 is empty")
    yield record("a NUL in a text", bad, _talk("Is \0 there?", "Yes."), "NUL")
    yield record("ten million characters", bad, _talk("very " * 2_000_000, "Yes."), "10000000 characters")
    yield record(
        "a hundred thousand line breaks", bad, _talk("Is " + "\n" * 100_000 + "?", "Yes."), "blanks in a row"
    )
    yield record("blanks around a marker", None, _talk("<video>" + (" " * 900 + "x") * 10, "Yes."))
    yield record("a region token without a region", Reason.REGION_COUNT, _talk("<region>?", "Yes."))
    yield record(
        "a left-over placeholder", Reason.PLACEHOLDERS, _talk("When?", "<TEMP-OUTPUT>"), "still holds"
    )
    yield record(
        "an answer that is not an option", Reason.BAD_CHOICE, sets_in_turn(1, value="Z."), "none of the"
    )
    yield record("bins beyond the last one", Reason.SPAN_OUTSIDE, _talk("When?", "{<TEMP-120><TEMP-130>}"))
    yield record("bins that run backwards", Reason.SPAN_REVERSED, _talk("When?", "{<TEMP-050><TEMP-020>}"))
    yield record(
        "emoji and other scripts",
        None,
        sets_in_turn(0, value="Ist 😀 да 水 \u202e zu sehen?\nA. ja\nB. nein\nC. ?\nD. x"),
    )


def _talk(question: str, answer: str) -> Change:
    return sets(conversations=[{"from": "human", "value": question}, {"from": "gpt", "value": answer}])


def _times() -> Iterator[Kind]:
    bad, outside = Reason.MALFORMED, Reason.SPAN_OUTSIDE
    for name, reason, times, detail in (
        ("NaN as text", bad, ["nan", 4.16], "not a number"),
        ("infinity as text", bad, [2.4, "-inf"], "not a number"),
        ("words as times", bad, ["start", "end"], "not a number"),
        ("digits of another script", bad, ["١", "٢"], "not a number"),
        ("a time with an underscore", bad, ["1_0", 4.16], "not a number"),
        ("null as a time", bad, [None, 4.16], "not a number"),
        ("a list as a time", bad, [[2.4, 4.16]], "not a number"),
        ("true as a time", bad, [True, 4.16], "not a number"),
        ("a number as the times", bad, 2.4, "`tgt` is not a list"),
        ("an odd number of times", Reason.PLACEHOLDERS, [2.4], "`tgt` has 1"),
        ("no times", Reason.PLACEHOLDERS, [], "`tgt` has 0"),
        ("times for one span too many", Reason.PLACEHOLDERS, [1, 2, 3, 4], "`tgt` has 4"),
        ("a negative time", outside, [-1.5, 2.0], "-1.500"),
        ("both times negative", outside, [-3.0, -2.0], "-3.000"),
        ("a time past the end", outside, [1.0, 99.0], "99.000"),
        ("both times past the end", outside, [98.0, 99.0], "98.000"),
        ("times in milliseconds", outside, [2400, 4160], "2400.000"),
        ("a time of 300 digits", outside, [0, 1e300], "s in 0.000"),
        ("times that run backwards", Reason.SPAN_REVERSED, [4.16, 2.4], "4.16 to 2.4"),
        ("a span without length", Reason.SPAN_ZERO_LENGTH, [2.4, 2.4], "no length"),
        ("times written as text", None, ["2.4", " 4.16"], ""),
    ):
        yield record(name, reason, sets(tgt=times), detail, "seconds")
    for name, reason, values, detail in (
        ("NaN as a fraction", bad, ["NaN", 0.9], "not a number"),
        ("a fraction above one", outside, [0.5, 1.5], ""),
        ("a negative fraction", outside, [-0.5, 0.5], ""),
        ("fractions that run backwards", Reason.SPAN_REVERSED, [0.9, 0.5], ""),
        ("fractions without length", Reason.SPAN_ZERO_LENGTH, [0.5, 0.5], ""),
        ("a fraction too few", Reason.PLACEHOLDERS, [0.5], "has 1 values"),
        ("an object as the fractions", bad, {"0": 0.5}, "is not a list"),
    ):
        change = sets(variables={"temporal_output_locations": values})
        yield record(name, reason, change, detail, "fractions")
    yield record(
        "a list as the variables",
        bad,
        sets(variables=[0.5, 0.9]),
        "`variables` is not an object",
        "fractions",
    )
    for name, reason, split, detail in (
        ("a clip of one number", bad, [3], "not a pair"),
        ("a clip of text", bad, ["a", "b"], "not a whole number"),
        ("a clip of half frames", bad, [1.5, 30], "not a whole number"),
        ("a clip in an endless number", bad, ["9" * 5000, 10], "not a whole number"),
        ("a clip that runs backwards", Reason.SPAN_REVERSED, [60, 20], "ends before"),
        ("a clip beyond the video", outside, [5000, 6000], ""),
        ("a clip before the video", outside, [-50, -20], ""),
    ):
        yield record(name, reason, sets(meta={"split": split}), detail, "fractions")
    yield Kind(
        name="a line with NaN as its time",
        corpus="lines",
        put=lambda p: p.write(p.annotations, p.annotations.read_text().replace(" 2.2##", " nan##", 1)),
        reason=Reason.MALFORMED,
        says="not a number",
    )
    yield Kind(
        name="a line of another form",
        corpus="lines",
        put=lambda p: p.write(
            p.annotations, "VIDEO START END\n" + p.annotations.read_text().split("\n", 1)[1]
        ),
        reason=Reason.MALFORMED,
        says="is not `VIDEO START END##sentence`",
    )


def kinds() -> Iterator[Kind]:
    """All kinds of damage to records."""
    yield from (*_form(), *_conversation(), *_times())

"""Damage to a whole annotation file, or to the folder that holds it."""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Callable, Iterator

from datasets_prep.draft import Reason
from tests.datasets_prep.damage.kinds import Kind, Place, Touches


def _text(change: Callable[[bytes], bytes]) -> Callable[[Place], object]:
    """Change the bytes of the annotation file."""
    return lambda place: place.write(place.annotations, change(place.annotations.read_bytes()))


def _masks(change: Callable[[bytes], bytes]) -> Callable[[Place], object]:
    return lambda place: place.write(place.masks, change(place.masks.read_bytes()))


def _lines(change: Callable[[list[str], int], str]) -> Callable[[Place], object]:
    """Write the list as JSON lines; ``change`` gets the lines and the index of the record to damage."""
    return lambda place: place.write(
        place.annotations, change([json.dumps(row) for row in place.rows], place.corpus.index)
    )


def _joined(end: str) -> Callable[[list[str], int], str]:
    return lambda lines, at: end.join(lines)


def _line(change: Callable[[str], str]) -> Callable[[list[str], int], str]:
    return lambda lines, at: "\n".join([*lines[:at], change(lines[at]), *lines[at + 1 :]])


def _instead(make: Callable[[Place], object]) -> Callable[[Place], object]:
    """Put something else in place of the annotation file."""

    def put(place: Place) -> None:
        place.annotations.unlink()
        make(place)

    return put


def _between(first: int, text: bytes) -> Callable[[bytes], bytes]:
    """Put ``text`` in place of the comma after one of the records."""

    def change(data: bytes) -> bytes:
        rows = [json.dumps(row).encode() for row in json.loads(data)]
        return b"[" + b",".join(rows[: first + 1]) + text + b",".join(rows[first + 1 :]) + b"]"

    return change


def _directory_as_masks(place: Place) -> None:
    place.masks.unlink()
    place.masks.mkdir()


def _loop_of_folders(place: Place) -> None:
    """Two links: followed to the limit of the system, they lead to 2**40 folders."""
    for name in ("again", "and again"):
        (place.annotations / name).symlink_to(place.annotations)


def _the_same_file_twice(place: Place) -> None:
    (place.annotations / "copy.json").symlink_to(place.annotations / "action_count.json")


def _name_that_is_not_utf8(place: Place) -> None:
    file = place.annotations / "action_count.json"
    os.rename(file, os.fsencode(place.annotations) + b"/action_\xff.json")


def _empty_folder(place: Place) -> None:
    for file in place.annotations.iterdir():
        file.unlink()


def _truncated_member(place: Place) -> None:
    file = place.annotations / "action_count.json"
    place.write(file, file.read_bytes()[:-20])


def _folder_named_like_a_file(place: Place) -> None:
    (place.annotations / "odd.json").mkdir()


def refused(name: str, put: Callable[[Place], object], says: str, corpus: str = "talk", **more: bool) -> Kind:
    """A file that cannot be used at all."""
    return Kind(name=name, corpus=corpus, put=put, refused=says, touches=Touches.NONE, **more)


def fine(name: str, put: Callable[[Place], object], corpus: str = "talk") -> Kind:
    """A file that looks odd, but of which every record can be read."""
    return Kind(name=name, corpus=corpus, put=put, touches=Touches.NONE)


def broken_line(name: str, put: Callable[[Place], object], more: int = 0) -> Kind:
    """A record, or with ``more`` something between records, that is not JSON."""
    touches = Touches.NONE if more else Touches.RECORD
    return Kind(name=name, corpus="talk", put=put, reason=Reason.BROKEN_JSON, touches=touches, more=more)


_FILE = r"0_30_s_academic_mc_v0_1_qa_processed\.json"
_BROKEN = rf"{_FILE}: is not whole JSON .*Download it again"
_NEITHER = rf"{_FILE}: is not JSON .*a JSON array or JSON lines was expected.*Check the download"
_MASKS = r"mask_dict\.json: is not whole JSON .*Download it again"


def kinds() -> Iterator[Kind]:
    """All kinds of damage to files."""
    yield refused("array cut between records", _text(lambda b: b[: b.index(b'{"id"', 900)]), _BROKEN)
    yield refused("array cut inside a text", _text(lambda b: b[: b.index(b"Options", 900) + 3]), _BROKEN)
    yield refused("array cut inside an escape", _text(lambda b: b[: b.index(b"\\n", 900) + 1]), _BROKEN)
    yield refused("array without its last bracket", _text(lambda b: b.rstrip()[:-1]), _BROKEN)
    yield refused("text after the array", _text(lambda b: b + b"<!-- saved -->"), _BROKEN)
    yield refused("NUL bytes after the array", _text(lambda b: b + bytes(4096)), _BROKEN)
    yield refused("two arrays", _text(lambda b: b + b"\n" + b), _BROKEN)
    yield refused("no comma between two records", _text(_between(4, b"\n")), _BROKEN)
    yield refused("a missing quote", _text(lambda b: b.replace(b'"gpt"', b'"gpt', 1)), _BROKEN)
    yield refused("empty file", _text(lambda b: b""), rf"{_FILE}: is empty.*Check the download")
    yield refused("only blanks", _text(lambda b: b" \n" * 50), rf"{_FILE}: is empty")
    yield refused(
        "an array without records", _text(lambda b: b"[]"), "gave no sample: 0 read.*mend the source"
    )
    yield refused("UTF-16", _text(lambda b: b.decode().encode("utf-16")), rf"{_FILE}: is written in UTF-16")
    yield refused("half of a gzip", _text(lambda b: gzip.compress(b)[:-20]), rf"{_FILE}: cannot be unpacked")
    yield refused("a picture", _text(lambda b: b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 8), _NEITHER)
    yield refused("an error page", _text(lambda b: b"<!DOCTYPE html><h1>404</h1>"), _NEITHER)
    yield refused("a number", _text(lambda b: b"17"), rf"{_FILE}: is a JSON number, where")
    yield refused("a text", _text(lambda b: b'"see the other file"'), rf"{_FILE}: is a JSON text, where")
    yield refused("wrapped in an object", _text(lambda b: b'{"data": ' + b + b"}"), "gave no sample: 1 read")
    yield refused(
        "wrapped in an object of many lines",
        _text(lambda b: json.dumps({"data": json.loads(b)}, indent=1).encode()),
        rf"{_FILE}: is one JSON object .with .data.., where",
    )
    yield refused("missing file", _instead(lambda p: None), rf"{_FILE} does not exist.*Correct `annotations`")
    yield refused(
        "an empty folder as the file",
        _instead(lambda p: p.annotations.mkdir()),
        "no file below .*correct `files`",
    )
    yield refused(
        "a link to itself", _instead(lambda p: p.annotations.symlink_to(p.annotations)), "does not exist"
    )
    yield refused(
        "a link to nothing", _instead(lambda p: p.annotations.symlink_to("gone.json")), "does not exist"
    )
    yield refused(
        "a named pipe",
        _instead(lambda p: os.mkfifo(p.annotations)),
        rf"{_FILE}: is a named pipe.*Correct its path",
    )
    if os.path.exists("/proc/self/mem"):
        yield refused(
            "a file that gives an error when read",
            _instead(lambda p: p.annotations.symlink_to("/proc/self/mem")),
            rf"{_FILE}: cannot be read \(Input/output error\)",
        )
    yield refused(
        "a file without permission to read it",
        lambda p: p.forbid(p.annotations),
        rf"{_FILE}: cannot be opened \(Permission denied\)",
        as_user=True,
    )
    yield refused("lines that are not JSON", _lines(lambda lines, at: "{x}\n" * 30), _BROKEN)
    yield refused(
        "only a line that is not JSON", _lines(lambda lines, at: "{x}\n"), "holds no record that is JSON"
    )

    yield fine("byte-order mark", _text(lambda b: b"\xef\xbb\xbf" + b))
    yield fine(
        "blanks around everything", _text(lambda b: json.dumps(json.loads(b), indent=4).encode() + b"\r\n \n")
    )
    yield fine("JSON lines", _lines(_joined("\n")))
    yield fine("JSON lines with carriage returns", _lines(_joined("\r\n")))
    yield fine("JSON lines with blank lines", _lines(_joined("\n\n \r\n")))
    yield fine(
        "JSON lines with lone carriage returns as blanks",
        _lines(_line(lambda line: line.replace(', "', ',\r"').replace(': "', ':\r"'))),
    )

    yield broken_line("a comma after the last record", _text(lambda b: b.rstrip()[:-1] + b",]"), more=1)
    yield broken_line("two commas after the last record", _text(lambda b: b.rstrip()[:-1] + b",,]"), more=2)
    yield broken_line("a bracket of the wrong kind", _text(lambda b: b.replace(b"}, {", b"], {", 1)))
    yield broken_line(
        "NUL bytes after JSON lines", _lines(lambda ls, at: "\n".join(ls) + "\n" + "\0" * 99), more=1
    )
    yield broken_line("a line cut off", _lines(_line(lambda line: line[: len(line) // 2])))
    yield broken_line("two records on a line", _lines(_line(lambda line: line + line)))
    yield broken_line("a line in Python's notation", _lines(_line(lambda line: line.replace('"', "'"))))

    seg = "segment"
    yield refused("masks cut off", _masks(lambda b: b[: len(b) // 2]), _MASKS, seg)
    yield refused(
        "masks in a list",
        _masks(lambda b: b"[1]"),
        r"mask_dict\.json: is a JSON array, where",
        seg,
    )
    yield refused("masks in an empty file", _masks(lambda b: b""), r"mask_dict\.json: is empty", seg)
    yield refused(
        "a mask whose name is not text",
        _masks(lambda b: b.replace(b'"1"', rb'"\ud800"', 1)),
        "holds .*one half of a character",
        seg,
    )
    yield refused(
        "missing masks", lambda p: p.masks.unlink(), r"mask_dict\.json does not exist.*Correct `masks`", seg
    )
    yield refused(
        "a folder as masks",
        _directory_as_masks,
        r"mask_dict\.json: is a directory, not a file.*Correct its path",
        seg,
    )
    yield refused(
        "a mask that occurs twice",
        _masks(lambda b: b.replace(b'"1":', b'"0":', 1)),
        "holds annotation 0 twice",
        seg,
    )
    yield refused("expressions without videos", _text(lambda b: b"{}"), "has no object `videos`", seg)
    yield refused("videos in a list", _text(lambda b: b'{"videos": []}'), "has no object `videos`", seg)

    yield refused(
        "one file of several cut off", _truncated_member, r"action_count\.json: is not whole JSON", "choice"
    )
    yield refused("a folder without files", _empty_folder, "no file below", "choice")
    yield fine("a loop of folders", _loop_of_folders, "choice")
    yield refused("a file under two names", _the_same_file_twice, r"copy\.json.*the same file", "choice")
    yield refused(
        "a file name that is not UTF-8", _name_that_is_not_utf8, "is not UTF-8.*[Rr]ename", "choice"
    )
    yield fine("a folder named like a file", _folder_named_like_a_file, "choice")

    yield refused(
        "a text file of another encoding", _text(lambda b: b.decode().encode("utf-16")), "charades", "lines"
    )

"""The fields of a record of one's own data: what each is called in the file, and an example of it."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from types import MappingProxyType
from typing import Any, Final

from datasets_prep.draft import Reason, RejectError
from datasets_prep.sources.bases.fields import excerpt, mapping

_QA = {"video": "dog.mp4", "question": "What does the dog do?", "answer": "It barks."}
_CHOICE = {"video": "dog.mp4", "question": "Who barks?", "options": ["a cat", "a dog"], "answer": "B"}
_MARK = {"frame": 12, "mask": [[10, 20, 60, 20, 60, 80, 10, 80]]}

EXAMPLES: Final[Mapping[str, Mapping[str, Any]]] = MappingProxyType(
    {
        "id": {"id": "dog-1", **_QA},
        "video": _QA,
        "question": _QA,
        "answer": _QA,
        "messages": {
            "video": "dog.mp4",
            "messages": [
                {"role": "user", "content": "Who barks?"},
                {"role": "assistant", "content": "A dog."},
            ],
        },
        "options": _CHOICE,
        "spans": {"video": "dog.mp4", "question": "When does it bark?", "spans": [[3.2, 7.5]]},
        "regions": {
            "video": "dog.mp4",
            "question": "What is <region>?",
            "answer": "A dog.",
            "regions": [_MARK],
        },
        "masks": {"video": "dog.mp4", "question": "Segment the dog.", "masks": [_MARK]},
        "start": {**_QA, "start": 4, "end": 9.5},
        "end": {**_QA, "start": 4, "end": 9.5},
        "category": {**_QA, "category": "pets"},
    }
)
"""For every field a whole record that has it; messages about the field show it."""

FIELDS: Final = tuple(EXAMPLES)
_ALIKE = 0.85  # of ``mask`` and ``masks``; of ``video`` and ``video_id`` it is 0.77


class OwnRecord:
    """A record whose fields are read under our names, whatever the plan's ``columns`` says they are called.

    A null counts as a missing field. Raises RejectError for a record that is not an object, and for one with
    a name that is probably a misspelt field: it would be ignored without a word.
    """

    def __init__(self, raw: Any, columns: Mapping[str, str]) -> None:
        self._raw, self._columns = mapping(raw), columns
        known = {self.name(field) for field in FIELDS}
        for name in self._raw:
            meant = None if name in known else _meant(name)
            if meant is not None and self.get(meant) is None and self._raw[name] is not None:
                raise RejectError(
                    Reason.MALFORMED,
                    f"`{name}` is no field, `{meant}` probably was meant; correct it, or set `columns: "
                    f"{{{meant}: {name}}}` in the plan; for example {self.example(meant)}",
                )

    def name(self, field: str) -> str:
        """What a field is called in the file."""
        return self._columns.get(field, field)

    def get(self, field: str) -> Any:
        """The value of a field as written; None if it is missing."""
        return self._raw.get(self.name(field))

    def has(self, field: str) -> bool:
        """Whether there is a value."""
        return self.get(field) is not None

    def example(self, field: str) -> str:
        """A record with the field, in the file's own names."""
        renamed = {self.name(name): value for name, value in EXAMPLES[field].items()}
        return json.dumps(renamed, ensure_ascii=False)

    @contextmanager
    def reading(self, field: str) -> Iterator[None]:
        """Give a RejectError about the field its name in the file, and an example."""
        try:
            yield
        except RejectError as error:
            detail = error.detail.replace(f"`{field}`", f"`{self.name(field)}`")
            raise RejectError(error.reason, f"{detail}; for example {self.example(field)}") from error

    def text(self, field: str) -> str:
        """A field that must be a text with at least one character that is not white space."""
        value = self.get(field)
        if not isinstance(value, str) or not value.strip():
            found = "missing" if value is None else excerpt(value)
            raise RejectError(Reason.MALFORMED, f"`{field}` is {found}, a text was expected")
        return value.strip()


@lru_cache(maxsize=1024)  # the same names stand in every record
def _meant(name: str) -> str | None:
    return next(iter(difflib.get_close_matches(name.lower(), FIELDS, 1, _ALIKE)), None)

"""Where media lie: the first of their folders that has them, told by its listing where that is on S3.

To ask S3 for each name below each folder takes a request or two each time, and most of them find nothing.
Of the media of one task, neighbours by name, one page of a folder's listing tells all.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

from datasets_prep.draft import Reason, RejectError
from pipeline.errors import UserError
from pipeline.storage.listing import Stat
from pipeline.storage.location import Location

Resolve = Callable[[str], Location]
Asked = tuple[Sequence[str], Sequence[str]]
"""Media folders as the plan writes them, and the names that a medium may have below each."""


class Place(NamedTuple):
    """Where a medium lies, under which of its names, and what a listing says of it, if there is one."""

    location: Location
    path: str
    stat: Stat | None


class Listings:
    """What media folders hold of some media. Those on S3 are listed at once, local ones asked as it comes."""

    def __init__(self, asked: Iterable[Asked], resolve: Resolve) -> None:
        self._resolve = resolve
        wanted: dict[str, set[str]] = {}
        for roots, candidates in asked:
            for root in roots:
                wanted.setdefault(root, set()).update(candidates, *(map(_other_forms, candidates)))
        self._roots = {root: resolve(root) for root in wanted}
        self._stats = {
            root: place.stats(wanted[root]) for root, place in self._roots.items() if not place.is_local
        }

    def find(self, roots: Sequence[str], candidates: Sequence[str]) -> Place:
        """The first place that exists: every candidate below the first root, then below the next.

        Raises RejectError if there is none.
        """
        for root in roots:
            for path in candidates:
                try:
                    location = self._roots[root].join(path)
                except UserError as error:  # leads out of the folder
                    raise RejectError(Reason.MEDIA_MISSING, str(error)) from error
                if self._is_there(root, path):
                    return Place(location, path, self._stats.get(root, {}).get(path))
        if other := self._in_another_form(roots, candidates):
            raise RejectError(
                Reason.MEDIA_MISSING,
                f"{candidates[0]} is there, but its name is written in another Unicode form ({other}); "
                "rename it",
            )
        # Folders as the plan writes them: where they lie differs between machines.
        more = f" (or under {len(candidates) - 1} other names)" if len(candidates) > 1 else ""
        raise RejectError(Reason.MEDIA_MISSING, f"{candidates[0]}{more} lies in none of {', '.join(roots)}")

    def later(self, roots: Sequence[str], taken: Place) -> Iterator[tuple[int, Place]]:
        """What has the name of a medium below the folders after its own, with the folders' numbers.

        Local places may not be there.
        """
        places = list(self._below_each(roots, taken.path))
        own = [place.location if place else None for place in places].index(taken.location)
        for number, place in enumerate(places[own + 1 :], own + 2):
            if place is not None and place.location != taken.location:
                yield number, place

    def _below_each(self, roots: Sequence[str], path: str) -> Iterator[Place | None]:
        for root in roots:
            stat = self._stats.get(root, {}).get(path)
            try:
                there = stat is not None or self._roots[root].is_local
                yield Place(self._roots[root].join(path), path, stat) if there else None
            except UserError:  # a link that leaves the folder
                yield None

    def _is_there(self, root: str, path: str) -> bool:
        if root in self._stats:
            return path in self._stats[root]
        return self._roots[root].join(path).exists()

    def _in_another_form(self, roots: Sequence[str], candidates: Sequence[str]) -> str | None:
        """The form in which a name that looks the same is there: file systems write é in one of two ways."""
        for path in candidates:
            for name, form in _other_forms(path).items():
                if any(self._is_there(root, name) for root in roots):
                    return form
        return None


def _other_forms(path: str) -> dict[str, str]:
    if path.isascii():
        return {}
    forms = {unicodedata.normalize(form, path): form for form in ("NFC", "NFD")}
    return {name: form for name, form in forms.items() if name != path}

"""Locates media: the first of their folders that has them; on S3 by the folder's listing.

Asking S3 for each name in each folder takes one or two requests each time, and most find nothing. The media
of one task are neighbours by name, so one page of a folder's listing answers for all of them.
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
MediaNames = tuple[Sequence[str], Sequence[str]]
"""Media folders as the plan writes them, and the names that a medium may have below each."""


class Place(NamedTuple):
    """Where a medium is, under which of its names, and its entry in the listing, if there is one."""

    location: Location
    path: str
    stat: Stat | None


class Listings:
    """Which media are in which folder. Folders on S3 are listed at once, local ones are asked on demand."""

    def __init__(self, media: Iterable[MediaNames], resolve: Resolve) -> None:
        self._resolve = resolve
        names: dict[str, set[str]] = {}
        for roots, candidates in media:
            for root in roots:
                names.setdefault(root, set()).update(candidates, *(map(_other_forms, candidates)))
        self._roots = {root: resolve(root) for root in names}
        self._stats = {
            root: place.stats(names[root]) for root, place in self._roots.items() if not place.is_local
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
        # Folders as the plan writes them: absolute paths differ between machines.
        more = f" (or under {len(candidates) - 1} other names)" if len(candidates) > 1 else ""
        raise RejectError(Reason.MEDIA_MISSING, f"{candidates[0]}{more} is in none of {', '.join(roots)}")

    def later(self, roots: Sequence[str], first: Place) -> Iterator[tuple[int, Place]]:
        """Places of the same name in the folders after that of ``first``, with the folders' numbers.

        A local place may not exist.
        """
        places = list(self._below_each(roots, first.path))
        own = [place.location if place else None for place in places].index(first.location)
        for number, place in enumerate(places[own + 1 :], own + 2):
            if place is not None and place.location != first.location:
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
        """The Unicode form in which the name exists, if it does: file systems write é in one of two ways."""
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

"""Where links in a plan's media folders may lead: into any media folder, and into ``allow_links_to``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

from pipeline.plan.data import PrepConfig
from pipeline.storage.location import Location

Resolve = Callable[[str], Location]


def with_links(config: PrepConfig, resolve: Resolve) -> Resolve:
    """``resolve``, with the allowed targets of links set on each place."""
    folders = [*config.allow_links_to, *(root for source in config.sources for root in source.media)]
    places = [resolve(folder) for folder in dict.fromkeys(folders)]
    return partial(_resolve, resolve, tuple(place.uri for place in places if place.is_local))


def _resolve(resolve: Resolve, links_to: tuple[str, ...], path: str) -> Location:
    return replace(resolve(path), links_to=links_to)

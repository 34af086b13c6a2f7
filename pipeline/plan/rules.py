"""Rules of a source's entry for irregular records: keep, correct or reject them."""

from __future__ import annotations

from enum import StrEnum


class SecondsFrom(StrEnum):
    """The moment from which a source's annotations count seconds."""

    PLAYER = "player"  # where a player begins, which may be sound alone
    PICTURE = "picture"  # the first frame


class DurationMismatch(StrEnum):
    """What to do with a record whose own duration is not its video's."""

    KEEP = "keep"
    SCALE = "scale"  # times in seconds are stretched from the one to the other
    REJECT = "reject"


class EarlyMasks(StrEnum):
    """What to do with a record whose video has masks only in the first half of its frames, or in less."""

    KEEP = "keep"
    REJECT = "reject"

"""What a source's plan entry may say about irregular records: rules that keep, mend or reject them."""

from __future__ import annotations

from enum import StrEnum


class SecondsFrom(StrEnum):
    """What the seconds of a source's annotations count from."""

    PLAYER = "player"  # where a player begins, which may be sound alone
    PICTURE = "picture"  # the first frame


class DurationMismatch(StrEnum):
    """What becomes of a record whose own duration is not its video's."""

    KEEP = "keep"
    SCALE = "scale"  # times in seconds are stretched from the one to the other
    REJECT = "reject"


class EarlyMasks(StrEnum):
    """What becomes of a record whose video has masks in the first half of its frames alone, or in less."""

    KEEP = "keep"
    REJECT = "reject"

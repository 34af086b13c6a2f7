"""Random choices as functions of names: the same on every machine, in any order and in any process.

The names are the purpose, the seed and the sample: ``draw("region frame", seed, key)``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:  # those who only judge a plan need ``draw`` alone, and no NumPy
    import numpy as np

_GOLDEN: Final = 0x9E3779B97F4A7C15


def draw(*names: object) -> int:
    """64 bits that depend on the names alone, uniform over 0 to 2**64 - 1."""
    return int.from_bytes(hashlib.blake2b(_joined(names), digest_size=8).digest(), "big")


def draws(keys: Iterable[str], *names: object) -> np.ndarray:
    """[N] uint64: ``draw(*names, key)`` of each key."""
    import numpy as np

    return np.fromiter((draw(*names, key) for key in keys), np.uint64)


def mix_draws(hashes: np.ndarray, *names: object) -> np.ndarray:
    """Draws [N] uint64 mixed with more names: as good as new draws, in a few vector operations.

    The mixer is splitmix64's finaliser (Steele et al. 2014).
    """
    import numpy as np

    with np.errstate(over="ignore"):
        x = hashes ^ np.uint64(draw(*names))
        x = x + np.uint64(_GOLDEN)
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return x ^ (x >> np.uint64(31))


def stream(*names: object) -> np.random.Generator:
    """A counter-based generator that depends on the names alone."""
    import numpy as np

    key = int.from_bytes(hashlib.sha256(_joined(names)).digest()[:16], "big")
    return np.random.Generator(np.random.Philox(key=key))


def _joined(names: tuple[object, ...]) -> bytes:
    """The names with a separator, so that ("ab", "c") and ("a", "bc") differ."""
    return "\x1f".join(map(str, names)).encode()

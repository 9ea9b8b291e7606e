"""A deterministic 64-bit hash of integers, in bulk: what breaks ties where no other reason does.

Source: the finaliser of SplitMix64 (Steele, Lea, Flood: "Fast splittable pseudorandom number generators", OOPSLA
2014), applied to each input in turn. It is not a cryptographic hash and need not be one: nobody gains by choosing
which of two equal servers comes first.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_SEED = np.uint64(0x9E3779B97F4A7C15)
_FIRST_FACTOR = np.uint64(0xBF58476D1CE4E5B9)
_SECOND_FACTOR = np.uint64(0x94D049BB133111EB)


def mix(*values: NDArray[np.generic] | int) -> NDArray[np.uint64]:
    """Hash integers, broadcast against each other, into 64 evenly spread bits each.

    The same on every machine, for every hash seed and thread count: only wrapping arithmetic on unsigned integers.
    """
    hashed = np.asarray(_SEED)
    with np.errstate(over="ignore"):
        for value in values:
            hashed = (hashed ^ np.asarray(value).astype(np.uint64)) * _FIRST_FACTOR
            hashed = (hashed ^ (hashed >> np.uint64(27))) * _SECOND_FACTOR
            hashed ^= hashed >> np.uint64(31)
    return hashed

"""Clusters to place on: made by hand, or drawn by Hypothesis; and tenures that can be told apart."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

from reelstore.placement.builder import first_ring
from reelstore.placement.ring import Member, Ring


class Tenures:
    """Hand out 1, 2, 3, …: new each time, and the same again in the next run."""

    def __init__(self) -> None:
        self.drawn = 0

    def __call__(self, count: int) -> NDArray[np.uint64]:
        self.drawn += count
        return np.arange(self.drawn - count + 1, self.drawn + 1, dtype=np.uint64)


def cluster(servers: int, zones: int, weights: tuple[int, ...] = (10,)) -> list[Member]:
    """Number servers from 0, deal them out to the zones, and give them the weights in turn."""
    return [Member(n, f"zone-{n % zones}", weights[n % len(weights)]) for n in range(servers)]


def reweighted(members: list[Member], number: int, weight: int) -> list[Member]:
    """Give one server another weight."""
    return [Member(m.number, m.zone, weight if m.number == number else m.weight) for m in members]


def ring_of(members: list[Member], *, bits: int, width: int) -> Ring:
    """Build a first ring with numbered tenures."""
    return first_ring("default", members, partition_bits=bits, width=width, draw=Tenures())


@st.composite
def clusters(draw: st.DrawFn, *, least: int = 1, most: int = 20, zones: int = 6) -> list[Member]:
    """Draw servers of arbitrary numbers in some zones, weights 0 to 20, of which at least `least` are not draining."""
    count = draw(st.integers(least, most))
    names = [f"zone-{index}" for index in range(draw(st.integers(1, zones)))]
    numbers = draw(st.lists(st.integers(0, 40), min_size=count, max_size=count, unique=True))
    lightest = [1] * least + [0] * (count - least)
    return [
        Member(number, draw(st.sampled_from(names)), draw(st.integers(light, 20)))
        for number, light in zip(numbers, lightest, strict=True)
    ]


widths = st.integers(1, 6)
bits = st.integers(2, 9)

"""Hypothesis strategies: small awkward boxes, sizes and stacks."""

from __future__ import annotations

from hypothesis import strategies as st

from zblocks.geometry import Box, Vec


def vecs(low: int, high: int) -> st.SearchStrategy[Vec]:
    """Three whole numbers."""
    number = st.integers(low, high)
    return st.builds(Vec, number, number, number)


def sizes(high: int = 7) -> st.SearchStrategy[Vec]:
    """Sizes of at least one voxel."""
    return vecs(1, high)


def boxes() -> st.SearchStrategy[Box]:
    """Boxes of at least one voxel, anywhere, negative and odd places among them."""
    return st.builds(
        lambda start, size: Box(start, Vec(*(a + n for a, n in zip(start, size, strict=True)))),
        vecs(-9, 9),
        sizes(12),
    )

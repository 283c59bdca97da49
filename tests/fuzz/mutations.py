"""Ways to damage bytes, as hypothesis strategies: flips, truncation, splices, odd numbers."""

from __future__ import annotations

from hypothesis import strategies as st

ODD = (
    b"\0",
    b"\xff",
    b"\x7f\xff\xff\xff",
    b"\xff\xff\xff\xff",
    b"\0\0\0\0",
    b"\x80\0",
    b"\xff\xd9",
)

places = st.one_of(st.integers(0, 1 << 16), st.integers(0, 400))  # headers are at the beginning


def flip(data: bytes, at: int, other: int) -> bytes:
    """Turn one bit over."""
    out = bytearray(data)
    out[at % len(out)] ^= 1 << other % 8
    return bytes(out)


def cut(data: bytes, at: int, _other: int) -> bytes:
    """End early, but not before the magic bytes."""
    return data[: max(at % len(data), 8)]


def splice(data: bytes, at: int, other: int) -> bytes:
    """Put a piece of the data in another place of it."""
    at, other = at % len(data), other % len(data)
    return data[:at] + data[other : other + 64] + data[at:]


def drop(data: bytes, at: int, other: int) -> bytes:
    """Leave a piece out."""
    at %= len(data)
    return data[:at] + data[at + 1 + other % 64 :] or data


def put(data: bytes, at: int, other: int) -> bytes:
    """Write an odd number over some bytes."""
    at, odd = at % len(data), ODD[other % len(ODD)]
    return data[:at] + odd + data[at + len(odd) :]


changes = st.lists(
    st.tuples(st.sampled_from([flip, cut, splice, drop, put]), places, places),
    min_size=1,
    max_size=4,
)


def damaged(data: bytes, how: list) -> bytes:
    """Apply changes in turn."""
    for change, at, other in how:
        data = change(data, at, other) or data
    return data

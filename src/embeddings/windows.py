"""Texts longer than a model's window, and batches without waste: pure functions on token ids.

The window policy, which is part of every fingerprint: a text whose tokens do not fit in one window is cut into as few
windows as hold it, without overlap, whose sizes differ by at most one token (a short rest would be embedded without
context). Each carries the special tokens and the prefix. The text's vector is the mean of its windows' pooled vectors,
weighted by their own tokens, scaled to unit length. No token is left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from embeddings.encoder import Vectors

WINDOW_POLICY = "even-1"


@dataclass(frozen=True, slots=True)
class Window:
    """What the model sees at once."""

    text: int
    """Which text it belongs to."""
    ids: tuple[int, ...]
    """All token ids, special ones included."""
    own_tokens: int
    """Tokens of the text itself: its weight among the text's windows."""


def cut_windows(
    text: int,
    body: Sequence[int],
    before: tuple[int, ...],
    after: tuple[int, ...],
    window: int,
) -> list[Window]:
    """Cuts the tokens of one text into windows of at most ``window`` ids, ``before`` and ``after`` included.

    A text without tokens has one window of special tokens alone. Raises ``ValueError`` where nothing fits.
    """
    capacity = window - len(before) - len(after)
    if capacity < 1:
        raise ValueError(f"a window of {window} tokens has no room beside {len(before) + len(after)} fixed ones")
    count = max(1, -(-len(body) // capacity))
    bounds = [index * len(body) // count for index in range(count + 1)]
    return [Window(text, (*before, *body[start:end], *after), end - start) for start, end in pairwise(bounds)]


def plan_batches(lengths: Sequence[int], most_tokens: int) -> list[list[int]]:
    """Groups items by length, longest first, so that each group padded to its longest has at most ``most_tokens``.

    Returns the positions of the items. An item longer than the budget is alone in its batch.
    """
    batches: list[list[int]] = []
    room = 0
    for position in sorted(range(len(lengths)), key=lambda item: (-lengths[item], item)):
        if room == 0:
            batches.append([])
            room = max(1, most_tokens // max(1, lengths[position]))
        batches[-1].append(position)
        room -= 1
    return batches


def pool_windows(pooled: Vectors, windows: Sequence[Window], texts: int) -> Vectors:
    """From one vector a window, shape ``(len(windows), dimension)``, to one unit vector a text.

    A text with a window that is not finite, or whose mean is zero, gets a row of NaN.
    """
    import numpy as np  # noqa: PLC0415  (60 ms that a command which encodes nothing does not pay)

    sums = np.zeros((texts, pooled.shape[1]), dtype=np.float64)
    owners = np.fromiter((window.text for window in windows), dtype=np.int64, count=len(windows))
    weights = np.fromiter((max(1, window.own_tokens) for window in windows), dtype=np.float64, count=len(windows))
    with np.errstate(invalid="ignore", over="ignore", divide="ignore"):
        np.add.at(sums, owners, pooled.astype(np.float64) * weights[:, np.newaxis])
        # The largest entry is divided out first: squares of huge finite entries would overflow. NaN spreads over its
        # row by itself, and an infinite entry or a zero row becomes NaN here.
        largest = np.abs(sums).max(axis=1, keepdims=True, initial=0.0)
        rows = sums / largest
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    vectors: Vectors = rows.astype(np.float32)
    return vectors

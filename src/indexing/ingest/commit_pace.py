"""How long the text index may put off the commit of a change."""

from __future__ import annotations

from typing import Final

COMMIT_SHARE: Final = 6
"""Wait at least this many times as long as the last commit took."""


def commit_patience(interval: float, last_commit: float) -> float:
    """Return how long a change may wait for its commit to begin: under load a quarter longer than ``interval``.

    All in seconds. A commit writes a segment, and small segments are merged again and again: committing must not become
    the work.
    """
    return min(1.25 * interval, max(interval, COMMIT_SHARE * last_commit))

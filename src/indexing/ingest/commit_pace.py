"""How long the text index may put off the commit of a change."""

from __future__ import annotations

from typing import Final

COMMIT_SHARE: Final = 6
"""Wait at least this many times as long as the last commit took."""


QUIET_SECONDS: Final = 1.0
"""After so long without a commit a change is one of few: a file was saved."""
AT_ONCE_SECONDS: Final = 0.01


def commit_patience(interval: float, last_commit: float, quiet: float) -> float:
    """Return how long a change may wait for its commit to begin: under load a quarter longer than ``interval``.

    All in seconds; ``last_commit`` is what the last one took, ``quiet`` how long ago it was. A commit writes a segment,
    and small segments are merged again and again: committing must not become the work. What comes after a quiet time
    hardly waits: somebody may be looking for it.
    """
    if quiet > QUIET_SECONDS:
        return min(interval, AT_ONCE_SECONDS)
    return min(1.25 * interval, max(interval, COMMIT_SHARE * last_commit))

"""When something is done: how long changes are gathered, how long to wait after failures, how often to scan."""

from __future__ import annotations

from typing import Final

GATHER_MOST_SECONDS: Final = 0.5
"""While single changes keep coming, a job is handed in this long after the first of them."""
GATHER_STORM_SECONDS: Final = 2.0
"""The same where the whole tree is dirty: a branch switch should be one scan, not two."""
STORM_QUIET_TIMES: Final = 4
"""Times the debounce that a storm has to be silent for before it counts as over."""
SCAN_SHARE: Final = 20
"""Between two scans lie at least this many times as long as one takes, which is 5 % of one processor."""


def due(first: float, last: float, quiet_seconds: float, *, is_whole: bool) -> float:
    """Return when to hand in changes of which the first and the last came at these times."""
    if is_whole:
        return min(last + STORM_QUIET_TIMES * quiet_seconds, first + max(GATHER_STORM_SECONDS, quiet_seconds))
    return min(last + quiet_seconds, first + max(GATHER_MOST_SECONDS, quiet_seconds))


def delay(failures: int, *, first: float, most: float) -> float:
    """Return the seconds to wait after so many failures in a row: twice as long each time."""
    return min(most, first * 2.0 ** min(max(failures, 1) - 1, 30))


def scan_interval(scan_seconds: float, last_seconds: float) -> float:
    """Return the seconds between two scans of a tree whose last one took ``last_seconds``."""
    return max(scan_seconds, SCAN_SHARE * last_seconds)


def polling_interval(former: float, *, least: float, most: float, has_changed: bool) -> float:
    """Return the seconds until the next scan where there are no events: soon after a change, then ever more rarely."""
    return least if has_changed else min(most, max(least, former * 1.5))

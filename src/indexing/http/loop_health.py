"""What the times at which the event loop was held up say of the process."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

UNHEALTHY_WINDOWS: Final = 3
WINDOW_SECONDS: Final = 5.0


@dataclass(slots=True)
class LoopHealth:
    """Whether the event loop is held up again and again: once is a hiccup, three windows in a row are a defect."""

    _began: float
    _seen: int = 0
    _row: int = 0

    def look(self, times_held_up: int, now: float) -> bool:
        """Return whether the loop is healthy, given how often it was held up since the start; ``now`` in seconds."""
        if now - self._began >= WINDOW_SECONDS:
            self._row = self._row + 1 if times_held_up > self._seen else 0
            self._began, self._seen = now, times_held_up
        return self._row < UNHEALTHY_WINDOWS

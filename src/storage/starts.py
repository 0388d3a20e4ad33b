"""Notices a crash loop: starts that die before they serve, one after the other (fault 29)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from storage.registry import write_atomically

if TYPE_CHECKING:
    from pathlib import Path


def note_start(path: Path, *, now: float, window_seconds: float, most: int) -> bool:
    """Note that a start begins; return whether recovery should be attempted.

    Each start leaves its time in ``path`` until ``note_served`` removes them. When ``most`` - 1 earlier ones within
    the window never served, recovery itself is what crashes, and doing it again would only crash again.
    """
    recent = [moment for moment in _read(path) if 0 <= now - moment < window_seconds]
    if len(recent) >= most - 1:
        return False
    write_atomically(path, "\n".join(map(repr, [*recent, now])).encode())
    return True


def note_served(path: Path) -> None:
    """Note that this start came through its recovery."""
    path.unlink(missing_ok=True)


def _read(path: Path) -> list[float]:
    try:
        return [float(line) for line in path.read_text(encoding="ascii").split()]
    except (FileNotFoundError, ValueError):
        return []

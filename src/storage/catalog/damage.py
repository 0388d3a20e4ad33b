"""Moving a damaged catalog out of the way: the directory as a whole, so that no WAL is left beside another file."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_MARK = "damaged"


def mark_damaged(catalog: Path, reason: str) -> None:
    """Leave word for the next owner that this catalog is damaged."""
    (catalog.parent / _MARK).write_text(reason, encoding="utf-8")


def damage_mark(catalog: Path) -> str | None:
    """Return why the catalog was found damaged, if it was."""
    try:
        return (catalog.parent / _MARK).read_text(encoding="utf-8")
    except FileNotFoundError:
        return None


def set_aside(catalog: Path, *, now_ms: int) -> Path:
    """Rename the catalog's directory and make an empty one in its place; returns where the old one is."""
    directory = catalog.parent
    aside = directory.with_name(f"{directory.name}.damaged-{now_ms}")
    directory.rename(aside)
    directory.mkdir(mode=0o700)
    return aside

"""A place in a file as the command line names it."""

from __future__ import annotations

from pathlib import Path

from indexing.cli.exits import UsageError


def file_and_line(place: str) -> tuple[Path, int]:
    """Take ``FILE:LINE`` apart; the file's directory with its symbolic links followed, as roots are.

    Raises ``UsageError`` if it is something else.
    """
    name, colon, number = place.rpartition(":")
    if not (colon and name and number.isdecimal() and len(number) < 10 and int(number) > 0):
        raise UsageError(f"{place!r} is not FILE:LINE, such as src/app.py:120; lines begin at 1")
    path = Path(name).expanduser()
    return path.parent.resolve() / path.name, int(number)

"""What is written to people: escaped, coloured where it is seen, and never mixed with results."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING

from indexing.printable import printable

if TYPE_CHECKING:
    from collections.abc import Mapping

_SGR = {
    "path": "35",
    "line": "32",
    "match": "1;31",
    "name": "1;36",
    "dim": "2",
    "good": "32",
    "warn": "33",
    "bad": "31",
}
"""Select Graphic Rendition parameters (ECMA-48, 8.3.117) by what is marked."""


@dataclass(frozen=True, slots=True)
class Style:
    """Colours, or none."""

    colours: bool

    def __call__(self, mark: str, text: str) -> str:
        """Return ``text`` marked as what it is."""
        return f"\x1b[{_SGR[mark]}m{text}\x1b[0m" if self.colours and text else text


def style_for(stream: IO[str]) -> Style:
    """Return colours for a terminal that takes them, unless ``NO_COLOR`` is set (no-color.org)."""
    return Style(stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb")


def say(message: str) -> None:
    """Write a line for people to standard error."""
    sys.stderr.write(f"{printable(message)}\n")
    sys.stderr.flush()


def say_result(text: str) -> None:
    """Write a line of the result to standard output; names that cannot be encoded there are escaped."""
    encoding = sys.stdout.encoding or "utf-8"
    sys.stdout.write(text.encode(encoding, "backslashreplace").decode(encoding) + "\n")


def say_json(value: Mapping[str, object]) -> None:
    """Write one JSON object to standard output, in ASCII: terminals and old locales show it without harm."""
    sys.stdout.write(json.dumps(value, indent=2) + "\n")


def size(count: float) -> str:
    """Return a number of bytes in decimal units, such as ``1.2 MB``."""
    for unit in ("B", "kB", "MB", "GB"):
        if abs(count) < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"


def duration(seconds: float) -> str:
    """Return a time span in the two units that matter, such as ``2 min 5 s``."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    if whole < 48 * 3600:
        return f"{whole // 3600} h {whole % 3600 // 60} min"
    return f"{whole // 86400} days"

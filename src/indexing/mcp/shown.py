"""Text of files as an agent may safely read it: numbered, bounded, with nothing in it that does not show."""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

MAX_LINE_CHARACTERS: Final = 500
"""A longer line is cut: minified code would fill an agent's context."""
MAX_TEXT_CHARACTERS: Final = 60_000
"""Of one result; about 15,000 tokens."""

_HIDDEN: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
"""General categories (Unicode, chapter 4.5) that do not show: controls, format characters such as bidirectional marks
and tags, surrogates, private use, unassigned, line and paragraph separators."""


def visible(text: str) -> str:
    """Return text in which only tabs and what shows is left; the rest becomes ``\\uNNNN`` or ``\\UNNNNNNNN``.

    What a person reviewing a file cannot see must not reach an agent either, and a line must stay one line.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        char if char == "\t" or unicodedata.category(char) not in _HIDDEN else _escape(char) for char in text
    )


def line_of_code(number: int, text: str) -> str:
    """Return one line of a file under its number, cut where it is too long."""
    shown = visible(text[:MAX_LINE_CHARACTERS])
    cut = len(text) - MAX_LINE_CHARACTERS
    return f"{number}| {shown}" + (f" … {cut} more characters" if cut > 0 else "")


def numbered(lines: Iterable[tuple[int, str]], budget: int = MAX_TEXT_CHARACTERS) -> tuple[str, int | None]:
    """Return the lines under their numbers, and the number of the first that found no room in ``budget`` characters."""
    shown: list[str] = []
    for number, text in lines:
        line = line_of_code(number, text)
        budget -= len(line) + 1
        if budget < 0 and shown:
            return "\n".join(shown), number
        shown.append(line)
    return "\n".join(shown), None


def clean(value: Any) -> Any:
    """Return JSON values in which every string is ``visible``; lines breaks in it are kept."""
    if isinstance(value, str):
        return "\n".join(visible(line) for line in value.split("\n"))
    if isinstance(value, dict):
        return {visible(str(key)): clean(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [clean(each) for each in value]
    return value


def picked(row: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
    """Return those keys of a row that it has, cleaned; ``path_b64`` only where a path needs it."""
    there = (name for name in names if name in row and not (name == "path_b64" and row[name] is None))
    return {name: clean(row[name]) for name in there}


def _escape(char: str) -> str:
    code = ord(char)
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"

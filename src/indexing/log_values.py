"""What may stand in a log line: no secret, no character that a terminal or a log reader could be tricked with.

Names and contents of files, headers and paths of requests and messages of libraries all end up as values of events.
Neither renderer is trusted with them: what a program decodes from a JSON line may be printed to a terminal next.
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from indexing.printable import printable

if TYPE_CHECKING:
    from collections.abc import Mapping

Cleaned: TypeAlias = "str | int | float | bool | list[Cleaned] | dict[str, Cleaned] | None"

REDACTED: Final = "[redacted]"
LONGEST_TEXT: Final = 4_096
"""Characters of one value that are kept."""
MOST_LINES: Final = 200
"""Lines of a traceback or stack that are kept: the last ones, which say what was raised."""
MOST_ITEMS: Final = 100
_MOST_LEVELS: Final = 4

_SECRET_KEY: Final = re.compile(
    r"(?:^|[_-])(?:token|authorization|cookie|password|passwd|passphrase|secret|credential|api_?key|private_?key)s?$",
    re.IGNORECASE,
)
_SECRET_TEXT: Final = (
    # Ours, and those of the hubs that models and sources come from.
    # A name of a vector collection also begins with codetrove_, and is shorter.
    re.compile(r"\b(?:codetrove_[\w-]{40,}|(?:hf|gh[opsru]|github_pat|glpat)[_-][\w-]{16,})"),
    re.compile(r"(?<=\bBearer )\s*\S+|(?<=\bBasic )\s*[\w+/=-]{8,}", re.IGNORECASE),
    re.compile(r"(?<=://)[^\s/@:]+:[^\s/@]+(?=@)"),
    re.compile(r"(?<=[?&])(?:\w*token|code|password|secret|api_?key)=[^\s&#'\"]+", re.IGNORECASE),
    re.compile(r"(?<=codetrove_session=)[^\s;]+"),
)


def cleaned_event(event: Mapping[str, Any]) -> dict[str, Cleaned]:
    """Return the values of an event as they may be written."""
    return {printable(key): cleaned(value, key) for key, value in event.items()}


def cleaned(value: object, key: str = "", level: int = 0) -> Cleaned:
    """Return ``value`` without secrets, every text in it printable and bounded; what is no JSON becomes its text."""
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if _SECRET_KEY.search(key):
        return REDACTED
    if isinstance(value, str):
        return cleaned_text(value)
    if isinstance(value, bytes | bytearray):
        return cleaned_text(bytes(value[: LONGEST_TEXT + 1]).decode("utf-8", "backslashreplace"))
    if level < _MOST_LEVELS and isinstance(value, dict):
        items = list(value.items())[:MOST_ITEMS]
        return {cleaned_text(str(each)): cleaned(of, str(each), level + 1) for each, of in items}
    if level < _MOST_LEVELS and isinstance(value, list | tuple | set | frozenset):
        return [cleaned(each, key, level + 1) for each in list(value)[:MOST_ITEMS]]
    return cleaned_text(str(value))


def cleaned_text(text: str) -> str:
    """Return one line of printable text, at most ``LONGEST_TEXT`` characters of ``text``, secrets replaced."""
    whole = len(text)
    # Secrets before the cut: one that it goes through would no longer look like what it is.
    text = text[: 2 * LONGEST_TEXT]
    for pattern in _SECRET_TEXT:
        text = pattern.sub(REDACTED, text)
    return printable(text if whole <= LONGEST_TEXT else f"{text[:LONGEST_TEXT]}… (of {whole} characters)")


def cleaned_lines(text: str) -> list[str]:
    """Return the last ``MOST_LINES`` lines of a traceback or stack, each as one line of printable text."""
    return [cleaned_text(line) for line in text.rstrip("\n").split("\n")[-MOST_LINES:]]

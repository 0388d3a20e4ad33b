"""Words inside identifiers: ``HTTPServer2`` and ``http_server_2`` both hold ``http``, ``server`` and ``2``."""

from __future__ import annotations

import re
from typing import Final

LONGEST_IDENTIFIER: Final = 100
"""characters; anything longer is data (base64, hashes), not a name"""

_CACHED_WORDS: Final = 200_000
_LAST_DIGIT: Final = ord("9")
_WORD_BYTES = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_"
_BLANK_OTHERS = bytes(byte if byte in _WORD_BYTES or byte > 0x7F else 0x20 for byte in range(256))
_IDENTIFIER = re.compile(r"\w+")
_ASCII_PART = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")
_RUN = re.compile(r"\d+|[^\W\d_]+")


def identifier_parts(identifier: str) -> tuple[str, ...]:
    """Splits an identifier at case changes, digits, and whatever is neither letter nor digit; parts are lower case.

    A run of capitals belongs together, and its last one to the lower-case letters behind it: ``XMLHttp`` is
    ``xml``, ``http``. Empty when there is no letter or digit in it.
    """
    if identifier.isascii():
        return tuple(" ".join(_ASCII_PART.findall(identifier)).lower().split())
    return tuple(part.lower() for run in _RUN.findall(identifier) for part in _case_runs(run))


def compound_words(piece: bytes) -> str:
    """Parts of all compound identifiers in a piece of UTF-8 text, space-joined, in order of appearance.

    Each word counts once, so a part comes as often as there are words with it. An identifier is compound when it is
    more than one plain word: ``_cache`` gives ``cache``, ``cache`` nothing.
    """
    if len(_cache) > _CACHED_WORDS:
        _cache.clear()
    # Several times faster than a regular expression, which is left what signs beyond ASCII are attached to.
    words = dict.fromkeys(piece.translate(_BLANK_OTHERS).split())
    return " ".join(filter(None, map(_cache.__getitem__, words)))


class _Cache(dict[bytes, str]):
    """{word: parts of the compound identifiers in it}."""

    def __missing__(self, word: bytes) -> str:
        if word[0] <= _LAST_DIGIT:
            return ""
        if word.isascii():
            parts = _compound_parts(word.decode())
        else:
            found = _IDENTIFIER.findall(word.decode("utf-8", "replace"))
            parts = " ".join(filter(None, [_compound_parts(each) for each in found if not each[0].isdecimal()]))
        self[word] = parts
        return parts


_cache = _Cache()


def _compound_parts(identifier: str) -> str:
    """The parts, space-joined; empty for a plain word, whose only part is itself, and for what is too long."""
    if len(identifier) > LONGEST_IDENTIFIER or (identifier.isalpha() and identifier[1:].islower()):
        return ""
    if not identifier.isascii():
        parts = " ".join(identifier_parts(identifier))
        return "" if parts == identifier.lower() else parts
    plain = identifier.replace("_", "")
    if plain.isalpha() and (plain.islower() or plain.isupper()):
        return "" if len(plain) == len(identifier) else " ".join(identifier.lower().replace("_", " ").split())
    parts = " ".join(_ASCII_PART.findall(identifier)).lower()
    return "" if parts == identifier.lower() else parts


def _case_runs(run: str) -> list[str]:
    """Splits letters before a capital that follows a small letter, or that precedes one and follows a capital."""
    parts = []
    start = 0
    for at in range(1, len(run)):
        after_small = run[at].isupper() and not run[at - 1].isupper()
        before_small = run[at].isupper() and at + 1 < len(run) and run[at + 1].islower()
        if after_small or before_small:
            parts.append(run[start:at])
            start = at
    parts.append(run[start:])
    return parts

"""How raw path bytes are shown to people and carried through JSON."""

from __future__ import annotations

import base64

_SHORT = {"\n": "\\n", "\r": "\\r", "\t": "\\t", "\\": "\\\\"}


def display(path: bytes) -> str:
    """The path as one line of printable text that no terminal, log or page can be tricked with.

    Valid UTF-8 is kept. Backslash, line breaks and tab become ``\\\\ \\n \\r \\t``; bytes that are not UTF-8 and ASCII
    control characters become ``\\xNN``; every other character that does not print (bidirectional controls, zero-width
    characters, line separators, private use) becomes ``\\uNNNN`` or ``\\UNNNNNNNN``. Different paths always differ.
    """
    text = path.decode("utf-8", "surrogateescape")
    if "\\" not in text and text.isprintable():
        return text
    return "".join(_escape(char) for char in text)


def path_b64(path: bytes) -> str:
    """The exact path bytes in standard base64, for clients that must address a file whose name is not UTF-8."""
    return base64.b64encode(path).decode("ascii")


def _escape(char: str) -> str:
    if char in _SHORT:
        return _SHORT[char]
    if char.isprintable():
        return char
    code = ord(char)
    if 0xDC80 <= code <= 0xDCFF:  # a byte that surrogateescape could not decode
        return f"\\x{code - 0xDC00:02x}"
    if code < 0x80:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"

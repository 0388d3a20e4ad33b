"""Text from outside as text that can be shown anywhere: on a terminal, in a log line, in a header."""

from __future__ import annotations


def printable(text: str) -> str:
    """Return text in which nothing but printable characters and spaces is left; tabs become four spaces.

    What a file holds must not move the cursor, change colours, or turn the direction of writing (it becomes ``\\xNN``,
    ``\\uNNNN`` or ``\\UNNNNNNNN``).
    """
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else _escaped(char) for char in text)


def _escaped(char: str) -> str:
    if char == "\t":
        return "    "
    code = ord(char)
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"

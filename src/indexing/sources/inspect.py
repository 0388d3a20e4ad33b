"""Decides by the content whether a file is worth indexing, and what it should be marked as. Pure and cheap."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from indexing.sources.classify import Verdict
from indexing.sources.secret_scan import find_secret, is_mainly_a_key

if TYPE_CHECKING:
    from indexing.sources.rules import Policy, Rules
    from storage import FileFlag

_BINARY_WINDOW: Final = 8 * 1024
_BOMS = (b"\xff\xfe", b"\xfe\xff", b"\x00\x00\xfe\xff", b"\xef\xbb\xbf")
_HEAD_BYTES: Final = 8 * 1024
_HEAD_LINES: Final = 40
_DO_NOT_EDIT = re.compile(rb"\bdo not (?:edit|modify|change|alter)\b")
_COMMENT = re.compile(rb"\s*(?:[#;%*!'\"({/<-]|rem\b|dnl\b|\.\.|@)")
_AUTOMATIC = re.compile(
    rb"[\W_]*(?:this (?:file|code|source) (?:is|was|has been) )?(?:auto|automatically|machine)?[ -]?generated "
    rb"(?:by |from |file\b|code\b|using |with )"
)
_MIN_MINIFIED_BYTES: Final = 1_024
_MAX_AVERAGE_LINE = {b".js": 200, b".mjs": 200, b".cjs": 200, b".css": 200, b".html": 1_000, b".htm": 1_000}
_MAX_AVERAGE_LINE_ELSE: Final = 5_000


def inspect_content(path: bytes, data: bytes, rules: Rules, *, tracked: bool) -> Verdict:
    """The verdict on a file by all of its bytes; it adds to that of `classify`, which has seen the path."""
    if _is_binary(data):
        return Verdict("binary", detail=f"NUL in the first {_BINARY_WINDOW} bytes")
    if rules.secrets != "index" and is_mainly_a_key(data):
        return Verdict("secret", detail="most of the file is a private key")
    if rules.minified != "index" and _is_minified(path, data):
        return Verdict("minified", detail="very long lines on average")
    flags: set[FileFlag] = set()
    details: list[str] = []
    if _is_generated(data):
        if _skips(rules.generated, tracked=tracked):
            return Verdict("generated", detail="a comment at the top says so")
        flags.add("generated")
        details.append("a comment at the top says that it is generated")
    secret = find_secret(data)
    if secret:
        flags.add("suspected_secret")
        details.append(secret)
    return Verdict(flags=frozenset(flags), detail="; ".join(details))


def _is_binary(data: bytes) -> bool:
    window = data[:_BINARY_WINDOW]
    return b"\0" in window and not window.startswith(_BOMS) and not _looks_like_utf16(window)


def _looks_like_utf16(window: bytes) -> bool:
    """Text in UTF-16 without a mark: nearly all zero bytes are at the even offsets, or at the odd ones, and many."""
    half = len(window) // 2
    even, odd = window[: 2 * half : 2].count(0), window[1 : 2 * half : 2].count(0)
    many, few = max(even, odd), min(even, odd)
    return half >= 4 and many >= 0.7 * half and few <= 0.02 * half and _is_text(window, low=even < odd)


def _is_text(window: bytes, *, low: bool) -> bool:
    """Whether the other halves of the units are printable or white space."""
    chars = window[0 if low else 1 :: 2]
    return sum(char < 32 and char not in b"\t\n\r\f\0" for char in chars) == 0


def _is_minified(path: bytes, data: bytes) -> bool:
    if len(data) < _MIN_MINIFIED_BYTES:
        return False
    name = path.rpartition(b"/")[2].lower()
    dot = name.rfind(b".")
    limit = _MAX_AVERAGE_LINE.get(name[dot:], _MAX_AVERAGE_LINE_ELSE) if dot > 0 else _MAX_AVERAGE_LINE_ELSE
    return len(data) > limit and len(data) > limit * (1 + data.count(b"\n"))


def _is_generated(data: bytes) -> bool:
    head = data[:_HEAD_BYTES]
    if b"enerated" not in head and b"ENERATED" not in head:
        return False
    lines = head.lower().split(b"\n", _HEAD_LINES)[:_HEAD_LINES]
    for number, line in enumerate(lines):
        if b"generated" not in line or not _COMMENT.match(line):
            continue
        if b"@generated" in line or _AUTOMATIC.match(line):
            return True
        # The two halves of the notice often stand on neighbouring lines.
        if _DO_NOT_EDIT.search(b" ".join(lines[max(0, number - 1) : number + 3])):
            return True
    return False


def _skips(policy: Policy, *, tracked: bool) -> bool:
    return policy == "skip" or (policy == "auto" and not tracked)

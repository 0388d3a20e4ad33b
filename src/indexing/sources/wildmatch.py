"""Translates one gitignore glob to a regular expression over bytes that means what git's wildmatch means.

Matching takes time about linear in the path: for a shell glob the leftmost match of the piece after a star is always
as good as any later one (the rest of the subject only gets longer), so every star becomes an atomic group and nothing
is ever tried twice. A translation to plain ``.*`` backtracks exponentially in the number of ``**`` and polynomially of
high degree in the number of ``*``, which an ignore file from a stranger can use.

Semantics: gitignore(5) and wildmatch.c of git, with WM_PATHNAME for patterns that contain a slash.
"""

from __future__ import annotations

import re

_SPECIAL = frozenset(b"*?[\\")
_POSIX = {
    b"alnum": rb"0-9A-Za-z",
    b"alpha": rb"A-Za-z",
    b"blank": rb" \t",
    b"cntrl": rb"\x00-\x1f\x7f",
    b"digit": rb"0-9",
    b"graph": rb"\x21-\x7e",
    b"lower": rb"a-z",
    b"print": rb"\x20-\x7e",
    b"punct": rb"\x21-\x2f\x3a-\x40\x5b-\x60\x7b-\x7e",
    b"space": rb" \t-\r",
    b"upper": rb"A-Z",
    b"xdigit": rb"0-9A-Fa-f",
}


def literal_length(glob: bytes) -> int:
    """How many bytes stand before the first character with a special meaning."""
    return next((i for i, char in enumerate(glob) if char in _SPECIAL), len(glob))


def to_regex(glob: bytes, *, pathname: bool) -> bytes | None:
    """The expression that a whole subject must match (use ``re.match`` with ``re.DOTALL``), or None if nothing can.

    ``pathname``: the subject is a path, ``*``, ``?`` and classes do not match ``/``, and ``**`` between slashes matches
    any number of directories. Otherwise the subject is a single name.
    """
    start = literal_length(glob)
    out = [re.escape(glob[:start])]
    open_groups: list[bytes] = []  # of b"s" (star) and b"d" (directories), innermost last
    at = start
    while at < len(glob):
        char = glob[at : at + 1]
        if char == b"*":
            # git strips the literal beginning of a glob before wildmatch sees it: a ** right after it is a leading one.
            leading = at == start or glob[at - 1 : at] == b"/"
            at = _stars(glob, at, out, open_groups, directories=pathname and leading)
        elif char == b"?":
            out.append(rb"[^/]")
            at += 1
        elif char == b"[":
            translated = _bracket(glob, at)
            if translated is None:
                return None
            part, at = translated
            out.append(part)
        else:
            if char == b"\\":
                at += 1
                char = glob[at : at + 1]
                if not char:
                    return None
            out.append(re.escape(char))
            at += 1
    out.append(rb"\Z" + b")" * len(open_groups))
    return b"".join(out)


def _stars(glob: bytes, at: int, out: list[bytes], open_groups: list[bytes], *, directories: bool) -> int:
    """Translates the run of stars at ``glob[at]``; the offset after what was used.

    ``directories``: two and more of them, up to a slash or the end, stand for any number of directories.
    """
    end = at
    while glob[end : end + 1] == b"*":
        end += 1
    _close(out, open_groups, b"s")
    if not (directories and end - at > 1 and glob[end : end + 1] in {b"/", b""}):
        out.append(rb"(?>[^/]*?")
        open_groups.append(b"s")
        return end
    if end == len(glob):
        out.append(rb".*")
        return end
    _close(out, open_groups, b"d")
    out.append(rb"(?>(?:[^/]*/)*?")
    open_groups.append(b"d")
    return end + 1


def _close(out: list[bytes], open_groups: list[bytes], kind: bytes) -> None:
    """Ends the innermost group of a kind, and what is inside it: the next star of that kind begins."""
    while kind in open_groups:
        open_groups.pop()
        out.append(b")")


def _bracket(glob: bytes, at: int) -> tuple[bytes, int] | None:
    """The class that begins at ``glob[at]`` and the offset after it; None when it does not end (git: no match)."""
    at += 1
    negated = glob[at : at + 1] in {b"!", b"^"}
    at += negated
    items: list[bytes] = []
    first = True
    while first or glob[at : at + 1] != b"]":
        first = False
        if glob[at : at + 2] == b"[:":
            end = glob.find(b"]", at + 2)
            if end < 0:
                return None
            name = glob[at + 2 : end - 1]
            if end - 1 < at + 2 or glob[end - 1 : end] != b":":  # no class after all: a set that begins with [
                items.append(rb"\[")
                at += 1
                continue
            if name not in _POSIX:
                return None
            items.append(_POSIX[name])
            at = end + 1
            continue
        low = _class_char(glob, at)
        if low is None:
            return None
        char, at = low
        if glob[at : at + 1] == b"-" and glob[at + 1 : at + 2] not in {b"]", b""}:
            high = _class_char(glob, at + 1)
            if high is None:
                return None
            last, at = high
            if char <= last:
                items.append(b"\\x%02x-\\x%02x" % (char, last))
        items.append(b"\\x%02x" % char)  # also as the low end of a range that is empty
    members = b"".join(items)
    if negated:
        return rb"[^/" + members + b"]", at + 1
    return (rb"(?!/)[" + members + b"]" if members else rb"(?!)"), at + 1


def _class_char(glob: bytes, at: int) -> tuple[int, int] | None:
    if glob[at : at + 1] == b"\\":
        at += 1
    return (glob[at], at + 1) if at < len(glob) else None

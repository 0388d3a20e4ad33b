"""What a definition says about itself: the head before its body, and the comment or docstring that documents it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from indexing.cutting.definitions import Definition

MAX_SIGNATURE_CHARS: Final = 200
MAX_DOCSTRING_CHARS: Final = 300

_HEAD_BYTES = 4 * MAX_SIGNATURE_CHARS
_DOC_BYTES = 4000
_BODY_FIELDS = ("body", "value", "block")
_BODY_START = re.compile(rb"\{|;|\n\s*\n|=>?\s*\n|\bdo\s*\n|\bis\s*\n|\bbegin\b|\bwhere\b|[\r\n]")
_STRING = re.compile(rb"\s*[rRbBuU]{0,2}(\"\"\"|'''|\"|')")
_COMMENT_LINE = re.compile(
    rb"\s*(?://|#(?!\[|!\[|[ \t]*(?:define|include|ifn?def|if|elif|else|endif|undef|pragma|error)\b)|--|;|%|\*|/\*)"
)
_ATTRIBUTE_LINE = re.compile(rb"\s*(?:@\w|#!?\[|\[\w[^\n]*\]\s*$)")
_NEAR_BYTES = 400
_DECORATION = re.compile(r"^\s*(?:/\*+!?|\*+/|\*|//[/!]*<?|#+:?|--+\s*\|?|;+|%+!?|\(\*+|@(?:module)?doc)[ \t]?")
_COMMENT_END = re.compile(r"\s*(?:\*+/|\*+\)|-\}|\"\"\")\s*$")
_TAG = re.compile(r"^\s*[@\\](?:param|return|brief|throws|see|since)\b")


def signature_of(text: bytes, definition: Definition) -> str:
    """The head of a definition up to its body, white space collapsed, at most 200 characters; empty for headings."""
    node = definition.node
    if node is None:
        return ""
    start, end, body = node.start_byte, node.end_byte, None
    for name in _BODY_FIELDS:
        body = node.child_by_field_name(name)
        if body is not None:
            break
    if body is not None and body.start_byte > start:
        head = text[start : min(body.start_byte, start + _HEAD_BYTES)]
    else:
        head = text[start : min(end, start + _HEAD_BYTES)]
        cut = _BODY_START.search(head, 1)
        head = head[: cut.start()] if cut else head
    line = " ".join(head.decode("utf-8", "ignore").split())
    return line.rstrip("{=:; ").removesuffix("=>").rstrip()[:MAX_SIGNATURE_CHARS]


def docstring_of(text: bytes, definition: Definition) -> str:
    """The first paragraph of a definition's docstring, or of the comment directly before it, at most 300 characters."""
    node = definition.node
    if node is None:
        return ""
    body = node.child_by_field_name("body")
    inner = b"" if body is None else _leading_string(text, body.start_byte)
    return _first_paragraph(inner or _comment_before(text, definition.start))


def _leading_string(text: bytes, start: int) -> bytes:
    quote = _STRING.match(text, start, start + 200)
    if quote is None:
        return b""
    end = text.find(quote[1], quote.end(), quote.end() + _DOC_BYTES)
    return text[quote.end() : end if end != -1 else quote.end() + _DOC_BYTES]


def _comment_before(text: bytes, start: int) -> bytes:
    """The comment lines that end directly above ``start``, attributes and annotations between them left out."""
    # Most definitions have nothing above them, and that is found out cheaply.
    near = text[max(0, start - _NEAR_BYTES) : start].rstrip(b" \t")
    near = near[:-1].removesuffix(b"\r") if near.endswith(b"\n") else near.removesuffix(b"\r")
    line = near[max(near.rfind(b"\n"), near.rfind(b"\r")) + 1 :].strip()
    if not line or (line[0] not in b"/#;%@[*-" and not line.endswith((b"*/", b"*)", b"-}", b'"""'))):
        return b""
    window = text[max(0, start - _DOC_BYTES) : start]
    above = window.splitlines()
    if above and not window.endswith((b"\n", b"\r")):
        if above[-1].strip():
            return b""
        above.pop()
    while above and _ATTRIBUTE_LINE.match(above[-1]) and not above[-1].rstrip().endswith(b'"""'):
        above.pop()
    if not above:
        return b""
    last = above[-1].rstrip()
    opener = {b"*/": b"/*", b"-}": b"{-", b"*)": b"(*"}.get(last[-2:])
    if last.endswith(b'"""'):
        opener = b'"""'
    if opener is not None:
        return _block_above(above, opener)
    taken = len(above)
    while taken and _COMMENT_LINE.match(above[taken - 1]):
        taken -= 1
    return b"\n".join(above[taken:])


def _block_above(above: list[bytes], opener: bytes) -> bytes:
    block = b"\n".join(above)
    closing = len(block.rstrip()) - len(opener)
    begin = block.rfind(opener, 0, closing)
    if begin == -1:
        return b""
    before = block[block.rfind(b"\n", 0, begin) + 1 : begin].strip()
    return b"" if before and not before.startswith(b"@") else block[begin + len(opener) :]


def _first_paragraph(raw: bytes) -> str:
    taken: list[str] = []
    for line in raw.decode("utf-8", "ignore").splitlines():
        clean = _COMMENT_END.sub("", _DECORATION.sub("", line, count=1)).strip()
        if not clean.strip("-=*/#~_ "):
            if taken:
                break
            continue
        if taken and _TAG.match(clean):
            break
        taken.append(clean)
    return " ".join(" ".join(taken).split())[:MAX_DOCSTRING_CHARS]

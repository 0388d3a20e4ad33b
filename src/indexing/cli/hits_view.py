"""A hit as lines of text: where it is, why it was found, and what stands there. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from indexing.printable import printable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from indexing.cli.terminal import Style
    from indexing.search import Hit, SnippetLine, SymbolHit

_FACTORS = {
    "definition": "defines it",
    "coherence": "the file fits",
    "file_name": "its name fits",
    "text": "the text fits",
    "vector": "the meaning fits",
    "symbol_words": "its definition fits",
    "test": "a test",
    "vendored": "vendored",
    "generated": "generated",
    "aside": "an example",
    "prose": "documentation",
    "repeat": "more of the file above",
}
_LEGS = {"text": "text", "name": "symbol", "path": "path", "vector": "vector"}


def hit_lines(hit: Hit, style: Style, here: str) -> Iterator[str]:
    """Yield the lines of a hit; paths below ``here``, the working directory, are given relative to it."""
    where = f"{style('path', shown_path(hit.root, hit.path, here))}:{style('line', span(hit))}"
    yield f"{where}{_definition(hit, style)}"
    yield f"  {style('dim', why(hit))}"
    if hit.also_at:
        yield f"  {style('dim', 'also at ' + ', '.join(hit.also_at))}"
    width = len(str(hit.snippet[-1].number)) if hit.snippet else 0
    for line in hit.snippet:
        yield f"  {style('line', str(line.number).rjust(width))} {highlighted(line, style)}".rstrip()


def definition_line(found: SymbolHit, style: Style, here: str) -> str:
    """Return the line of a definition."""
    where = f"{style('path', shown_path(found.root, found.path, here))}:{style('line', str(found.start_line))}"
    name = printable(f"{found.scope}.{found.name}" if found.scope else found.name)
    return f"{where}  {found.kind} {style('name', name)}  {style('dim', printable(found.signature))}".rstrip()


def shown_path(root: str, path: str, here: str) -> str:
    """Return the path as it can be opened from the working directory."""
    full = f"{root.rstrip('/')}/{path}"
    inside = here.rstrip("/") + "/"
    return full.removeprefix(inside)


def span(hit: Hit) -> str:
    """Return the line, or the first and the last."""
    return str(hit.start_line) if hit.start_line == hit.end_line else f"{hit.start_line}-{hit.end_line}"


def why(hit: Hit) -> str:
    """Return what found the hit, what moved it up or down, and whether it is stale."""
    parts = [
        f"{_LEGS.get(name, name)} #{place.rank}" + (f" ({place.score:.2f})" if name == "vector" else "")
        for name, place in sorted(hit.scores.legs.items())
    ]
    for name, factor in hit.scores.factors.items():
        if f"{factor:.2g}" != "1":
            parts.append(f"{_FACTORS.get(name, name)} x{factor:.2g}")
    if hit.stale:
        parts.append("STALE: the file has changed since")
    return " · ".join(parts)


def highlighted(line: SnippetLine, style: Style) -> str:
    """Return a line with the words of the query marked and everything that does not print escaped."""
    parts, at = [], 0
    for start, end in line.matches:
        parts.append(printable(line.text[at:start]))
        parts.append(style("match", printable(line.text[start:end])))
        at = end
    return "".join([*parts, printable(line.text[at:])])


def _definition(hit: Hit, style: Style) -> str:
    if not hit.symbol:
        return ""
    name = printable(f"{hit.scope}.{hit.symbol}" if hit.scope else hit.symbol)
    kind = f"{hit.kind} " if hit.kind else ""
    return f"  {kind}{style('name', name)}"

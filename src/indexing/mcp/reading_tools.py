"""The tools that read: from checked arguments to a text for the agent and the same as structured content."""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING, Any

from indexing.asks import SearchAsk, SymbolAsk, TextAsk
from indexing.mcp.answer import Answer
from indexing.mcp.errors import ToolFailed
from indexing.mcp.inputs import MAX_LINES
from indexing.mcp.shown import MAX_TEXT_CHARACTERS, clean, numbered, picked, visible
from indexing.mcp.status_lines import job_line, status_lines

if TYPE_CHECKING:
    from collections.abc import Mapping

    from indexing.mcp.caller import Caller
    from indexing.mcp.inputs import FindSymbolInput, NoInput, ReadChunkInput, SearchCodeInput

DEFAULT_LINES = 200
_PLACE = ("repository", "root", "path", "path_b64", "start_line", "end_line", "language")
_HIT = (*_PLACE, "symbol", "kind", "scope", "signature", "score", "stale", "also_at")
_DEFINITION = (*_PLACE, "name", "kind", "scope", "signature")
_TEXT = (
    "repository", "path", "path_b64", "start_line", "end_line", "lines_total", "language", "indexed_hash", "stale",
)  # fmt: skip
_REPOSITORY = ("uuid", "root", "name", "files", "chunks", "scanned_at", "job", "problems")


async def search_code(caller: Caller, given: SearchCodeInput) -> Answer:
    """Search, and show each hit's best lines."""
    ask = SearchAsk(
        given.query,
        k=given.limit,
        repositories=await _chosen(caller, given.repository),
        paths=tuple(given.paths),
        languages=tuple(language.lower() for language in given.languages),
        mode=given.mode,
        consistency=given.consistency,
        snippet_lines=given.snippet_lines,
    )
    found = await caller.answers.search(caller.principal, ask)
    hits, left = [], MAX_TEXT_CHARACTERS
    for hit in found["hits"]:
        snippet, _ = numbered(((line["line"], line["text"]) for line in hit["snippet"]), max(left, 0))
        left -= len(snippet)
        hits.append({"also_at": [], "stale": None, **picked(hit, _HIT), "snippet": snippet})
    content = {
        "query": given.query,
        "complete": bool(found["complete"]),
        "degraded": clean(list(found.get("degraded", ()))),
        "pending": clean(list(found.get("pending", ()))),
        "hits": hits,
    }
    lines = [f"{len(hits)} hits" if hits else "nothing found", *_reservations(content)]
    for place, hit in enumerate(hits, 1):
        stale = " · STALE: the file has changed since" if hit["stale"] else ""
        lines += ["", f"{place}. {_header(hit, hit['symbol'])}{stale}"]
        if hit["also_at"]:
            lines.append(f"also at {', '.join(hit['also_at'][:3])}")
        lines.append(hit["snippet"])
    return Answer(lines, content)


async def find_symbol(caller: Caller, given: FindSymbolInput) -> Answer:
    """Find definitions by name."""
    ask = SymbolAsk(
        given.name,
        k=given.limit,
        matching=given.matching,
        repositories=await _chosen(caller, given.repository),
        languages=tuple(language.lower() for language in given.languages),
    )
    found = await caller.answers.symbols(caller.principal, ask)
    definitions = [picked(each, _DEFINITION) for each in found["definitions"]]
    lines = [f"{len(definitions)} definitions" if definitions else "no definition found"]
    if not found["complete"]:
        lines.append("there are more; narrow with repository, languages or a qualified name")
    for place, each in enumerate(definitions, 1):
        lines.append(f"{place}. {_header(each, each['name'])}")
        if each["signature"]:
            lines.append(f"   {' '.join(each['signature'].split())}")
    return Answer(lines, {"name": given.name, "complete": bool(found["complete"]), "definitions": definitions})


async def read_chunk(caller: Caller, given: ReadChunkInput) -> Answer:
    """Read lines of an indexed file."""
    end = given.start_line + DEFAULT_LINES - 1 if given.end_line is None else given.end_line
    if end < given.start_line:
        raise ToolFailed(f"end_line {end} is before start_line {given.start_line}")
    if end - given.start_line >= MAX_LINES:
        raise ToolFailed(f"lines {given.start_line} to {end} are more than {MAX_LINES}; ask for fewer at once")
    uuid = await caller.repository(given.repository)
    found = await caller.answers.text(caller.principal, TextAsk(uuid, _path_of(given), given.start_line, end))
    first = int(found["start_line"])
    texts = _lines_of(found["text"])
    shown, unshown = numbered(enumerate(texts, first))
    content = {
        "stale": None,
        **picked(found, _TEXT),
        "end_line": int(found["end_line"]) if unshown is None else unshown - 1,
        "truncated": unshown is not None,
        "text": shown,
    }
    last, total = content["end_line"], content["lines_total"]
    lines = [f"{content['path']} · lines {first}-{last} of {total} · {content['language'] or 'text'}"]
    if content["stale"]:
        lines.append("STALE: the file has changed on disk since it was indexed")
    lines.append(shown)
    if last < total:
        lines.append(f"(more: start_line={last + 1})")
    return Answer(lines, content)


async def list_repositories(caller: Caller, _: NoInput) -> Answer:
    """List what the caller may search."""
    rows = [
        {"scanned_at": None, "job": None, "problems": [], **picked(row, _REPOSITORY)}
        for row in (await caller.answers.repositories(caller.principal))["repositories"]
    ]
    lines = [f"{len(rows)} repositories" if rows else "nothing is indexed yet; run: codetrove index DIRECTORY"]
    for row in rows:
        lines.append(
            f"{row['root']} · {row['uuid']} · {row['files']} files, {row['chunks']} chunks"
            f" · scanned {row['scanned_at'] or 'never'}"
        )
        if row["job"]:
            lines.append(f"   {job_line(row['job'])}")
        lines += [f"   problem: {problem}" for problem in row["problems"]]
    return Answer(lines, {"repositories": rows})


async def index_status(caller: Caller, _: NoInput) -> Answer:
    """Tell how complete and fresh the index is."""
    found = clean(await caller.answers.status(caller.principal))
    return Answer(status_lines(found), {"status": found})


async def _chosen(caller: Caller, named: str | None) -> tuple[str, ...]:
    return () if named is None else (await caller.repository(named),)


def _header(place: Mapping[str, Any], name: str) -> str:
    """``ROOT/path:1-9 · function Class.name · python``."""
    path = f"{place['root'].rstrip('/')}/{place['path']}"
    scope = f"{place['scope']}." if place["scope"] and name else ""
    named = f"{place['kind']} {scope}{name}".strip() if name else ""
    return " · ".join(
        part for part in (f"{path}:{place['start_line']}-{place['end_line']}", named, place["language"]) if part
    )


def _reservations(content: Mapping[str, Any]) -> list[str]:
    lines = [f"degraded: {reason}" for reason in content["degraded"]]
    if not content["complete"]:
        lines.append("the search reached its bound; a narrower query may find more")
    pending = content["pending"]
    if pending:
        lines.append(f"not searchable yet: changes in {len(pending)} repositories; consistency=wait waits for them")
    return lines


def _path_of(given: ReadChunkInput) -> bytes:
    if given.path_b64 is None:
        return given.path.encode("utf-8", "replace")
    try:
        return base64.b64decode(given.path_b64, validate=True)
    except (binascii.Error, ValueError) as error:
        raise ToolFailed(f"path_b64 {visible(given.path_b64[:80])!r} is no base64; copy it from a hit") from error


def _lines_of(text: str) -> list[str]:
    """The lines as an editor counts them (``\\r\\n``, ``\\n``, ``\\r``)."""
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    return lines[:-1] if lines[-1] == "" else lines

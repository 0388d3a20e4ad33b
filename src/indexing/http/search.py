"""Search, definitions, similar code, and lines of indexed files over HTTP.

Answers go from `Queries` to bytes in one step: they are described by models, and not checked against them again.
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Annotated, Any, Final

import msgspec
from fastapi import APIRouter, Path, Query
from starlette.responses import Response

from indexing.access import Principal
from indexing.asks import SearchAsk, SimilarAsk, SymbolAsk, TextAsk
from indexing.http.context import Context
from indexing.http.search_models import (
    FileText,
    SearchAnswer,
    SearchBody,
    SearchParameters,
    SimilarAnswer,
    SimilarBody,
    SymbolAnswer,
    SymbolParameters,
    TextParameters,
)
from indexing.http.security import needs
from indexing.http.strict_json import StrictRoute
from indexing.search import BadRequest

if TYPE_CHECKING:
    from pydantic import BaseModel

router = APIRouter(tags=["search"], route_class=StrictRoute)

Caller = Annotated[Principal, needs("read")]

_JSON: Final = "application/json"
_encode = msgspec.json.Encoder().encode


def _answers(model: type[BaseModel], description: str) -> dict[int | str, dict[str, Any]]:
    return {200: {"model": model, "description": description}}


@router.post("/search", response_class=Response, responses=_answers(SearchAnswer, "The best hits, best first"))
async def search(body: SearchBody, caller: Caller, context: Context) -> Response:
    """Search for words, names, paths and meaning."""
    ask = SearchAsk(
        body.query,
        k=body.k,
        repositories=tuple(body.repositories),
        paths=tuple(body.paths),
        languages=tuple(body.languages),
        mode=body.mode,
        consistency=body.consistency,
        wait_ms=body.wait_ms,
        snippet_lines=body.snippet_lines,
    )
    return _json(await context.queries.search(caller, ask))


@router.get("/search", response_class=Response, responses=_answers(SearchAnswer, "The best hits, best first"))
async def search_by_address(wanted: Annotated[SearchParameters, Query()], caller: Caller, context: Context) -> Response:
    """Search, with everything in the address: for links, and for trying out."""
    ask = SearchAsk(
        wanted.q,
        k=wanted.limit,
        repositories=tuple(wanted.repository),
        paths=tuple(wanted.path),
        languages=tuple(wanted.language),
        mode=wanted.mode,
        consistency=wanted.consistency,
        wait_ms=wanted.wait_ms,
    )
    return _json(await context.queries.search(caller, ask))


@router.get("/symbols", response_class=Response, responses=_answers(SymbolAnswer, "Definitions, best first"))
async def symbols(wanted: Annotated[SymbolParameters, Query()], caller: Caller, context: Context) -> Response:
    """Look up where a name is defined."""
    ask = SymbolAsk(
        wanted.name,
        k=wanted.limit,
        matching=wanted.matching,
        repositories=tuple(wanted.repository),
        languages=tuple(wanted.language),
    )
    return _json(await context.queries.symbols(caller, ask))


@router.post("/similar", response_class=Response, responses=_answers(SimilarAnswer, "The nearest pieces of code"))
async def similar(body: SimilarBody, caller: Caller, context: Context) -> Response:
    """Find what is like the piece of code that holds a line of an indexed file."""
    ask = SimilarAsk(
        body.repository,
        path_bytes(body.path, body.path_b64),
        body.line,
        k=body.k,
        repositories=tuple(body.repositories),
        languages=tuple(body.languages),
        snippet_lines=body.snippet_lines,
    )
    return _json(await context.queries.similar(caller, ask))


@router.get(
    "/repositories/{uuid}/text", response_class=Response, responses=_answers(FileText, "Lines of the indexed file")
)
async def text(
    uuid: Annotated[str, Path(max_length=100)],
    wanted: Annotated[TextParameters, Query()],
    caller: Caller,
    context: Context,
) -> Response:
    """Read lines of a file as it was indexed; 2,000 at most."""
    ask = TextAsk(uuid, path_bytes(wanted.path, wanted.path_b64), wanted.start, wanted.end)
    return _json(await context.queries.text(caller, ask))


def path_bytes(path: str | None, path_b64: str | None) -> bytes:
    """Return the exact bytes of a path that is given as text, or in base64 where its bytes are no UTF-8.

    Raises ``BadRequest`` unless exactly one is given and names a file.
    """
    if (path is None) == (path_b64 is None):
        raise BadRequest("exactly one of path and path_b64 must be given")
    try:
        found = path.encode() if path is not None else base64.b64decode(path_b64 or "", validate=True)
    except ValueError as error:  # of both: binascii.Error is one
        raise BadRequest("the path is neither text nor base64 (standard alphabet, with padding)") from error
    if not found:
        raise BadRequest("the path is empty; give one relative to the root")
    return found


def _json(answer: dict[str, Any]) -> Response:
    return Response(_encode(answer), media_type=_JSON)

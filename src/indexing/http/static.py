"""The web page: files of this package, read once, served at ``/`` and below ``/static/`` to whoever asks.

They hold nothing of what is indexed. Only names that are in the package are answered, so no path can lead out of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from importlib.resources import files
from typing import TYPE_CHECKING, Final

from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import Route

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fastapi import FastAPI
    from starlette.requests import Request

TYPES: Final = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
"""{suffix: media type} of everything the page may be made of."""

PAGE_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    # Turns each attempt to make markup from a string into an error.
    "require-trusted-types-for 'script'; trusted-types 'none'"
)
"""Content security policy of the page: its own files, nothing inline, no other host."""


@dataclass(frozen=True, slots=True)
class PageFile:
    """One file of the page."""

    content: bytes
    media_type: str
    etag: str
    """strong, quoted"""

    @classmethod
    def of(cls, name: str, content: bytes) -> PageFile:
        """Make it from its name and bytes; raises KeyError for a suffix that has no media type in ``TYPES``."""
        suffix = name[name.rindex(".") :]
        return cls(content, TYPES[suffix], f'"{sha256(content).hexdigest()[:32]}"')


def page_files() -> dict[str, PageFile]:
    """Return {name: file} of the page, from the installed package."""
    directory = files("indexing.http") / "page"
    return {each.name: PageFile.of(each.name, each.read_bytes()) for each in directory.iterdir() if each.is_file()}


def mount_page(app: FastAPI) -> None:
    """Add ``/`` and ``/static/{name}`` to an application; both are public, and absent from its OpenAPI document."""
    found = page_files()

    async def index(request: Request) -> Response:
        return _answer(request, found["index.html"])

    async def static(request: Request) -> Response:
        return _answer(request, _named(found, request.path_params["name"]))

    app.router.routes.append(Route("/", index, name="page"))
    app.router.routes.append(Route("/static/{name:path}", static, name="static"))


def is_current(if_none_match: str, etag: str) -> bool:
    """Whether a client that sends this ``If-None-Match`` has the file already (RFC 9110, section 13.1.2)."""
    known = {each.strip().removeprefix("W/") for each in if_none_match.split(",")}
    return etag in known or "*" in known


def _named(found: Mapping[str, PageFile], name: str) -> PageFile:
    file = found.get(name)
    if file is None:
        raise HTTPException(404, "the page has no such file")
    return file


def _answer(request: Request, file: PageFile) -> Response:
    headers = {
        "Content-Security-Policy": PAGE_POLICY,
        "ETag": file.etag,
        # Asked for again each time: after an upgrade no tab mixes files of two versions.
        "Cache-Control": "no-cache",
    }
    if is_current(request.headers.get("If-None-Match", ""), file.etag):
        return Response(status_code=304, headers=headers)
    return Response(file.content, media_type=file.media_type, headers=headers)

"""The OpenAPI document: what FastAPI finds in the routes, with problems, credentials and limits beside it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from fastapi.openapi.utils import get_openapi

from indexing.http.problems import PROBLEM_JSON

if TYPE_CHECKING:
    from fastapi import FastAPI
    from fastapi.routing import APIRoute

TAGS: Final[list[dict[str, Any]]] = [
    {"name": "search", "description": "Questions to the index."},
    {"name": "jobs", "description": "Bringing the index up to date, and watching how it goes."},
    {"name": "repositories", "description": "Which source trees are indexed."},
    {"name": "flags", "description": "Settings that are changed while the service runs."},
    {"name": "status", "description": "How the index and the process are."},
    {"name": "probes", "description": "For whoever supervises the process; public."},
]

_PROBLEM: Final[dict[str, Any]] = {
    "type": "object",
    "description": "An error (RFC 9457).",
    "required": ["type", "title", "status", "detail", "correlation_id"],
    "properties": {
        "type": {"type": "string", "description": "'about:blank', or 'urn:codetrove:' and the name of the problem."},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "correlation_id": {"type": "string", "description": "As in X-Correlation-Id, and in the log."},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "where": {"type": "array", "items": {"anyOf": [{"type": "string"}, {"type": "integer"}]}},
                    "message": {"type": "string"},
                },
            },
        },
    },
}


def _problem(description: str) -> dict[str, Any]:
    return {
        "description": description,
        "content": {PROBLEM_JSON: {"schema": {"$ref": "#/components/schemas/Problem"}}},
    }


PROBLEMS: Final[dict[int | str, dict[str, Any]]] = {
    400: _problem("The request cannot be read"),
    401: _problem("No token, or one that is not known"),
    403: _problem("The token may not do that, or the origin is foreign"),
    404: _problem("There is no such thing, as far as the caller sees"),
    405: _problem("Not with this method"),
    408: _problem("The request took too long to arrive"),
    409: _problem("Not as things stand now"),
    413: _problem("The body is longer than service.max_body_bytes"),
    415: _problem("The body is no application/json"),
    421: _problem("The Host header names somebody else"),
    422: _problem("The request is not what the route takes"),
    429: _problem("Too many requests; Retry-After says when to come again"),
    500: _problem("An error in codetrove itself"),
    503: _problem("Not now: shutting down, busy, no room, or a part is missing"),
}
"""What any route may answer."""

_LIMITS: Final = """\
Every request needs a token (`Authorization: Bearer`, or the cookie of a signed-in page), but for the probes.
What the token does not see is not there: it is a 404 like anything unknown.

Limits: bodies of `service.max_body_bytes`, JSON only; `service.requests_per_second` requests a second of one token;
`service.max_concurrent_requests` at once; `service.max_event_streams` event streams; 200 hits; 10,000 characters of a
query; 10,000 paths of a job. Times are RFC 3339 in UTC. Paths are printable; where that is not the exact path, a second
field ending in `_b64` is.
"""


def operation_id(route: APIRoute) -> str:
    """Return the name under which clients made from the document call a route."""
    return route.name


def describe(app: FastAPI) -> dict[str, Any]:
    """Return the OpenAPI document, made once."""
    if app.openapi_schema is None:
        schema = get_openapi(
            title=app.title,
            version=app.version,
            summary=app.summary,
            description=_LIMITS,
            routes=app.routes,
            tags=app.openapi_tags,
        )
        components = schema.setdefault("components", {})
        components.setdefault("schemas", {})["Problem"] = _PROBLEM
        components["securitySchemes"] = {
            "token": {"type": "http", "scheme": "bearer"},
            "session": {"type": "apiKey", "in": "cookie", "name": "codetrove_session"},
        }
        schema["security"] = [{"token": []}, {"session": []}]
        _mark_public(schema)
        app.openapi_schema = schema
    return app.openapi_schema


def _mark_public(schema: dict[str, Any]) -> None:
    for path in ("/healthz", "/readyz"):
        for operation in schema["paths"].get(path, {}).values():
            operation["security"] = []

"""What a route asks of its caller, said in the route itself: routes that ask nothing can be searched for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from fastapi import Depends, HTTPException
from fastapi.routing import APIRoute, RouteContext, iter_route_contexts
from starlette.requests import Request  # noqa: TC002 - FastAPI reads the annotation
from starlette.routing import Mount

from indexing.access import Principal, Scope

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fastapi import FastAPI
    from fastapi.dependencies.models import Dependant

PUBLIC_PATHS: Final = frozenset({"/", "/healthz", "/readyz"})
PUBLIC_TREE: Final = "/static/"


@dataclass(frozen=True, slots=True)
class Need:
    """A dependency that gives the caller, if it may."""

    scope: Scope
    all_repositories: bool

    async def __call__(self, request: Request) -> Principal:
        """Return the principal; raises HTTPException 401 without one, 403 for one that may not."""
        principal = getattr(request.state, "principal", None)
        if not isinstance(principal, Principal):
            raise HTTPException(401, "a token is needed", {"WWW-Authenticate": "Bearer"})
        if not principal.may(self.scope):
            raise HTTPException(403, f"this needs a token with the scope {self.scope!r}; {principal.name!r} has not")
        if self.all_repositories and principal.repositories is not None:
            raise HTTPException(403, f"this needs a token for all repositories; {principal.name!r} has not")
        return principal


def needs(scope: Scope, *, all_repositories: bool = False) -> Any:
    """Return what a route takes its caller from, as an annotation of it.

    ``caller: Annotated[Principal, needs("read")]``.
    With ``all_repositories`` a token that is limited to some does not do, as what is asked concerns them all.
    """
    return Depends(Need(scope, all_repositories))


def scopes_of(app: FastAPI) -> Iterator[tuple[str, str, Scope | None]]:
    """Every (method, path template, scope) of an application; the scope is None where a route asks for none."""
    for route in iter_route_contexts(app.routes):
        need = _need_of(route)
        for method in sorted(route.methods or ()):
            yield method, str(route.path), None if need is None else need.scope


def unguarded_routes(app: FastAPI) -> list[str]:
    """Return the paths of routes that ask nothing of their caller and are not meant to be public."""
    return [str(route.path) for route in iter_route_contexts(app.routes) if not _is_guarded(route)]


def is_public(path: str) -> bool:
    """Whether everyone may read a path; `Guard` lets no path with dot segments get this far."""
    return path in PUBLIC_PATHS or path.startswith(PUBLIC_TREE)


def _is_guarded(route: RouteContext) -> bool:
    # What is below a mounted application cannot be seen from here.
    is_mount = isinstance(route.original_route, Mount)
    return not is_mount and (_need_of(route) is not None or is_public(str(route.path)))


def _need_of(route: RouteContext) -> Need | None:
    dependant = getattr(route, "dependant", None) if isinstance(route.original_route, APIRoute) else None
    return None if dependant is None else _need_in(dependant)


def _need_in(dependant: Dependant) -> Need | None:
    for each in dependant.dependencies:
        if isinstance(each.call, Need):
            return each.call
        if (found := _need_in(each)) is not None:
            return found
    return None

"""Pages without stale hits: what has changed on disk since it was indexed is dropped, and more is asked for."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from indexing.search import MAX_K

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from indexing.search import SearchRequest, SearchResult


async def fresh_page(
    request: SearchRequest, search: Callable[[SearchRequest], Awaitable[SearchResult]]
) -> SearchResult:
    """Return the best hits that are as they are on disk; what is not on disk, as a commit, cannot be stale.

    Asks for more hits while too few are left, up to `MAX_K`; what is then still short says ``complete: false``.
    """
    wanted = request.k
    while True:
        result = await search(replace(request, k=wanted))
        fresh = tuple(hit for hit in result.hits if not hit.stale)
        has_all = len(result.hits) < wanted
        if len(fresh) >= request.k or has_all or wanted >= MAX_K:
            complete = result.complete and (has_all or len(fresh) >= request.k)
            return replace(result, hits=fresh[: request.k], complete=complete)
        missing = request.k - len(fresh)
        wanted = min(MAX_K, max(2 * wanted, wanted + 2 * missing))

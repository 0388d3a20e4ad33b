"""What passes between a daemon and its page process, in frames."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import msgspec

from indexing.search.legs import Filters
from indexing.search.page import LegsFound, Words
from indexing.search.records import SearchRequest, SearchResult
from storage import TextHit, TextHits


class PageTask(msgspec.Struct, frozen=True, array_like=True):
    """What the legs found, and how it is to be shown. Without a path filter: that is a function."""

    request: SearchRequest
    text: tuple[TextHit, ...]
    names: tuple[TextHit, ...]
    files: dict[int, float]
    near: dict[bytes, float]
    exhausted: bool
    can_widen: bool
    degraded: tuple[str, ...]

    def filters(self) -> Filters:
        """The filters of the search."""
        return Filters.without_paths(self.request)

    def found(self) -> LegsFound:
        """What the legs found."""
        # Whether a leg is exhausted was judged already.
        words = Words(TextHits(self.text, exhausted=True), TextHits(self.names, exhausted=True), self.files)
        return LegsFound(words, self.near, self.exhausted, self.can_widen, self.degraded)


class PageAnswer(msgspec.Struct, frozen=True, array_like=True):
    """A page, nothing where the legs must go further, or why there is none."""

    result: dict[str, Any] | None = None
    cut_ids: tuple[int, ...] = ()
    problem: str = ""

    def page(self) -> SearchResult | None:
        """The page."""
        if self.result is None:
            return None
        return replace(SearchResult.from_json(self.result), cut_ids=self.cut_ids)


def task_of(found: LegsFound, request: SearchRequest) -> PageTask:
    """The task of making a page; the request must be without a path filter."""
    words = found.words
    return PageTask(
        request,
        tuple(words.text.hits),
        tuple(words.names.hits),
        dict(words.files),
        dict(found.near),
        found.exhausted,
        found.can_widen,
        found.degraded,
    )


def answer_of(result: SearchResult | None) -> PageAnswer:
    """The answer that holds a page."""
    return PageAnswer() if result is None else PageAnswer(result.to_json(), result.cut_ids)


decode_task = msgspec.msgpack.Decoder(PageTask).decode
decode_answer = msgspec.msgpack.Decoder(PageAnswer).decode

"""What passes between a daemon and its page process: frames of MessagePack, each behind its length."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

import msgspec

from indexing.search.join import Rows
from indexing.search.legs import Filters
from indexing.search.page import LegsFound, Words
from indexing.search.records import SearchRequest, SearchResult
from storage import TextHit, TextHits

LENGTH_BYTES: Final = 4


class PageTask(msgspec.Struct, frozen=True, array_like=True):
    """What the legs found, and how it is to be shown. Without a path filter: that is a function."""

    request: SearchRequest
    languages: tuple[str, ...] | None
    text: tuple[TextHit, ...]
    names: tuple[TextHit, ...]
    paths: tuple[TextHit, ...]
    cosines: dict[int, float]
    near_cuts: dict[int, int]
    exhausted: bool
    can_widen: bool
    degraded: tuple[str, ...]

    def filters(self) -> Filters:
        """The filters of the search."""
        languages = None if self.languages is None else frozenset(self.languages)
        return Filters(self.request.repositories, languages, None, None)

    def found(self) -> LegsFound:
        """What the legs found; the catalog is asked for all rows."""
        # Whether a leg is exhausted was judged already.
        legs = (TextHits(each, exhausted=True) for each in (self.text, self.names, self.paths))
        return LegsFound(
            Words(*legs), self.cosines, Rows(), self.near_cuts, self.exhausted, self.can_widen, self.degraded
        )


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


def task_of(found: LegsFound, request: SearchRequest, filters: Filters) -> PageTask:
    """The task of making a page; ``filters`` must be without a path filter."""
    words = found.words
    return PageTask(
        request,
        None if filters.languages is None else tuple(filters.languages),
        tuple(words.text.hits),
        tuple(words.names.hits),
        tuple(words.paths.hits),
        dict(found.cosines),
        dict(found.near_cuts),
        found.exhausted,
        found.can_widen,
        found.degraded,
    )


def answer_of(result: SearchResult | None) -> PageAnswer:
    """The answer that holds a page."""
    return PageAnswer() if result is None else PageAnswer(result.to_json(), result.cut_ids)


def frame(message: object) -> bytes:
    """A message as a frame."""
    body = _encoder.encode(message)
    return len(body).to_bytes(LENGTH_BYTES, "big") + body


_encoder = msgspec.msgpack.Encoder()
decode_task = msgspec.msgpack.Decoder(PageTask).decode
decode_answer = msgspec.msgpack.Decoder(PageAnswer).decode

"""What the Weaviate client raises, translated once.

The client's exceptions are enumerated in a test: one that a later version adds does not get through unseen.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import grpc
import httpx
from weaviate import exceptions as foreign

from storage.errors import (
    DimensionMismatch,
    VectorsRefused,
    VectorStoreDamaged,
    VectorStoreError,
    VectorStoreUnavailable,
)

REFUSED: tuple[type[Exception], ...] = (
    foreign.AuthenticationFailedError,
    foreign.InsufficientPermissionsError,
    foreign.MissingScopeError,
    foreign.WeaviateInvalidInputError,
    foreign.WeaviateInsertInvalidPropertyError,
    foreign.WeaviateUnsupportedFeatureError,
    foreign.SchemaValidationError,
    foreign.InvalidDataModelError,
)
"""The same call fails again, whatever the server's state."""

_PRESSURE = re.compile(
    r"read.?only|memory pressure|not enough memory|too many requests|RESOURCE_EXHAUSTED|exhausted|rate limit|429|"
    r"disk usage too high|memory usage too high",
    re.IGNORECASE,
)
_DIMENSIONS = re.compile(
    r"dimensions? do(?:es)? not match|vector lengths? (?:don't|do not) match|with length \d+", re.IGNORECASE
)
_TOO_LARGE = re.compile(r"larger than max|message.{0,20}too large|exceeds.{0,20}limit", re.IGNORECASE)
_GONE = re.compile(
    r"could not find class|class .{1,300} not (?:found|present)|collection .{1,300} (?:not found|does not exist)",
    re.IGNORECASE,
)


class Pressure(VectorStoreUnavailable):
    """The server has too much to do, or no room; less at once, later."""


class MessageTooLarge(VectorsRefused):
    """The call holds more bytes than the server takes in one message."""


@contextmanager
def translated(doing: str, where: str) -> Iterator[None]:
    """Turn what the client raises into errors of ``storage``; ``doing`` what, at ``where``, is in the message."""
    try:
        yield
    except VectorStoreError:
        raise
    except (foreign.WeaviateBaseError, grpc.RpcError, httpx.HTTPError, OSError) as error:
        raise kind_of(error)(f"{doing}: Weaviate at {where} said: {_one_line(error)}") from error


@asynccontextmanager
async def answered(doing: str, where: str, seconds: float) -> AsyncIterator[None]:
    """Like `translated`, and give up after ``seconds``: the client tries a silent server again for a minute.

    Raises ``VectorStoreUnavailable`` then; what was asked may still be done.
    """
    with translated(doing, where):
        try:
            async with asyncio.timeout(seconds):
                yield
        except TimeoutError as error:
            raise VectorStoreUnavailable(f"{doing}: Weaviate at {where} gave no answer in {seconds:g} s") from error


def kind_of(error: Exception) -> type[VectorStoreError]:
    """Return what an exception of the client means to us."""
    message = str(error)
    if _TOO_LARGE.search(message):
        return MessageTooLarge
    if _PRESSURE.search(message):
        return Pressure
    if _DIMENSIONS.search(message):
        return DimensionMismatch
    if _GONE.search(message):
        return VectorStoreDamaged
    if isinstance(error, REFUSED):
        return VectorsRefused
    # What a server in trouble answers is no statement on the data: it is asked again.
    return VectorStoreUnavailable


def kind_of_message(message: str) -> type[VectorStoreError] | None:
    """Return what the server's message on one object means; None where it says nothing that we know."""
    if _PRESSURE.search(message):
        return Pressure
    if _GONE.search(message):
        return VectorStoreDamaged
    return DimensionMismatch if _DIMENSIONS.search(message) else None


def _one_line(error: Exception) -> str:
    text = " ".join(str(error).split())
    return text[:500] or type(error).__name__

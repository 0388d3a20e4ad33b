"""Reads JSON bodies so that there is one reading of them: what a strict reader refuses is refused with 422.

Python's own reader lets the last of two equal keys win, takes ``NaN``, and lets lone surrogates through, which break
whatever encodes them later.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Final

from fastapi.routing import APIRoute
from starlette.requests import Request

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from starlette.responses import Response

MOST_DIGITS: Final = 30
"""Of a whole number; longer ones mean nothing here, and take quadratic time to read."""

_SURROGATE: Final = re.compile(rb"\\u[dD][89a-fA-F]")


class StrictRoute(APIRoute):
    """A route whose body is read by `strict_loads`."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return the handler of the route, given a request that reads strictly."""
        handle = super().get_route_handler()

        async def strictly(request: Request) -> Response:
            return await handle(_StrictRequest(request.scope, request.receive))

        return strictly


class _StrictRequest(Request):
    async def json(self) -> Any:
        if not hasattr(self, "_strict_json"):
            self._strict_json = strict_loads(await self.body())
        return self._strict_json


def strict_loads(body: bytes) -> Any:
    """Return the value of a JSON text in UTF-8.

    Raises ``json.JSONDecodeError`` for what is no JSON by RFC 8259, and for equal keys in one object, numbers that no
    float or 30 digits can hold, lone surrogates, and nesting too deep to read.
    """
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise json.JSONDecodeError("not UTF-8", "", error.start) from None
    try:
        value = json.loads(
            text, object_pairs_hook=_object, parse_constant=_constant, parse_int=_whole, parse_float=_number
        )
        # A pair of escapes is one character by now; what is left of them is alone.
        if _SURROGATE.search(body):
            json.dumps(value, ensure_ascii=False).encode("utf-8")
    except RecursionError:
        raise json.JSONDecodeError("nested too deep", "", 0) from None
    except UnicodeEncodeError:
        raise json.JSONDecodeError("a lone surrogate", "", 0) from None
    except _Refused as error:
        raise json.JSONDecodeError(str(error), "", 0) from None
    return value


class _Refused(Exception):
    pass


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise _Refused("the same key twice in one object")
    return found


def _constant(name: str) -> float:
    raise _Refused(f"{name} is no number")


def _whole(digits: str) -> int:
    if len(digits.lstrip("-")) > MOST_DIGITS:
        raise _Refused(f"a number of {len(digits)} digits, more than {MOST_DIGITS}")
    return int(digits)


def _number(digits: str) -> float:
    number = float(digits)
    if number in (float("inf"), float("-inf")):
        raise _Refused("a number too large")
    return number

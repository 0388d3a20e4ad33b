"""Takes plain values of options and arguments as they are.

Typer has pydantic check every value, also of what was not given. To load that takes longer than a search does, so it
is left to what is not plain: values that are wrong, and kinds that are not named here.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin

from typer.core import TyperArgument, TyperOption

if TYPE_CHECKING:
    from collections.abc import Callable


def spare_checks() -> None:
    """Let the parameters of all commands take plain values without pydantic."""
    for kind in (TyperArgument, TyperOption):
        kind.process_value = _sparing(kind.process_value)  # type: ignore[method-assign]


def _sparing(checked: Callable[..., Any]) -> Callable[..., Any]:
    def process_value(parameter: Any, context: Any, value: Any) -> Any:
        plain, taken = _taken(parameter, value)
        if not plain:
            return checked(parameter, context, value)
        return taken if parameter.callback is None else parameter.callback(context, parameter, taken)

    return process_value


def _taken(parameter: Any, value: Any) -> tuple[bool, Any]:
    """Return whether a value is plain, and what typer would make of it."""
    descriptor = getattr(parameter, "type_descriptor", None)  # versions of typer without it do not need pydantic
    if descriptor is None or (parameter.required and not value):
        return False, None
    kind, info = descriptor.annotation, descriptor.parameter_info
    several = parameter.multiple or parameter.nargs == -1
    if value is None:
        return True, () if several else None
    if not several:
        taken = _plain(kind, value, info)
        return taken is not None, taken
    if get_origin(kind) is not list or not isinstance(value, (list, tuple)):
        return False, None
    all_taken = [_plain(get_args(kind)[0], each, info) for each in value]
    return None not in all_taken, all_taken


def _plain(kind: Any, value: Any, info: Any) -> Any:
    """Return the value as its kind, None if it is not plain."""
    if kind in (int, float):
        number = int(value) if kind is int and _is_short_number(value) else value
        return number if type(number) is kind and _within(number, info.min, info.max) else None
    if not isinstance(value, str) or not _is_unicode(value):
        return None
    if kind is str:
        return value
    if kind is Path:  # none of our options asks more of a path
        return Path(value) if os.access(value, os.R_OK) else None
    return value if get_origin(kind) is Literal and value in get_args(kind) else None


def _is_short_number(value: object) -> bool:
    return isinstance(value, str) and len(value) < 10 and value.isascii() and value.isdecimal()


def _is_unicode(value: str) -> bool:
    """Whether a value has no bytes that are no UTF-8, which pydantic refuses."""
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _within(number: int, lowest: float | None, highest: float | None) -> bool:
    return (lowest is None or number >= lowest) and (highest is None or number <= highest)

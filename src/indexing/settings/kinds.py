"""What the groups of settings are made of: kinds of values, and the base of a group."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, TypeAlias

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, StringConstraints

MIB = 1024 * 1024


def _no_truth_value(value: object) -> object:
    """Refuses ``true`` where a number is meant; pydantic would read it as 1."""
    if isinstance(value, bool):
        raise ValueError("a number is expected, not a truth value")  # noqa: TRY004 - pydantic reports only ValueErrors
    return value


def _absolute(path: Path) -> Path:
    """Expands ``~`` and refuses a path whose meaning depends on the working directory."""
    expanded = path.expanduser()
    if not expanded.is_absolute():
        raise ValueError("an absolute path, or one that begins with ~, is expected")
    return expanded


Count: TypeAlias = Annotated[int, BeforeValidator(_no_truth_value)]
AbsolutePath: TypeAlias = Annotated[Path, AfterValidator(_absolute)]
HostName: TypeAlias = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._:\[\]-]{1,253}$")]
Glob: TypeAlias = Annotated[str, StringConstraints(min_length=1, max_length=1024)]
FilePolicy: TypeAlias = Literal["auto", "skip", "index"]


class Group(BaseModel):
    """Some keys that belong together."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

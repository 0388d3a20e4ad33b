"""Asks the owner for its flags, and prints flags whoever named them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from indexing.cli.exits import ExitCode, UsageError
from indexing.cli.terminal import say_json, say_result
from indexing.printable import printable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from indexing.control import ControlClient

FLAGS_SCHEMA: Final = 1


def list_of(owner: ControlClient, *, as_json: bool) -> ExitCode:
    """Print all flags of an owner; returns the exit code. Raises the errors of ``control``."""
    return show_flags(owner.get("/flags")["flags"], as_json=as_json)


def change_of(owner: ControlClient, name: str, value: bool | None, *, as_json: bool) -> ExitCode:
    """Change a flag of an owner, which heeds it at once, and print all flags; returns the exit code."""
    known = [flag["name"] for flag in owner.get("/flags")["flags"]]
    if name not in known:
        raise UsageError(f"there is no flag {name!r}; there is {', '.join(known)}")
    return show_flags(owner.patch("/flags", {name: value})["flags"], as_json=as_json)


def show_flags(flags: Sequence[dict[str, Any]], *, as_json: bool) -> ExitCode:
    """Print flags as ``GET /flags`` shows them; returns the exit code."""
    if as_json:
        by_name = {flag["name"]: {key: value for key, value in flag.items() if key != "name"} for flag in flags}
        say_json({"schema": FLAGS_SCHEMA, "flags": by_name})
        return ExitCode.OK
    width = max(len(flag["name"]) for flag in flags)
    for flag in flags:
        where = "stored" if flag["stored"] else "from the settings"
        if flag["changed_at"] and flag["stored"]:
            where += f" at {flag['changed_at']} by {printable(flag['changed_by'])}"
        say_result(f"{flag['name']:{width}}  {str(flag['value']).lower():5}  ({where})")
    return ExitCode.OK

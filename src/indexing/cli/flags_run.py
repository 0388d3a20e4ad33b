"""What ``codetrove flags`` reads and stores; where there is an owner, that does it, and at once."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from indexing.cli.exits import UsageError
from indexing.cli.flags_show import show_flags
from indexing.flags import Flags, UnknownFlag, flag_named
from storage import DataDirectory, Ownership, load_registry

if TYPE_CHECKING:
    from indexing.cli.exits import ExitCode
    from indexing.flags import FlagState
    from indexing.settings import Settings


async def run_list(settings: Settings, *, as_json: bool) -> ExitCode:
    """Print all flags; returns the exit code."""
    flags = await asyncio.to_thread(_stored, settings)
    return show_flags(_as_json(flags), as_json=as_json)


async def run_change(settings: Settings, name: str, value: bool | None, *, as_json: bool) -> ExitCode:
    """Store a flag, or (None) its absence, and print all flags; returns the exit code."""
    try:
        flag_named(name)
    except UnknownFlag as error:
        raise UsageError(str(error)) from error
    directory = DataDirectory(settings.storage.data_dir)
    await asyncio.to_thread(directory.prepare)
    with ExitStack() as stack:
        await asyncio.to_thread(stack.enter_context, Ownership(directory))
        flags = await asyncio.to_thread(_stored, settings)
        await (flags.unset(name) if value is None else flags.set(name, value))
    return show_flags(_as_json(flags), as_json=as_json)


def _stored(settings: Settings) -> Flags:
    directory = settings.storage.data_dir
    return Flags(settings, directory, load_registry(directory))


def _as_json(flags: Flags) -> list[dict[str, Any]]:
    """The flags as ``GET /flags`` shows them."""
    return [_flag(each) for each in flags.describe()]


def _flag(state: FlagState) -> dict[str, Any]:
    return {
        "name": state.name,
        "value": state.value,
        "stored": state.stored,
        "description": state.description,
        "changed_at": None if state.changed_at is None else _moment(state.changed_at),
        "changed_by": state.changed_by,
    }


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")

"""What ``codetrove flags`` reads and stores."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack
from typing import TYPE_CHECKING

from indexing.cli.exits import ExitCode, UsageError
from indexing.cli.terminal import say_json, say_result
from indexing.flags import FLAGS, Flags, UnknownFlag, flag_named
from storage import DataDirectory, Ownership, load_registry

if TYPE_CHECKING:
    from indexing.settings import Settings


async def run_list(settings: Settings, *, as_json: bool) -> ExitCode:
    """Print all flags; returns the exit code."""
    flags = await asyncio.to_thread(_stored, settings)
    _print(flags, as_json=as_json)
    return ExitCode.OK


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
    _print(flags, as_json=as_json)
    return ExitCode.OK


def _stored(settings: Settings) -> Flags:
    directory = settings.storage.data_dir
    return Flags(settings, directory, load_registry(directory))


def _print(flags: Flags, *, as_json: bool) -> None:
    values = {name: (getattr(flags, name), name in flags.overrides) for name in FLAGS}
    if as_json:
        say_json(
            {"schema": 1, "flags": {name: {"value": value, "stored": own} for name, (value, own) in values.items()}}
        )
        return
    for name, (value, own) in values.items():
        say_result(f"{name}  {str(value).lower()}  ({'stored' if own else 'from the settings'})")

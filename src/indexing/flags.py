"""Flags: settings that are changed while the program runs, kept as overrides of config.yaml in ``registry.json``."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Final, Literal, TypeAlias, get_args

import structlog

from storage import change_registry

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from indexing.settings import Settings
    from storage import Registry

log = structlog.get_logger(__name__)

FlagName: TypeAlias = Literal["enable_parallel"]
FLAGS: Final[tuple[FlagName, ...]] = get_args(FlagName)


class UnknownFlag(ValueError):
    """There is no flag of that name."""


class Flags:
    """The flags of one data directory: what is stored wins over the settings."""

    def __init__(self, settings: Settings, data_directory: Path, overrides: dict[str, object]) -> None:
        """Begin with the stored ``overrides``; one that is no flag, or no truth value, is passed over."""
        self._settings = settings
        self._directory = data_directory
        self._overrides: dict[str, bool] = {
            name: value for name, value in overrides.items() if name in FLAGS and isinstance(value, bool)
        }
        self._listeners: list[Callable[[FlagName], Awaitable[None]]] = []
        self._saving = asyncio.Lock()

    @property
    def enable_parallel(self) -> bool:
        """Whether several workers cut files at the same time."""
        return self._overrides.get("enable_parallel", self._settings.indexing.enable_parallel)

    @property
    def overrides(self) -> dict[str, bool]:
        """The flags that do not follow the settings now."""
        return dict(self._overrides)

    def on_change(self, listener: Callable[[FlagName], Awaitable[None]]) -> None:
        """Call ``listener`` after each change, once it is stored."""
        self._listeners.append(listener)

    async def set(self, name: str, value: bool) -> None:  # noqa: FBT001 - a name and its value
        """Override the settings, now and in later runs. Raises ``UnknownFlag`` and the errors of the registry."""
        await self._change(name, value)

    async def unset(self, name: str) -> None:
        """Follow the settings again. Raises ``UnknownFlag`` and the errors of the registry."""
        await self._change(name, None)

    async def _change(self, name: str, value: bool | None) -> None:  # noqa: FBT001
        flag = flag_named(name)
        async with self._saving:
            changed = dict(self._overrides)
            changed.pop(flag, None)
            if value is not None:
                changed[flag] = value
            # Stored first: what took effect must still hold after a crash.
            await asyncio.to_thread(_store, self._directory, changed)
            self._overrides = changed
            log.info("flag.changed", flag=flag, value="unset" if value is None else value)
            for listener in self._listeners:
                await listener(flag)


def flag_named(name: str) -> FlagName:
    """Return the flag of that name; raises ``UnknownFlag``, which lists those there are."""
    for flag in FLAGS:
        if flag == name:
            return flag
    raise UnknownFlag(f"there is no flag {name!r}; there is {', '.join(FLAGS)}")


def _store(directory: Path, overrides: dict[str, bool]) -> None:
    def changed(registry: Registry) -> Registry:
        others = {name: value for name, value in registry.flags.items() if name not in FLAGS}
        return replace(registry, flags=others | overrides)

    change_registry(directory, changed)

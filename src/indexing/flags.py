"""Flags: settings that are changed while the program runs, kept as overrides of config.yaml in ``registry.json``."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from time import time
from typing import TYPE_CHECKING, Final, Literal, TypeAlias, get_args

import structlog

from indexing.settings.schema import key_fields
from storage import FlagChange, change_registry

if TYPE_CHECKING:
    from pathlib import Path

    from indexing.settings import Settings
    from storage import Registry

log = structlog.get_logger(__name__)

FlagName: TypeAlias = Literal["enable_parallel", "auto_reindex", "hybrid_search"]
FLAGS: Final[tuple[FlagName, ...]] = get_args(FlagName)
Listener: TypeAlias = Callable[[FlagName], Awaitable[None]]

KEYS: Final[dict[FlagName, str]] = {
    "enable_parallel": "indexing.enable_parallel",
    "auto_reindex": "watch.auto_reindex",
    "hybrid_search": "search.hybrid_search",
}
"""The settings that they override."""
KEPT_CHANGES: Final = 100


class UnknownFlag(ValueError):
    """There is no flag of that name."""


@dataclass(frozen=True, slots=True)
class FlagState:
    """A flag as it is now."""

    name: FlagName
    value: bool
    stored: bool
    """whether it overrides the settings"""
    description: str
    changed_at: float | None
    """seconds since 1970; None where nobody changed it, or too long ago to be kept"""
    changed_by: str
    """name of the token, or ``local``; empty where nobody changed it"""


class Flags:
    """The flags of one data directory: what is stored wins over the settings."""

    def __init__(self, settings: Settings, data_directory: Path, stored: Registry) -> None:
        """Begin with what the registry holds; an override that is no flag, or no truth value, is passed over."""
        self._settings = settings
        self._directory = data_directory
        self._overrides: dict[str, bool] = {
            name: value for name, value in stored.flags.items() if name in FLAGS and isinstance(value, bool)
        }
        self._changes = stored.flag_changes
        self._listeners: list[Listener] = []
        self._saving = asyncio.Lock()

    @property
    def enable_parallel(self) -> bool:
        """Whether several workers cut files at the same time."""
        return self._overrides.get("enable_parallel", self._settings.indexing.enable_parallel)

    @property
    def auto_reindex(self) -> bool:
        """Whether changed files are indexed by themselves."""
        return self._overrides.get("auto_reindex", self._settings.watch.auto_reindex)

    @property
    def hybrid_search(self) -> bool:
        """Whether searches use vectors where there are any."""
        return self._overrides.get("hybrid_search", self._settings.search.hybrid_search)

    @property
    def overrides(self) -> dict[str, bool]:
        """The flags that do not follow the settings now."""
        return dict(self._overrides)

    @property
    def changes(self) -> tuple[FlagChange, ...]:
        """Who changed what and when, the latest last; the last ``KEPT_CHANGES``."""
        return self._changes

    def describe(self) -> list[FlagState]:
        """Return every flag as it is now."""
        last = {change.flag: change for change in self._changes}
        return [self._state(name, last.get(name)) for name in FLAGS]

    def on_change(self, listener: Listener) -> None:
        """Call ``listener`` after each change, once it is stored."""
        self._listeners.append(listener)

    async def set(self, name: str, value: bool, *, by: str = "local") -> None:  # noqa: FBT001 - a name and its value
        """Override the settings, now and in later runs. Raises ``UnknownFlag`` and the errors of the registry."""
        await self.change({name: value}, by=by)

    async def unset(self, name: str, *, by: str = "local") -> None:
        """Follow the settings again. Raises ``UnknownFlag`` and the errors of the registry."""
        await self.change({name: None}, by=by)

    async def change(self, values: dict[str, bool | None], *, by: str) -> None:
        """Set some flags, and unset those whose value is None; all of them or, after an error, none.

        ``by`` names the caller. Raises ``UnknownFlag`` and the errors of the registry.
        """
        named = {flag_named(name): value for name, value in values.items()}
        async with self._saving:
            overrides = {name: value for name, value in self._overrides.items() if name not in named}
            overrides |= {name: value for name, value in named.items() if value is not None}
            now = int(time() * 1000)
            made = [FlagChange(name, value, now, by) for name, value in named.items()]
            changes = (*self._changes, *made)[-KEPT_CHANGES:]
            # Stored first: what took effect must still hold after a crash.
            await asyncio.to_thread(_store, self._directory, overrides, changes)
            self._overrides, self._changes = overrides, changes
            for name, value in named.items():
                log.info("flag.changed", flag=name, value="unset" if value is None else value, by=by)
                for listener in self._listeners:
                    await listener(name)

    def _state(self, name: FlagName, last: FlagChange | None) -> FlagState:
        return FlagState(
            name=name,
            value=getattr(self, name),
            stored=name in self._overrides,
            description=str(key_fields()[KEYS[name]].description),
            changed_at=None if last is None else last.at_ms / 1000,
            changed_by="" if last is None else last.by,
        )


def flag_named(name: str) -> FlagName:
    """Return the flag of that name; raises ``UnknownFlag``, which lists those there are."""
    for flag in FLAGS:
        if flag == name:
            return flag
    raise UnknownFlag(f"there is no flag {name!r}; there is {', '.join(FLAGS)}")


def _store(directory: Path, overrides: dict[str, bool], changes: tuple[FlagChange, ...]) -> None:
    def changed(registry: Registry) -> Registry:
        others = {name: value for name, value in registry.flags.items() if name not in FLAGS}
        return replace(registry, flags=others | overrides, flag_changes=changes)

    change_registry(directory, changed)

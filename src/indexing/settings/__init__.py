"""What can be configured, and how it is read: command line, then environment, then config.yaml, then defaults."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from indexing.settings.errors import SettingsError
from indexing.settings.where import default_config_path

if TYPE_CHECKING:
    from indexing.settings.kinds import MIB
    from indexing.settings.load import load_settings
    from indexing.settings.schema import (
        NO_MODEL,
        DiscoverySettings,
        EmbeddingsSettings,
        IndexingSettings,
        LogSettings,
        RecoverySettings,
        SearchSettings,
        Settings,
        StorageSettings,
        TextSettings,
    )
    from indexing.settings.service_schema import ServiceSettings, WatchSettings, WeaviateSettings

__all__ = [
    "MIB",
    "NO_MODEL",
    "DiscoverySettings",
    "EmbeddingsSettings",
    "IndexingSettings",
    "LogSettings",
    "RecoverySettings",
    "SearchSettings",
    "ServiceSettings",
    "Settings",
    "SettingsError",
    "StorageSettings",
    "TextSettings",
    "WatchSettings",
    "WeaviateSettings",
    "default_config_path",
    "load_settings",
]

_LATER = {
    "MIB": "kinds",
    "load_settings": "load",
    "ServiceSettings": "service_schema",
    "WatchSettings": "service_schema",
    "WeaviateSettings": "service_schema",
}
"""What is not in ``schema``. Checking settings takes pydantic: who only asks an owner loads none of it."""


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"indexing.settings.{_LATER.get(name, 'schema')}"), name)

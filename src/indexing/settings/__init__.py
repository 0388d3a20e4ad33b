"""What can be configured, and how it is read: command line, then environment, then config.yaml, then defaults."""

from __future__ import annotations

from indexing.settings.errors import SettingsError
from indexing.settings.load import default_config_path, load_settings
from indexing.settings.schema import (
    MIB,
    NO_MODEL,
    DiscoverySettings,
    EmbeddingsSettings,
    IndexingSettings,
    LogSettings,
    RecoverySettings,
    SearchSettings,
    ServiceSettings,
    Settings,
    StorageSettings,
    TextSettings,
    WatchSettings,
    WeaviateSettings,
)

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

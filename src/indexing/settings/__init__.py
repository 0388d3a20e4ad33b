"""What can be configured, and how it is read: command line, then environment, then config.yaml, then defaults."""

from __future__ import annotations

from indexing.settings.errors import SettingsError
from indexing.settings.kinds import MIB
from indexing.settings.load import default_config_path, load_settings
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

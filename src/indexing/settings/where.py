"""Which configuration file is read, and the data directory it names; loads nothing that checks settings."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from platformdirs import user_config_path, user_data_path

CONFIG_VARIABLE: Final = "CODETROVE_CONFIG"


def default_config_path() -> Path:
    """The user's own configuration file, read when no other is named."""
    return user_config_path("codetrove") / "config.yaml"


def config_path(config: Path | None) -> Path | None:
    """The file to read, or None when none is named and the user has none."""
    if config is not None:
        return config
    if named := os.environ.get(CONFIG_VARIABLE):
        return Path(named).expanduser()
    default = default_config_path()
    return default if default.exists() else None


def data_directory_of(config: Path | None) -> Path | None:
    """The data directory that the configuration file names, or the default one; no other source is looked at.

    None where the file names something that only ``load_settings`` can judge. Raises ``SettingsError`` where a file
    that seems to name one cannot be read.
    """
    path = config_path(config)
    if path is None or not _may_name_one(path):
        return user_data_path("codetrove")
    from indexing.settings.document import read_document  # noqa: PLC0415 - YAML takes longer than the rest of this

    document = read_document(path)
    storage = document.get("storage") or {}
    if not isinstance(storage, dict) or "storage.data_dir" in document:
        return None
    named = storage.get("data_dir")
    if named is None:
        return user_data_path("codetrove")
    found = Path(named).expanduser() if isinstance(named, str) else Path()
    return found if found.is_absolute() else None


def _may_name_one(path: Path) -> bool:
    try:
        text = path.read_text(encoding="utf-8") if path.is_file() else None
    except (OSError, UnicodeDecodeError):
        return True
    return text is None or "data_dir" in text or "\\" in text

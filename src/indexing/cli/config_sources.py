"""Finds out what set each setting: command line, environment, configuration file or default."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from indexing.settings.document import read_document
from indexing.settings.load import known_keys
from indexing.settings.where import config_path

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from indexing.settings import Settings


@dataclass(frozen=True, slots=True)
class Sourced:
    """A setting with its origin."""

    key: str
    value: Any
    """as JSON has it"""
    source: str

    def shown(self) -> str:
        """Return the value as it can be written into ``config.yaml``."""
        return json.dumps(self.value)


def sourced_settings(settings: Settings, config: Path | None, overrides: Mapping[str, object]) -> list[Sourced]:
    """Return every setting by key, in the order in which they are documented."""
    values = settings.model_dump(mode="json")
    path = config_path(config)
    document = read_document(path) if path is not None else {}
    found = []
    for key, variable in known_keys().items():
        group, _, name = key.partition(".")
        content = document.get(group)
        if key in overrides:
            source = "command line"
        elif variable in os.environ:
            source = variable
        elif isinstance(content, dict) and content.get(name) is not None:
            source = str(path)
        else:
            source = "default"
        found.append(Sourced(key, values[group][name], source))
    return found

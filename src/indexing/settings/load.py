"""Makes the settings from their four sources and explains what is wrong with them."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError
from pydantic_settings import EnvSettingsSource, InitSettingsSource

from indexing.settings.document import read_document
from indexing.settings.errors import SettingsError
from indexing.settings.schema import Settings, key_fields
from indexing.settings.where import CONFIG_VARIABLE, config_path

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from pydantic_core import ErrorDetails

_PREFIX = "CODETROVE_"
_LONGEST_SHOWN_VALUE = 80
"""Characters of a refused value that a message repeats."""


def known_keys() -> dict[str, str]:
    """Every key by its dotted path, with the environment variable that sets it."""
    return {key: f"{_PREFIX}{key.replace('.', '__')}".upper() for key in key_fields()}


def load_settings(config: Path | None = None, overrides: Mapping[str, object] | None = None) -> Settings:
    """The settings in force.

    ``overrides`` (from the command line) maps dotted keys to values; None means not given. They win over
    environment variables like ``CODETROVE_STORAGE__DATA_DIR``, these over the configuration file, it over
    the defaults. The file is ``config``, else the one that ``CODETROVE_CONFIG`` names, else
    `where.default_config_path` if there is one. A ``config.yaml`` in the working directory is not read: an indexed
    tree must not configure the program that indexes it.

    Raises `SettingsError`, which names everything that is wrong, each with the key's full path.
    """
    keys = known_keys()
    overrides = {key: value for key, value in (overrides or {}).items() if value is not None}
    path = config_path(config)
    in_file, problems = _by_key(read_document(path), path) if path else ({}, [])
    problems += _unknown(in_file, keys, f"key {{!r}} in {path}")
    problems += _unknown(overrides, keys, "key {!r} on the command line")
    variables = [name for name in os.environ if name.upper().startswith(_PREFIX) and name != CONFIG_VARIABLE]
    problems += _unknown(variables, keys.values(), "environment variable {}")
    problems += _unreadable_lists(keys)
    if problems:
        raise SettingsError("\n".join(problems))
    sources = (
        InitSettingsSource(Settings, init_kwargs=_nested(overrides)),
        EnvSettingsSource(Settings),
        InitSettingsSource(Settings, init_kwargs=_nested(in_file)),
    )
    try:
        return Settings(_build_sources=(sources, {}))
    except ValidationError as error:
        origins = dict.fromkeys(in_file, f"in {path}")
        origins |= {key: f"from {name}" for key, name in keys.items() if name in os.environ}
        origins |= dict.fromkeys(overrides, "from the command line")
        raise SettingsError("\n".join(_explain(detail, origins) for detail in error.errors())) from error


def _by_key(document: Mapping[object, Any], path: Path) -> tuple[dict[str, object], list[str]]:
    """The document's values by dotted key, and what is wrong with its shape; a key without a value is left out."""
    values: dict[str, object] = {}
    problems = []
    for group, content in document.items():
        if isinstance(content, dict):
            values |= {f"{group}.{key}": value for key, value in content.items()}
        elif str(group) in Settings.model_fields:
            if content is not None:
                problems.append(f"{str(group)!r} in {path} is a group of keys, but has the value {_shown(content)}")
        else:
            values[str(group)] = content
    return values, problems


def _nested(values: Mapping[str, object]) -> dict[str, Any]:
    """``{"a.b": 1}`` as ``{"a": {"b": 1}}``; None is no value."""
    nested: dict[str, dict[str, object]] = {}
    for key, value in values.items():
        if value is not None:
            group, _, name = key.partition(".")
            nested.setdefault(group, {})[name] = value
    return nested


def _unknown(names: Iterable[str], known: Iterable[str], what: str) -> list[str]:
    """One message for each of ``names`` that is not ``known``, with the nearest one that is."""
    known = tuple(known)
    unknown = [name for name in names if name not in known]
    return [f"unknown {what.format(name)}{_suggestion(name, known)}" for name in unknown]


def _suggestion(name: str, known: tuple[str, ...]) -> str:
    import difflib  # noqa: PLC0415 - only a mistake needs it

    same_name = [key for key in known if key.rpartition(".")[2] == name.rpartition(".")[2]]
    nearest = same_name or difflib.get_close_matches(name, known, n=1) or difflib.get_close_matches(name.upper(), known)
    return f"; did you mean {nearest[0]!r}?" if nearest else "; docs/configuration.md lists all keys"


def _unreadable_lists(keys: Mapping[str, str]) -> list[str]:
    """One message for each environment variable that should hold a JSON list and does not."""
    problems = []
    fields = key_fields()
    for key, name in keys.items():
        if name in os.environ and isinstance(fields[key].default, tuple):
            try:
                json.loads(os.environ[name])
            except ValueError:
                problems.append(f"{name} = {_shown(os.environ[name])} is not a JSON list, such as '[\"*.py\"]'")
    return problems


def _explain(detail: ErrorDetails, origins: Mapping[str, str]) -> str:
    """One line on one refused value."""
    path = [str(part) for part in detail["loc"]]
    message = detail["msg"].removeprefix("Value error, ")
    if len(path) < 2:  # a check of a whole group, whose message names the keys
        return message
    origin = origins.get(".".join(path[:2]), "by default")
    return f"{'.'.join(path)} = {_shown(detail['input'])} ({origin}): {message[:1].lower()}{message[1:]}"


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _LONGEST_SHOWN_VALUE else text[:_LONGEST_SHOWN_VALUE] + "…"

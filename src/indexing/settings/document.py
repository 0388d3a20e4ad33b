"""Reads a configuration file: a small, plain subset of YAML.

Tags, anchors, aliases, merge keys, duplicate keys, deep nesting and large files are refused
before any value is built, so a hostile file costs no more than a glance at it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from indexing.settings.errors import SettingsError

MAX_FILE_BYTES = 256 * 1024
MAX_DEPTH = 4
"""Levels of nesting; the document, its groups and a list in one of them are three."""
MAX_SCALAR_CHARACTERS = 4096
"""Long numbers take quadratic time to read."""

# libyaml is several times faster and comes with every wheel, not with every build from source.
_LOADER: type[yaml.SafeLoader | yaml.CSafeLoader] = yaml.CSafeLoader if yaml.__with_libyaml__ else yaml.SafeLoader


def read_document(path: Path) -> dict[object, Any]:
    """The mapping that the file at ``path`` holds; an empty file is an empty mapping.

    Raises `SettingsError` when the file cannot be read, is no regular file, is larger than
    `MAX_FILE_BYTES`, or is not the plain YAML described above.
    """
    text = _read_text(path)
    try:
        _refuse_all_but_plain(text, path)
        # _LOADER builds plain values only, as safe_load does.
        document = yaml.load(text, Loader=_LOADER)  # noqa: S506
    except yaml.MarkedYAMLError as error:
        line = f", line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise SettingsError(f"{path}{line}: not valid YAML: {error.problem}") from error
    except yaml.YAMLError as error:
        raise SettingsError(f"{path}: not valid YAML: {str(error).splitlines()[0]}") from error
    except ValueError as error:
        if isinstance(error, SettingsError):
            raise
        raise SettingsError(f"{path}: a value cannot be read: {error}") from error
    if document is None:
        return {}
    if not isinstance(document, dict):
        raise SettingsError(f"{path}: groups such as 'storage:' are expected, found a {type(document).__name__}")
    return document


def _read_text(path: Path) -> str:
    try:
        # A FIFO would make open() wait for a writer.
        if not path.is_file():
            remedy = "is not a regular file" if path.exists() else "does not exist"
            raise SettingsError(f"configuration file {path} {remedy}")
        with path.open("rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise SettingsError(f"configuration file {path} cannot be read: {error.strerror}") from error
    if len(data) > MAX_FILE_BYTES:
        raise SettingsError(f"configuration file {path} is larger than the {MAX_FILE_BYTES} bytes that are read")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise SettingsError(f"configuration file {path} is not UTF-8: {error.reason} at byte {error.start}") from error


@dataclass(slots=True)
class _Collection:
    """A mapping or list that is being read; ``keys`` is None for a list."""

    keys: set[str] | None
    at_key: bool = True


def _refuse_all_but_plain(text: str, path: Path) -> None:
    """Walks the events of ``text`` without building anything; raises `SettingsError` at the first that is not plain."""
    around: list[_Collection] = []
    documents = 0
    for event in yaml.parse(text, Loader=_LOADER):
        where = f"{path}, line {event.start_mark.line + 1}" if event.start_mark else str(path)
        match event:
            case yaml.DocumentStartEvent():
                documents += 1
                if documents > 1:
                    raise SettingsError(f"{where}: a second document begins; one is expected")
            case yaml.AliasEvent():
                raise SettingsError(f"{where}: alias *{event.anchor} is refused; write the value out")
            case yaml.ScalarEvent():
                _refuse_decorated(event, where)
                if len(event.value) > MAX_SCALAR_CHARACTERS:
                    raise SettingsError(f"{where}: a value is longer than {MAX_SCALAR_CHARACTERS} characters")
                _note_child(around, event.value, where)
            case yaml.CollectionStartEvent():
                _refuse_decorated(event, where)
                _note_child(around, None, where)
                around.append(_Collection(set() if isinstance(event, yaml.MappingStartEvent) else None))
                if len(around) > MAX_DEPTH:
                    raise SettingsError(f"{where}: nested deeper than {MAX_DEPTH} levels")
            case yaml.CollectionEndEvent():
                around.pop()


def _refuse_decorated(event: yaml.ScalarEvent | yaml.CollectionStartEvent, where: str) -> None:
    if event.anchor is not None:
        raise SettingsError(f"{where}: anchor &{event.anchor} is refused; write the value out")
    if event.tag is not None:
        raise SettingsError(f"{where}: tag {event.tag} is refused; write plain values")


def _note_child(around: list[_Collection], text: str | None, where: str) -> None:
    """Takes a scalar, or None for a collection, as the next key or value of the innermost collection."""
    parent = around[-1] if around else None
    if parent is None or parent.keys is None:
        return
    if parent.at_key:
        if text is None:
            raise SettingsError(f"{where}: a key must be a plain word")
        if text == "<<":
            raise SettingsError(f"{where}: merge key '<<' is refused; write the keys out")
        if text in parent.keys:
            raise SettingsError(f"{where}: key {text!r} is given twice; keep one of them")
        parent.keys.add(text)
    parent.at_key = not parent.at_key

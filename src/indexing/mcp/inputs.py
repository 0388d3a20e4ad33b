"""What the tools take: bounded, and refused with a plain line where it does not fit."""

from __future__ import annotations

import json
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from indexing.asks import MAX_TEXT_LINES

MAX_HITS: Final = 50
"""An agent reads what it gets; more hits than this are noise to it."""
MAX_LINES: Final = min(1_000, MAX_TEXT_LINES)
_SHOWN_ERRORS: Final = 5


def _as_list(value: Any) -> Any:
    """Take one string for a list of it, and a list in JSON text for the list: some agents send either."""
    if not isinstance(value, str):
        return value
    if value.startswith("["):
        try:
            return json.loads(value)
        except (ValueError, RecursionError):
            return [value]
    return [value]


Name = Annotated[str, Field(min_length=1, max_length=500)]
Place = Annotated[str, Field(min_length=1, max_length=4_096)]
Names = Annotated[list[Name], BeforeValidator(_as_list), Field(max_length=100)]
Places = Annotated[list[Place], BeforeValidator(_as_list), Field(max_length=1_000)]
Repository = Annotated[
    str | None,
    Field(
        min_length=1,
        max_length=4_096,
        description="uuid, root directory (or a path inside it) or name of one repository; left out: all",
    ),
]
OneRepository = Annotated[
    str,
    Field(min_length=1, max_length=4_096, description="uuid, root directory or name, as list_repositories shows them"),
]


class Input(BaseModel):
    """Arguments of a tool; names that it does not know are refused, since a filter that is ignored misleads."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)


class NoInput(Input):
    """No arguments."""


class SearchCodeInput(Input):
    """Arguments of ``search_code``."""

    query: Annotated[str, Field(min_length=1, max_length=10_000, description="words, names, paths or a question")]
    repository: Repository = None
    paths: Annotated[Names, Field(description="only files that match one of these globs, e.g. src/**/*.py")] = []
    languages: Annotated[Names, Field(description="only these languages, e.g. python, rust, markdown")] = []
    limit: Annotated[int, Field(ge=1, le=MAX_HITS, description="most hits")] = 10
    mode: Annotated[
        Literal["hybrid", "text", "vector"],
        Field(description="hybrid: words and meaning; text: words and names alone; vector: meaning alone"),
    ] = "hybrid"
    consistency: Annotated[
        Literal["now", "wait", "fresh"],
        Field(
            description="now: what is searchable; wait: first wait up to a second for files that just changed; "
            "fresh: leave out hits whose file has changed since"
        ),
    ] = "now"
    snippet_lines: Annotated[int, Field(ge=1, le=50, description="most lines shown of a hit")] = 8


class FindSymbolInput(Input):
    """Arguments of ``find_symbol``."""

    name: Annotated[str, Field(min_length=1, max_length=500, description="e.g. parse, Blueprint.register, ns::f")]
    matching: Annotated[Literal["exact", "prefix"], Field(description="prefix: names that begin so are found too")] = (
        "exact"
    )
    repository: Repository = None
    languages: Annotated[Names, Field(description="only these languages")] = []
    limit: Annotated[int, Field(ge=1, le=MAX_HITS, description="most definitions")] = 20


class ReadChunkInput(Input):
    """Arguments of ``read_chunk``."""

    repository: OneRepository
    path: Annotated[str, Field(min_length=1, max_length=4_096, description="relative to the root, as hits show it")]
    start_line: Annotated[int, Field(ge=1, le=2**31 - 1, description="first line, 1-based")] = 1
    end_line: Annotated[
        int | None,
        Field(ge=1, le=2**31 - 1, description=f"last line, inclusive; at most {MAX_LINES} lines; left out: 200 lines"),
    ] = None
    path_b64: Annotated[
        str | None, Field(max_length=8_192, description="the path's bytes in base64, where a hit has this field")
    ] = None


class IndexRepositoryInput(Input):
    """Arguments of ``index_repository``."""

    repository: OneRepository
    paths: Annotated[
        Places, Field(description="only these files and directories, relative to the root; left out: everything")
    ] = []


def refusal(error: ValidationError) -> str:
    """Return in one line which arguments do not fit and why; never their values."""
    found = error.errors(include_url=False, include_input=False, include_context=False)
    lines = [f"{'.'.join(map(str, each['loc'])) or 'arguments'}: {each['msg']}" for each in found[:_SHOWN_ERRORS]]
    more = f" (and {len(found) - _SHOWN_ERRORS} more)" if len(found) > _SHOWN_ERRORS else ""
    return f"invalid arguments: {'; '.join(lines)}{more}; the tool's input schema says what it takes"

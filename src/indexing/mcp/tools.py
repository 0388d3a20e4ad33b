"""All tools: their names, what they take and give, and what they may do."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from mcp_types import Tool, ToolAnnotations
from pydantic import TypeAdapter, ValidationError

from indexing.mcp import descriptions, outputs, reading_tools
from indexing.mcp.answer import Answer
from indexing.mcp.errors import ToolFailed
from indexing.mcp.inputs import (
    FindSymbolInput,
    IndexRepositoryInput,
    Input,
    NoInput,
    ReadChunkInput,
    SearchCodeInput,
    refusal,
)
from indexing.mcp.shown import clean
from indexing.mcp.status_lines import job_line

if TYPE_CHECKING:
    from indexing.mcp.caller import Caller


@dataclass(frozen=True, slots=True)
class ToolSpec:
    """One tool."""

    name: str
    title: str
    description: str
    takes: type[Input]
    gives: type
    run: Callable[[Caller, Any], Awaitable[Answer]]
    writes: bool = False

    def checked(self, arguments: dict[str, Any]) -> Input:
        """Return the arguments as the tool takes them; null stands for left out. Raises ``ToolFailed``."""
        try:
            return self.takes.model_validate({name: value for name, value in arguments.items() if value is not None})
        except ValidationError as error:
            raise ToolFailed(refusal(error)) from error


async def index_repository(caller: Caller, given: IndexRepositoryInput) -> Answer:
    """Submit a job."""
    if caller.index is None:
        raise ToolFailed("indexing is not allowed here; start 'codetrove mcp --allow-index' or use an index token")
    uuid = await caller.repository(given.repository)
    paths = [path.removeprefix("./").rstrip("/") for path in given.paths]
    job = clean(await caller.index(caller.principal, uuid, paths))
    return Answer([job_line(job), "index_status shows how it goes"], {"job": job})


TOOLS: Final = {
    tool.name: tool
    for tool in (
        ToolSpec(
            "search_code",
            "Search code",
            descriptions.SEARCH_CODE,
            SearchCodeInput,
            outputs.SearchCodeOutput,
            reading_tools.search_code,
        ),
        ToolSpec(
            "find_symbol",
            "Find a definition",
            descriptions.FIND_SYMBOL,
            FindSymbolInput,
            outputs.FindSymbolOutput,
            reading_tools.find_symbol,
        ),
        ToolSpec(
            "read_chunk",
            "Read indexed lines",
            descriptions.READ_CHUNK,
            ReadChunkInput,
            outputs.ReadChunkOutput,
            reading_tools.read_chunk,
        ),
        ToolSpec(
            "list_repositories",
            "List repositories",
            descriptions.LIST_REPOSITORIES,
            NoInput,
            outputs.ListRepositoriesOutput,
            reading_tools.list_repositories,
        ),
        ToolSpec(
            "index_status",
            "State of the index",
            descriptions.INDEX_STATUS,
            NoInput,
            outputs.IndexStatusOutput,
            reading_tools.index_status,
        ),
        ToolSpec(
            "index_repository",
            "Index a repository",
            descriptions.INDEX_REPOSITORY,
            IndexRepositoryInput,
            outputs.IndexRepositoryOutput,
            index_repository,
            writes=True,
        ),
    )
}


def tools_for(caller: Caller) -> list[ToolSpec]:
    """Return the tools that the caller may use."""
    return [tool for tool in TOOLS.values() if not tool.writes or caller.index is not None]


@cache
def described(name: str) -> Tool:
    """Return a tool as clients are told of it."""
    tool = TOOLS[name]
    return Tool(
        name=tool.name,
        title=tool.title,
        description=tool.description,
        input_schema=_slim(tool.takes.model_json_schema()),
        output_schema=_slim(TypeAdapter(tool.gives).json_schema()),
        annotations=ToolAnnotations(
            title=tool.title,
            read_only_hint=not tool.writes,
            destructive_hint=False,
            idempotent_hint=True,
            open_world_hint=False,
        ),
    )


def _slim(schema: Any) -> Any:
    """Leave out titles that repeat the names, and docstrings that are for people: an agent pays for each word."""
    if isinstance(schema, list):
        return [_slim(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    left_out = {"title", "description"} if "properties" in schema else {"title"}
    return {
        name: {key: _slim(each) for key, each in value.items()} if name in {"properties", "$defs"} else _slim(value)
        for name, value in schema.items()
        if name not in left_out
    }

"""Which cutter serves which language, and the two entry points that cut a text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from indexing.cutting.cells import cut_cells
from indexing.cutting.chunks import build_chunks
from indexing.cutting.lines import line_starts
from indexing.cutting.markup import cut_markdown, cut_rst
from indexing.cutting.windows import window_starts
from storage import Cut

if TYPE_CHECKING:
    from collections.abc import Iterable

    from storage import Section

FALLBACK_CUTTER: Final = "fallback-windows-1"

_SYNTAX = "syntax-2"
_HEADINGS = "headings-1"
_CELLS = "cells-1"
_WINDOWS = "windows-1"

_GRAMMARS: Final = (
    "actionscript",
    "ada",
    "agda",
    "apex",
    "arduino",
    "astro",
    "bash",
    "bicep",
    "c",
    "cairo",
    "capnp",
    "clojure",
    "cmake",
    "commonlisp",
    "cpp",
    "csharp",
    "css",
    "cuda",
    "d",
    "dart",
    "dockerfile",
    "elisp",
    "elixir",
    "elm",
    "embeddedtemplate",
    "erlang",
    "fennel",
    "fish",
    "fortran",
    "fsharp",
    "gdscript",
    "gleam",
    "glsl",
    "go",
    "graphql",
    "groovy",
    "hack",
    "hare",
    "haskell",
    "haxe",
    "hcl",
    "hlsl",
    "html",
    "java",
    "javascript",
    "jsonnet",
    "julia",
    "kconfig",
    "kotlin",
    "latex",
    "lua",
    "luau",
    "make",
    "matlab",
    "meson",
    "nim",
    "nix",
    "objc",
    "ocaml",
    "ocaml_interface",
    "odin",
    "pascal",
    "perl",
    "php",
    "powershell",
    "prisma",
    "proto",
    "purescript",
    "python",
    "qmljs",
    "r",
    "racket",
    "rego",
    "ruby",
    "rust",
    "scala",
    "scheme",
    "scss",
    "smali",
    "solidity",
    "sql",
    "squirrel",
    "starlark",
    "svelte",
    "swift",
    "tcl",
    "terraform",
    "thrift",
    "tsx",
    "typescript",
    "verilog",
    "vhdl",
    "vim",
    "vue",
    "wgsl",
    "zig",
)
"""Grammars used; never cobol, which hangs on one letter. Data (json, yaml, xml …) is better served by windows."""

_MINIFIED_BYTES = 100_000
_MINIFIED_LINE_BYTES = 1000


def languages() -> tuple[str, ...]:
    """The languages that are cut along their syntax, in alphabetical order."""
    return _GRAMMARS


def cutter_version(language: str) -> str:
    """Name and version of the cutter that ``cut`` uses for a language; an unknown one gets windows."""
    if language in _GRAMMAR_SET:
        return _SYNTAX
    if language in {"markdown", "rst"}:
        return _HEADINGS
    return _CELLS if language == "jupyter" else _WINDOWS


def cut(text: bytes, language: str, sections: tuple[Section, ...] = ()) -> Cut:
    """Cuts a UTF-8 text as its language asks for; ``sections`` are the cells of a notebook.

    Parsing holds the GIL and cannot be interrupted: call it in a process that may be killed. Minified text (more
    than 100 kB with lines of more than 1,000 bytes on average) is not parsed but cut in windows. A text of nothing but
    white space has no chunks; of any other text every byte is in exactly one.
    """
    cutter = cutter_version(language)
    if not text or text.isspace():
        return Cut(language, cutter, ())
    if cutter == _SYNTAX and not _is_minified(text):
        from indexing.cutting.syntax import cut_syntax  # noqa: PLC0415  (pulls in what parsing needs)

        return cut_syntax(text, language, cutter)
    if cutter == _HEADINGS:
        return (cut_rst if language == "rst" else cut_markdown)(text, language, cutter)
    if cutter == _CELLS and sections:
        return cut_cells(text, language, cutter, sections)
    return _windows(text, language, cutter)


def cut_windows(text: bytes, language: str) -> Cut:
    """Cuts a text in windows of at most 40 lines, whatever its language: the fallback, which never parses."""
    return _windows(text, language, FALLBACK_CUTTER)


def warm(languages: Iterable[str] = _GRAMMARS) -> None:
    """Loads grammars and compiles their queries ahead of the first file; passes over languages without one."""
    from indexing.cutting.grammars import grammar  # noqa: PLC0415  (only what parses needs it)

    for language in languages:
        if language in _GRAMMAR_SET:
            grammar(language)


_GRAMMAR_SET = frozenset(_GRAMMARS)


def _windows(text: bytes, language: str, cutter: str) -> Cut:
    if not text or text.isspace():
        return Cut(language, cutter, ())
    lines = line_starts(text)
    return Cut(language, cutter, build_chunks(text, lines, window_starts(text, lines, 0, len(text)), []))


def _is_minified(text: bytes) -> bool:
    return len(text) > _MINIFIED_BYTES and len(text) > _MINIFIED_LINE_BYTES * (
        text.count(b"\n") + text.count(b"\r") + 1
    )

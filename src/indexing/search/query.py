"""What a query asks for: words, names of definitions, paths. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from indexing.search.english import STOP_WORDS, variants
from indexing.search.parts import identifier_parts

MAX_WORDS: Final = 64
"""Distinct words of a query that are used; a pasted stack trace has more."""

_SUFFIXES: Final = """
    c cc cpp cs css cu dart el ex erl go h hpp hs html ini ipynb java jl js json jsx kt lua m md mjs ml php pl proto
    py pyi r rb rs rst s scala sh sql svelte swift toml ts tsx txt vue xml yaml yml zig
"""
SOURCE_SUFFIXES: Final = frozenset(_SUFFIXES.split())

_TOKEN = re.compile(r"[\w$][\w$./:#\\-]*[\w$]|[\w$]", re.UNICODE)
_NAME = re.compile(r"[^\W\d]\w*")
_SEPARATORS = re.compile(r"::|[.#:$\\/-]+")
_TEST_WORDS: Final = frozenset({"test", "tests", "testing", "tested", "spec", "specs", "unittest", "pytest", "fixture"})
_ASIDE_WORDS: Final = frozenset(
    {"example", "examples", "demo", "demos", "benchmark", "benchmarks", "sample", "samples"}
)


@dataclass(frozen=True, slots=True)
class QueriedName:
    """A definition that the query names."""

    name: str
    """as written"""
    scope: tuple[str, ...] = ()
    """what it was qualified with, outermost first"""


@dataclass(frozen=True, slots=True)
class Query:
    """A query, taken apart."""

    text: str
    words: dict[str, float]
    """lower-case words as written, parts of compound ones and variants of English ones, each with its weight"""
    compounds: tuple[str, ...]
    """lower-case identifiers of several parts, whole"""
    names: tuple[QueriedName, ...]
    """what looks like the name of a definition"""
    path_words: tuple[str, ...]
    paths: tuple[str, ...]
    """what looks like a path or a file name, lower case"""
    joined: frozenset[str]
    """adjacent words of the query run together, lower case: "background tasks" gives ``backgroundtasks``."""
    only_name: bool
    """the whole query is one name"""
    wants_tests: bool
    wants_asides: bool
    """examples and benchmarks are asked for"""


def analyse(text: str) -> Query:
    """Take a query apart."""
    tokens = _TOKEN.findall(text)
    paths = tuple(dict.fromkeys(token.lower() for token in tokens if _is_path(token)))
    pieces = [piece for token in tokens for piece in _SEPARATORS.split(token) if piece]
    only_name = len(tokens) == 1 and not paths
    names: dict[QueriedName, None] = {}
    for token in tokens:
        if not _is_path(token) and (only_name or _looks_like_name(token)):
            names.update(dict.fromkeys(_names(token)))
    compounds = dict.fromkeys(piece.lower() for piece in pieces if len(identifier_parts(piece)) > 1)
    words = _words(pieces)
    lower = {piece.lower() for piece in pieces}
    return Query(
        text=text,
        words=words,
        compounds=tuple(compounds),
        names=tuple(names),
        path_words=tuple(words),
        paths=paths,
        joined=_joined([piece.lower() for piece in pieces]),
        only_name=only_name,
        wants_tests=bool(lower & _TEST_WORDS),
        wants_asides=bool(lower & _ASIDE_WORDS),
    )


def queried_name(text: str) -> QueriedName | None:
    """The one name that a text is, qualified or not; None if it is none."""
    names = _names(text.strip())
    return names[0] if names else None


def _words(pieces: list[str]) -> dict[str, float]:
    """Stop words are left out unless nothing else is there."""
    plain: dict[str, None] = {}
    for piece in pieces:
        plain.update(dict.fromkeys(identifier_parts(piece) or (piece.lower(),)))
    chosen = [word for word in plain if word not in STOP_WORDS] or list(plain)
    weights = dict.fromkeys(chosen[:MAX_WORDS], 1.0)
    for word in chosen[:MAX_WORDS]:
        for variant, weight in variants(word).items():
            weights[variant] = max(weight, weights.get(variant, 0.0))
    return weights


def _joined(pieces: list[str]) -> frozenset[str]:
    """Two or three words that stand side by side, no stop word at either end."""
    runs = set()
    for length in (2, 3):
        for at in range(min(len(pieces), MAX_WORDS) - length + 1):
            run = pieces[at : at + length]
            if run[0] not in STOP_WORDS and run[-1] not in STOP_WORDS:
                runs.add(run_together("".join(run)))
    return frozenset(runs)


def run_together(name: str) -> str:
    """A name without what only separates its parts."""
    return name.replace("_", "").lower()


def _is_path(token: str) -> bool:
    stem, dot, suffix = token.rpartition(".")
    if dot and suffix.lower() in SOURCE_SUFFIXES and stem and "::" not in token:
        return len(suffix) > 1 or "/" in stem
    return "/" in token and len(_SEPARATORS.split(token)) > 2


def _looks_like_name(token: str) -> bool:
    """Whether a word among others is written as only code is: ``camelCase``, ``snake_case``, ``a.b``, ``a::b``."""
    if "/" in token or "-" in token:
        return False
    parts = [part for part in _SEPARATORS.split(token) if part]
    return len(parts) > 1 or any(_compound(part) for part in parts)


def _compound(word: str) -> bool:
    inner = word.strip("_")
    return "_" in inner or (any(map(str.islower, word)) and any(char.isupper() for char in word[1:]))


def _names(token: str) -> list[QueriedName]:
    parts = [part for part in _SEPARATORS.split(token) if _NAME.fullmatch(part)]
    if not parts:
        return []
    return [QueriedName(parts[-1], tuple(parts[:-1]))]

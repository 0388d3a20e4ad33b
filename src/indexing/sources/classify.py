"""Decides by the name alone whether a file is worth indexing, and what it should be marked as.

The lists follow what GitHub's linguist, ripgrep and common secret scanners treat as such; ambiguous names (``build``,
``dist``, ``target``, ``out``) are left to the ignore files, ``CACHEDIR.TAG`` and the user.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from operator import or_
from typing import TYPE_CHECKING

from indexing.sources import known_names as known
from indexing.sources.known_names import BINARY, GENERATED, HIDDEN, MINIFIED, SECRET, TEST, VENDORED

if TYPE_CHECKING:
    from collections.abc import Iterable

    from indexing.sources.rules import Policy, Rules
    from storage import FileFlag, SkipReason


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is to become of a file, so far as one examination can tell."""

    skip: SkipReason | None = None
    flags: frozenset[FileFlag] = frozenset()
    detail: str = ""
    """Why it is skipped or flagged, for people; never holds content of the file."""


def classify(path: bytes, rules: Rules, *, tracked: bool) -> Verdict:
    """The verdict on a file by its path (relative to the root) and whether git tracks it."""
    *parents, name = path.split(b"/")
    traits = name_traits(name)
    for parent in parents:
        traits |= directory_traits(parent)
    return verdict(traits, rules, tracked=tracked)


def name_traits(name: bytes) -> int:
    """The traits of a file by its last component, as an or of the bits in `known_names`."""
    lower = name.lower()
    traits = known.FILES.get(lower, 0)
    dot = lower.rfind(b".")
    if dot > 0:
        traits |= known.EXTENSIONS.get(lower[dot:], 0)
    if lower.endswith(known.SUFFIXES):
        traits |= _all(bits for suffix, bits in known.SUFFIX_TRAITS.items() if lower.endswith(suffix))
    if lower.startswith(known.PREFIXES):
        traits |= _all(bits for prefix, bits in known.PREFIX_TRAITS.items() if lower.startswith(prefix))
    if name.endswith(known.TEST_SUFFIXES):
        traits |= TEST
    if name.startswith(b".") and lower not in known.HIDDEN_WANTED:
        traits |= HIDDEN
    return traits & ~SECRET if traits & SECRET and known.is_sample(lower) else traits


def directory_traits(name: bytes) -> int:
    """The traits that a directory of this name gives to everything below it."""
    traits = known.DIRECTORIES.get(name.lower(), 0)
    if name.startswith(b".") and name not in known.HIDDEN_WANTED:
        traits |= HIDDEN
    if name.endswith(b".egg-info"):
        traits |= GENERATED
    return traits


def verdict(traits: int, rules: Rules, *, tracked: bool) -> Verdict:
    """The verdict on a file that has these traits, its own and those of its directories."""
    if traits & SECRET and rules.secrets != "index":
        return Verdict("secret", detail="a file of this name usually holds a secret")
    untracked = "" if tracked else "not tracked by git, "
    if traits & HIDDEN and _skips(rules.hidden, tracked=tracked):
        return Verdict("hidden", detail=f"{untracked}hidden name or copy of an editor")
    if traits & VENDORED and _skips(rules.vendored, tracked=tracked):
        return Verdict("vendored", detail=f"{untracked}in a directory of third-party code")
    if traits & GENERATED and _skips(rules.generated, tracked=tracked):
        return Verdict("generated", detail=f"{untracked}name of a generated file or directory")
    if traits & MINIFIED and rules.minified != "index":
        return Verdict("minified", detail="name of a minified file")
    if traits & BINARY:
        return Verdict("binary", detail="extension of a binary format")
    return Verdict(flags=_FLAGS[traits & (VENDORED | GENERATED | TEST | SECRET)])


def _skips(policy: Policy, *, tracked: bool) -> bool:
    return policy == "skip" or (policy == "auto" and not tracked)


def _flags(traits: int) -> frozenset[FileFlag]:
    flags: set[FileFlag] = set()
    if traits & VENDORED:
        flags.add("vendored")
    if traits & GENERATED:
        flags.add("generated")
    if traits & TEST:
        flags.add("test")
    if traits & SECRET:
        flags.add("suspected_secret")
    return frozenset(flags)


def _all(bits: Iterable[int]) -> int:
    return reduce(or_, bits, 0)


_FLAGS = [_flags(traits) for traits in range(2 * SECRET)]

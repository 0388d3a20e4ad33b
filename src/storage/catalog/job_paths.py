"""Which paths of a tree a job is about, and how the wishes of several callers become one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterable

JobPaths: TypeAlias = tuple[bytes, ...] | None
"""Files and directories, relative to the root; None is the whole tree."""

MOST_PATHS: Final = 10_000
"""Of a job. One that would have more is about the whole tree: it costs a scan, and forgets nothing."""
MOST_PATHS_BYTES: Final = 4 * 1024 * 1024
"""Of a job's paths together: they lie in one row."""


def join_paths(*wishes: JobPaths) -> JobPaths:
    """Return the paths that cover all the wishes, none below another.

    They are None where one wish is the whole tree, or where they would be more than a job may have. Raises
    ``ValueError`` for a wish without a path and for a path that names nothing inside a tree.
    """
    joined: list[bytes] = []
    for paths in wishes:
        if paths is None:
            return None
        if not paths:
            raise ValueError("a job about no paths () has nothing to do; name one, or give None for the whole tree")
        joined += paths
    covering = _outermost(joined)
    if len(covering) > MOST_PATHS or sum(map(len, covering)) + len(covering) > MOST_PATHS_BYTES:
        return None
    return covering


def pack_paths(paths: JobPaths) -> bytes | None:
    """Return joined paths as the catalog keeps them."""
    return None if paths is None else b"\0".join(paths)


def unpack_paths(packed: bytes | None) -> JobPaths:
    """Return what ``pack_paths`` packed."""
    return None if packed is None else tuple(packed.split(b"\0"))


def _outermost(paths: Iterable[bytes]) -> tuple[bytes, ...]:
    # With NUL for the separator, what lies below a directory sorts directly behind it.
    found: list[bytes] = []
    for path in sorted(set(paths), key=lambda each: each.replace(b"/", b"\0")):
        _check(path)
        if not found or not path.startswith(found[-1] + b"/"):
            found.append(path)
    return tuple(found)


def _check(path: bytes) -> None:
    if b"\0" in path or not {b"", b".", b".."}.isdisjoint(path.split(b"/")):
        message = (
            f"{path!r} is no path inside a tree: it has to be relative, without empty parts, '.', '..' and NUL; "
            "give None for the whole tree"
        )
        raise ValueError(message)

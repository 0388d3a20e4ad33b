"""A memory control group to run processes in."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

MOUNT = Path("/sys/fs/cgroup")


@contextmanager
def memory_group(limit_bytes: int) -> Iterator[Path]:
    """An empty control group with this limit, to be left empty; raises OSError with the reasons where none can be made.

    Version 1 has its limit in ``memory.limit_in_bytes``, version 2 in ``memory.max``.
    """
    group = _made(limit_bytes)
    try:
        yield group
    finally:
        group.rmdir()


def _made(limit_bytes: int) -> Path:
    reasons = []
    for place, limit in _places() if sys.platform == "linux" else ():
        group = place / f"codetrove-{uuid4().hex}"
        try:
            group.mkdir()
        except OSError as error:
            reasons.append(f"{place}: {error.strerror}")
            continue
        try:
            (group / limit).write_text(str(limit_bytes), encoding="ascii")
        except OSError as error:
            reasons.append(f"{group / limit}: {error.strerror}")
            group.rmdir()
            continue
        return group
    raise OSError("no memory control group can be made here: " + "; ".join(reasons or ["there are none"]))


def _places() -> Iterator[tuple[Path, str]]:
    """(directory in which a group may be made, name of its limit), the least intrusive ones first."""
    for line in Path("/proc/self/cgroup").read_text(encoding="utf-8").splitlines():
        _, controllers, path = line.split(":", 2)
        own = path.lstrip("/")
        if "memory" in controllers.split(","):
            yield MOUNT / "memory" / own, "memory.limit_in_bytes"
        elif not controllers:
            # Version 2 allows limits only below a group that has no process of its own.
            yield MOUNT / own, "memory.max"
            yield (MOUNT / own).parent, "memory.max"

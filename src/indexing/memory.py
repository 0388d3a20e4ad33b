"""How much memory there is for this process: the least of what the machine, its control groups and its rlimits leave.

psutil alone sees the machine, not the control group (cgroup) that a container or a service manager puts around it.
"""

from __future__ import annotations

import resource
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterator

MemorySource: TypeAlias = Literal["host", "cgroup", "rlimit"]

_UNLIMITED_BYTES = 1 << 60
"""Limits from here on mean none: version 1 writes 2**63 rounded down to a page, RLIM_INFINITY may be 2**64 - 1."""


@dataclass(frozen=True, slots=True)
class MemoryReading:
    """The tightest bound on memory at one moment, and how much of it is in use."""

    limit_bytes: int
    used_bytes: int
    """what cannot be given back at once; may be above ``limit_bytes`` where the kernel only slows processes down"""
    source: MemorySource

    @property
    def available_bytes(self) -> int:
        """What is left below the limit, never below 0."""
        return max(0, self.limit_bytes - self.used_bytes)

    @property
    def percent(self) -> float:
        """Used share of the limit, 0 to 100 and above; a limit of 0 is used up."""
        return 100 * self.used_bytes / self.limit_bytes if self.limit_bytes > 0 else 100.0


@dataclass(frozen=True, slots=True)
class _Hierarchy:
    """Names of the files and of the ``memory.stat`` keys of one version of the memory controller."""

    limits: tuple[str, ...]
    usage: str
    inactive: str
    active: str
    busy: tuple[str, ...]
    """file pages that are mapped (a model's weights, an index) or still have to be written"""
    slab: str


# Both: the kernel's Documentation/admin-guide, cgroup-v2.rst and cgroup-v1/memory.rst. The ``total_`` values of
# version 1 include the groups below, as its usage does.
_V2 = _Hierarchy(
    limits=("memory.max", "memory.high"),
    usage="memory.current",
    inactive="inactive_file",
    active="active_file",
    busy=("file_mapped", "file_dirty", "file_writeback"),
    slab="slab_reclaimable",
)
_V1 = _Hierarchy(
    limits=("memory.limit_in_bytes",),
    usage="memory.usage_in_bytes",
    inactive="total_inactive_file",
    active="total_active_file",
    busy=("total_mapped_file", "total_dirty", "total_writeback"),
    slab="",
)


def read_memory(*, proc: Path = Path("/proc"), cgroups: Path = Path("/sys/fs/cgroup")) -> MemoryReading:
    """Return the bound that leaves least: the machine's memory, a control group's limit or an rlimit of this process.

    ``proc`` and ``cgroups`` are where the kernel shows processes and control groups. A limit that is missing,
    unreadable, ``max`` or absurdly large does not count. Raises ``OSError`` if the machine's memory cannot be read.
    Reads files: call it in a thread.
    """
    readings = [_host_reading(), *_cgroup_readings(proc, cgroups), *_rlimit_readings()]
    return min(readings, key=lambda reading: reading.available_bytes)


def rss_of(pid: int) -> int:
    """Bytes of memory that a process holds (resident set, shared pages included); 0 if it is gone."""
    import psutil  # noqa: PLC0415  (not needed by most commands)

    try:
        return int(psutil.Process(pid).memory_info().rss)
    except psutil.Error:
        return 0


def _host_reading() -> MemoryReading:
    import psutil  # noqa: PLC0415  (not needed by most commands)

    memory = psutil.virtual_memory()
    return MemoryReading(memory.total, memory.total - memory.available, "host")


def _rlimit_readings() -> Iterator[MemoryReading]:
    """RLIMIT_AS against the address space, RLIMIT_DATA against the private writable part (with the stack)."""
    import psutil  # noqa: PLC0415  (not needed by most commands)

    try:
        info = psutil.Process().memory_info()
    except psutil.Error:
        return
    # Linux alone tells the size of the data.
    for kind, used in ((resource.RLIMIT_AS, info.vms), (resource.RLIMIT_DATA, getattr(info, "data", None))):
        soft, _hard = resource.getrlimit(kind)
        if used is not None and 0 <= soft < _UNLIMITED_BYTES:
            yield MemoryReading(soft, used, "rlimit")


def _cgroup_readings(proc: Path, cgroups: Path) -> Iterator[MemoryReading]:
    """A reading for each control group around this process that has a limit: each level bounds those below it."""
    for hierarchy, mount, path in _memberships(proc, cgroups):
        inner = _directory_of(mount, path)
        for level in (inner, *inner.parents):
            yield from _level_readings(level, hierarchy)
            if level == mount:
                break


def _memberships(proc: Path, cgroups: Path) -> Iterator[tuple[_Hierarchy, Path, str]]:
    """Where this process is: (version, mount of its hierarchy, path in it), from lines ``number:controllers:path``."""
    try:
        text = (proc / "self" / "cgroup").read_text(encoding="utf-8", errors="surrogateescape")
    except OSError:
        return
    # Beside hierarchies of version 1 (a hybrid setup) the one of version 2 is mounted as "unified".
    unified = cgroups / "unified"
    for line in text.splitlines():
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if "memory" in controllers.split(","):
            yield _V1, cgroups / "memory", path
        elif number == "0" and not controllers:
            yield _V2, unified if unified.is_dir() else cgroups, path


def _directory_of(mount: Path, path: str) -> Path:
    """The control group's directory; the mount's root if there is none.

    In a container the path may begin with groups that its mount does not show, so the longest end that exists is taken.
    A process outside of its namespace's root has a path of ``..``.
    """
    parts = [part for part in path.split("/") if part]
    if ".." not in parts:
        for start in range(len(parts)):
            directory = mount.joinpath(*parts[start:])
            if directory.is_dir():
                return directory
    return mount


def _level_readings(level: Path, hierarchy: _Hierarchy) -> Iterator[MemoryReading]:
    limits = [limit for name in hierarchy.limits if (limit := _bytes_in(level / name)) is not None]
    usage = _bytes_in(level / hierarchy.usage)
    if limits and usage is not None:
        used = max(0, usage - _reclaimable_bytes(_stat_of(level), hierarchy))
        yield MemoryReading(min(limits), used, "cgroup")


def _reclaimable_bytes(stat: dict[str, int], hierarchy: _Hierarchy) -> int:
    """What the kernel takes back before it kills: file pages that nobody maps and that are written, and slabs.

    Inactive pages alone would not do: a multi-generational LRU counts nearly every page of a file as active
    (measured on Linux 6.18: 28 KiB inactive, 253 MiB active, with processes of 2 MiB), so that reading a tree would
    look like memory running out. The kernel's ``MemAvailable`` counts both as well.
    """
    inactive = stat.get(hierarchy.inactive, 0)
    idle = inactive + stat.get(hierarchy.active, 0) - sum(stat.get(key, 0) for key in hierarchy.busy)
    return max(inactive, idle) + stat.get(hierarchy.slab, 0)


def _stat_of(level: Path) -> dict[str, int]:
    """``memory.stat``, lines of a name and a number; empty where it cannot be read."""
    try:
        lines = (level / "memory.stat").read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return {}
    pairs = (line.split(" ", 1) for line in lines)
    return {pair[0]: int(pair[1]) for pair in pairs if len(pair) == 2 and pair[1].isdecimal()}


def _bytes_in(file: Path) -> int | None:
    """The number in a file; None for ``max``, for what is no limit, and where it cannot be read."""
    try:
        number = int(file.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None
    return number if 0 <= number < _UNLIMITED_BYTES else None

"""Checks the machine and the data directory: whether codetrove can work here, and what to do if not."""

from __future__ import annotations

import asyncio
import os
import platform
import resource
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from indexing.cutting.grammars import grammar
from indexing.ingest.messages import WorkerSetup
from indexing.ingest.worker_process import WorkerProcess, WorkerStartFailed
from indexing.settings import SettingsError
from indexing.weaviate_access import LEAST_VERSION, ServerSilent, is_loopback, look_at, refuse_anonymous_remote
from storage import DataDirectory, StorageError, migrate, open_for_writing

if TYPE_CHECKING:
    from collections.abc import Callable

    from indexing.settings import Settings

Level: TypeAlias = Literal["ok", "warn", "fail"]

LEAST_PYTHON: Final = (3, 11)
LEAST_FREE_BYTES: Final = 100_000_000
FEW_FREE_BYTES: Final = 1_000_000_000
FEW_OPEN_FILES: Final = 1024
"""An owner needs about 200: SQLite, the segments of the text index, pipes, one handle a directory level."""
FEW_WATCHES: Final = 65_536
"""One a watched directory; below this a kernel tree of some thousand directories leaves little for editors."""


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at."""

    name: str
    level: Level
    detail: str
    remedy: str = ""


async def examine(settings: Settings) -> list[Check]:
    """Run every check; none of them changes the data directory."""
    checks: list[Check] = []
    simple: tuple[Callable[[], Check], ...] = (
        python,
        git,
        lambda: data_directory(settings.storage.data_dir),
        lambda: disk_space(settings.storage.data_dir),
        open_files,
        inotify,
        grammars,
    )
    for check in simple:
        checks.append(await asyncio.to_thread(check))
    with tempfile.TemporaryDirectory(prefix="codetrove-doctor-") as scratch:
        checks.append(await asyncio.to_thread(sqlite, Path(scratch)))
        checks.append(await worker(Path(scratch)))
    if settings.storage.backend == "weaviate":
        checks.append(await weaviate(settings))
    return checks


def python() -> Check:
    """Look at the interpreter."""
    detail = f"{platform.python_implementation()} {platform.python_version()} at {sys.executable}"
    if sys.version_info < LEAST_PYTHON:
        return Check("python", "fail", detail, "install Python 3.11 or newer")
    return Check("python", "ok", detail)


def sqlite(scratch: Path) -> Check:
    """Make a catalog in ``scratch``: it needs STRICT tables (SQLite 3.37) and FTS5."""
    remedy = "use a Python whose SQLite is 3.37 or newer, built with FTS5"
    try:
        connection = open_for_writing(scratch / "catalog.db")
        try:
            (version,) = connection.execute("SELECT sqlite_version()").fetchone()
            migrate(connection, scratch / "catalog.db")
        finally:
            connection.close()
    except (StorageError, ValueError) as error:
        return Check("sqlite", "fail", str(error), remedy)
    except Exception as error:  # noqa: BLE001  (task boundary: SQLite's own errors, which only storage may import)
        return Check("sqlite", "fail", str(error), remedy)
    return Check("sqlite", "ok", f"SQLite {version} with FTS5 makes a catalog")


def git() -> Check:
    """Look at git, which says what a tree tracks."""
    program = shutil.which("git")
    if program is None:
        return Check("git", "warn", "not found", "install git, or set discovery.use_git to false")
    try:
        done = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=10, check=True)  # noqa: S603
    except (OSError, subprocess.SubprocessError) as error:
        return Check("git", "warn", f"{program} does not run: {error}", "install git anew")
    return Check("git", "ok", done.stdout.strip())


def data_directory(path: Path) -> Check:
    """Look at the data directory, or at the place where it would be made."""
    if path.exists():
        try:
            DataDirectory(path).check_readable()
        except StorageError as error:
            return Check("data directory", "fail", str(error), "choose another with --data-dir or storage.data_dir")
    place = _nearest(path)
    if not os.access(place, os.W_OK | os.X_OK):
        return Check("data directory", "fail", f"{str(place)!r} cannot be written to", "choose another with --data-dir")
    return Check(
        "data directory", "ok", f"{str(path)!r}" + ("" if path.exists() else f", to be made in {str(place)!r}")
    )


def disk_space(path: Path) -> Check:
    """Look at the room on the disk of the data directory."""
    free = shutil.disk_usage(_nearest(path)).free
    detail = f"{free / 1e9:.1f} GB free"
    if free < LEAST_FREE_BYTES:
        return Check("disk space", "fail", detail, "make room, or move the data directory (storage.data_dir)")
    if free < FEW_FREE_BYTES:
        return Check("disk space", "warn", detail, "make room: an index takes about 0.8 times the bytes of its sources")
    return Check("disk space", "ok", detail)


def open_files() -> Check:
    """Look at how many files a process may have open."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    detail = f"{soft} allowed"
    if soft != resource.RLIM_INFINITY and soft < FEW_OPEN_FILES:
        return Check("open files", "warn", detail, f"run: ulimit -n {min(hard, 4096) if hard > 0 else 4096}")
    return Check("open files", "ok", detail)


def inotify(limits: Path = Path("/proc/sys/fs/inotify")) -> Check:
    """Look at how many directories may be watched on Linux, by inotify."""
    try:
        watches = int((limits / "max_user_watches").read_text(encoding="ascii"))
    except (OSError, ValueError):
        return Check("inotify", "ok", "no limits on this system")
    if watches < FEW_WATCHES:
        remedy = "run as root: sysctl fs.inotify.max_user_watches=524288"
        return Check("inotify", "warn", f"{watches} watches allowed", remedy)
    return Check("inotify", "ok", f"{watches} watches allowed")


def grammars() -> Check:
    """Load every grammar that has a query for its definitions."""
    names = sorted(
        Path(file.name).stem
        for file in resources.files("indexing.cutting").joinpath("queries").iterdir()
        if file.name.endswith(".scm")
    )
    broken = []
    for name in names:
        try:
            grammar(name)
        except Exception as error:  # noqa: BLE001  (task boundary: whatever a grammar does, the others are tried)
            broken.append(f"{name}: {error}")
    if broken:
        return Check(
            "grammars", "fail", "; ".join(broken), "install codetrove anew: its tree-sitter packages do not fit"
        )
    return Check("grammars", "ok", f"{len(names)} load")


async def worker(scratch: Path) -> Check:
    """Start a worker process on the catalog in ``scratch``."""
    setup = WorkerSetup(catalog=str(scratch / "catalog.db"), cpu_seconds=10, zstd_level=1)
    process = WorkerProcess(setup, directory=scratch, wall_seconds=30)
    try:
        await process.start()
    except (WorkerStartFailed, OSError) as error:
        return Check("worker process", "fail", str(error), "look at its messages above; check limits on processes")
    finally:
        await process.aclose()
    return Check("worker process", "ok", "starts")


async def weaviate(settings: Settings) -> Check:
    """Ask the Weaviate server who it is, and look at who else may ask it."""
    name, wanted = "weaviate", settings.weaviate
    try:
        refuse_anonymous_remote(settings)
    except SettingsError as error:
        return Check(name, "fail", str(error), "turn on API keys in the server, and give codetrove one of them")
    try:
        found = await look_at(wanted)
    except ServerSilent as error:
        remedy = "start it, or correct weaviate.url, weaviate.grpc_port and weaviate.api_key; see docs/weaviate.md"
        return Check(name, "fail", str(error), remedy)
    detail = f"Weaviate {found.version} at {wanted.url!r}"
    if not found.is_new_enough:
        least = ".".join(map(str, LEAST_VERSION))
        return Check(name, "fail", detail, f"use Weaviate {least} or newer")
    if not is_loopback(wanted.url):
        if found.is_anonymous:
            remedy = "set AUTHENTICATION_ANONYMOUS_ACCESS_ENABLED=false in the server: it holds the indexed texts"
            return Check(name, "warn", f"{detail} answers without a key, and is on another machine", remedy)
        if not wanted.url.lower().startswith("https:"):
            return Check(name, "warn", f"{detail}: the key and all texts travel in the clear", "use https")
    return Check(name, "ok", detail)


def _nearest(path: Path) -> Path:
    return next(each for each in (path, *path.parents) if each.exists())

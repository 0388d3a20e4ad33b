"""What tests of all packages share: no blocking call on the event loop, nothing left behind, small source trees."""

from __future__ import annotations

import gc
import inspect
import logging
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TypeAlias

import psutil
import pytest
from blockbuster import BlockBuster, blockbuster_ctx
from hypothesis import HealthCheck, settings

# How long an example takes, or its data, depends on what else the machine does.
settings.register_profile("no-clock", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("no-clock")

PACKAGES = ("storage", "embeddings", "indexing")

TreeFactory: TypeAlias = Callable[..., Path]
"""``tree(files, name="tree")``: see the fixture `tree`."""


@pytest.fixture(scope="session", autouse=True)
def _no_model() -> Iterator[None]:
    """Commands that a test runs use no model unless it says so: ``auto`` would ask the network for one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CODETROVE_EMBEDDINGS__MODEL", "none")
        yield


@pytest.fixture(autouse=True)
def _no_handlers_left() -> Iterator[None]:
    """Commands that a test or a fixture runs in this process set the logs up; each test begins with none of that."""
    _drop_own_handlers()
    level = logging.root.level
    yield
    _drop_own_handlers()
    logging.root.setLevel(level)


def _drop_own_handlers() -> None:
    own = [each for each in logging.root.handlers if type(each).__module__.startswith(PACKAGES)]
    for each in own:
        logging.root.removeHandler(each)


@pytest.fixture(autouse=True)
def _no_blocking_calls(request: pytest.FixtureRequest) -> Iterator[None]:
    """In an async test, a blocking call that our code makes on the event loop raises ``BlockingError``.

    Calls that the test itself makes are let through: it may look at files between two awaits.
    """
    function = getattr(request, "function", None)
    if not inspect.iscoroutinefunction(function):
        yield
        return
    with blockbuster_ctx(scanned_modules=list(PACKAGES)) as detector:
        _allow_what_does_not_wait(detector)
        yield


def _allow_what_does_not_wait(detector: BlockBuster) -> None:
    """Imports read files, once, when a coroutine is the first to need a module; tests would depend on their order.

    What measures the coverage has a lock of its own, which threads of ours take wherever they are.
    """
    for function in detector.functions.values():
        function.can_block_in("<frozen importlib._bootstrap>", {"_find_and_load"})
        function.can_block_in("coverage/collector.py", {"lock_data"})


@pytest.fixture(scope="session", autouse=True)
def _nothing_left_behind() -> Iterator[None]:
    """At the end of the session no thread, child process or file descriptor is left that was not there before."""
    threads, files = set(threading.enumerate()), _open_files()
    yield
    gc.collect()
    left = [f"thread {thread.name!r}" for thread in threading.enumerate() if thread not in threads]
    left += [f"child process {child}" for child in _children()]
    left += [f"open file {name}" for name in sorted(_open_files() - files)]
    if left:
        pytest.fail("left behind by the tests:\n  " + "\n  ".join(left))


def _children() -> list[str]:
    """The children of this process but for Python's resource tracker, which lives as long as its parent."""
    commands = []
    for child in psutil.Process().children(recursive=True):
        try:
            command = " ".join(child.cmdline())
        except psutil.Error:  # a zombie, or gone by now
            command = child.status() if child.is_running() else ""
        if command and "multiprocessing.resource_tracker" not in command:
            commands.append(f"{child.pid} ({command})")
    return commands


def _open_files() -> set[str]:
    """Paths of the files that this process has open, other than coverage data; pipes and sockets have no path."""
    names = {file.path for file in psutil.Process().open_files()}
    return {name for name in names if ".coverage" not in name}


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    """A data directory that does not exist yet, for one test."""
    return tmp_path / "data"


@pytest.fixture
def tree(tmp_path: Path) -> TreeFactory:
    """Makes small source trees below ``tmp_path``.

    ``tree({"src/a.py": "x = 1\\n", b"caf\\xe9.txt": b"..."}, name="one")`` writes each file with its directories and
    returns the root. Names are relative to the root, as ``str`` or raw bytes; a text is written as UTF-8 with
    its line endings as they are. Called again with the same name it adds to that tree.
    """

    def make(files: Mapping[str, str | bytes] | Mapping[bytes, str | bytes], name: str = "tree") -> Path:
        root = tmp_path / name
        root.mkdir(exist_ok=True)
        for relative, content in files.items():
            path = os.path.join(os.fsencode(root), os.fsencode(relative))
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "wb") as file:
                file.write(content.encode() if isinstance(content, str) else content)
        return root

    return make

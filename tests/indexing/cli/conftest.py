"""Running the command, in this process where that is enough and as a process of its own where it is not."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import pytest
import structlog
from typer.testing import CliRunner

from indexing.cli.app import app


@dataclass(frozen=True, slots=True)
class Ran:
    """What a command did."""

    code: int
    stdout: str
    stderr: str

    def json(self) -> Any:
        """What it printed with ``--json``."""
        assert self.stdout, self.stderr
        return json.loads(self.stdout)


Run: TypeAlias = Callable[..., Ran]
Start: TypeAlias = Callable[..., subprocess.Popen[str]]


@pytest.fixture(autouse=True)
def _only_our_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """No configuration of whoever runs the tests reaches them, and no log setup outlives one."""
    for name in [name for name in os.environ if name.startswith("CODETROVE_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("CODETROVE_EMBEDDINGS__MODEL", "none")
    yield
    structlog.reset_defaults()


@pytest.fixture
def run(data_dir: Path) -> Run:
    """``run("index", root)``: the command in this process, on the test's data directory."""

    def invoke(*arguments: str | Path, answer: str | None = None) -> Ran:
        words = ["--data-dir", str(data_dir), *map(str, arguments)]
        result = CliRunner().invoke(app, words, prog_name="codetrove", input=answer)
        return Ran(result.exit_code, result.stdout, result.stderr)

    return invoke


@pytest.fixture
def start(data_dir: Path) -> Iterator[Start]:
    """``start("index", root)``: the command as a process of its own; killed at the end of the test if it still runs."""
    started: list[subprocess.Popen[str]] = []

    def begin(*arguments: str | Path, before: Callable[[], None] | None = None) -> subprocess.Popen[str]:
        words = [sys.executable, "-c", "from indexing.cli import main; main()", "--data-dir", str(data_dir)]
        process = subprocess.Popen(
            [*words, *map(str, arguments)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            preexec_fn=before,  # noqa: PLW1509 - no thread of ours is running
        )
        started.append(process)
        return process

    yield begin
    for process in started:
        with process:  # closes the pipes; a worker that is held still would keep their other ends open
            process.kill()

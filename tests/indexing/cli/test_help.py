"""Help, documentation and completion of every command; what asking for help loads."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import typer

from indexing.cli.app import app
from indexing.cli.exits import ExitCode

if TYPE_CHECKING:
    from tests.conftest import TreeFactory
    from tests.indexing.cli.conftest import Run, Start

PROJECT = Path(__file__).parents[3]
HEAVY = ("torch", "transformers", "rich.progress", "tantivy", "sqlite3", "structlog")

NEVER_FOR_SEARCH = (
    "torch", "transformers", "rich.console", "tree_sitter", "psutil", "indexing.doctor", "http.client", "email.parser",
)  # fmt: skip


def _commands(group: Any = None, words: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    group = group or typer.main.get_command(app)
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from _commands(command, (*words, name))
        else:
            yield (*words, name), command


COMMANDS = dict(_commands())


def test_there_are_the_commands_that_are_promised() -> None:
    promised = (
        "index search similar symbol status serve stop sync mcp init forget fsck doctor backup restore config show"
        " jobs list jobs show jobs files jobs pause jobs resume jobs cancel jobs watch"
        " model list model fetch model switch flags list flags set flags unset token create token list token revoke"
    )
    assert " ".join(" ".join(words) for words in COMMANDS) == promised


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_help_has_an_example_and_the_exit_codes(run: Run, words: tuple[str, ...]) -> None:
    ran = run(*words, "--help")
    assert ran.code == 0
    text = " ".join(ran.stdout.split())
    assert f"Example: codetrove {' '.join(words)}" in text
    assert "Exit codes: 0 " in text
    assert "--json" in text


def test_help_loads_nothing_heavy() -> None:
    script = (
        "import sys\nfrom indexing.cli.app import app\n"
        f"for words in {list(COMMANDS)!r}:\n"
        "    try: app([*words, '--help'], prog_name='codetrove')\n    except SystemExit: pass\n"
        f"loaded = [name for name in {HEAVY!r} if name in sys.modules]\n"
        "sys.exit(f'loaded: {loaded}' if loaded else 0)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_searching_loads_no_model_no_grammar_and_no_bars(run: Run, tree: TreeFactory, data_dir: Path) -> None:
    run("index", tree({"a.py": "def alpha(): ...\n"}))
    script = (
        "import sys\nfrom indexing.cli.app import app\n"
        f"try: app(['--data-dir', {str(data_dir)!r}, 'search', 'alpha'], prog_name='codetrove')\n"
        "except SystemExit as end: assert end.code == 0, end.code\n"
        f"loaded = [name for name in {NEVER_FOR_SEARCH!r} if name in sys.modules]\n"
        "sys.exit(f'loaded: {loaded}' if loaded else 0)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_the_manual_has_every_command_with_all_its_options(words: tuple[str, ...]) -> None:
    manual = (PROJECT / "docs/cli.md").read_text(encoding="utf-8")
    heading = f"## codetrove {' '.join(words)}\n"
    assert heading in manual
    section = manual.split(heading)[1].split("\n## ")[0]
    options = {option for parameter in COMMANDS[words].params for option in parameter.opts if option.startswith("-")}
    assert {option for option in options if f"`{option}" not in section} == set()
    mentioned = set(re.findall(r"`(--[a-z-]+)", section))
    assert mentioned - options - {"--yes", "--data-dir"} == set()


def test_the_manual_has_every_exit_code() -> None:
    manual = (PROJECT / "docs/cli.md").read_text(encoding="utf-8")
    assert [int(code) for code in re.findall(r"^\| (\d+) \|", manual, re.MULTILINE)] == [
        code.value for code in ExitCode
    ]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_shells_get_their_completion(start: Start, monkeypatch: pytest.MonkeyPatch, shell: str) -> None:
    monkeypatch.setenv("_CODETROVE_COMPLETE", f"source_{shell}")
    stdout, _ = (process := start()).communicate()
    assert process.returncode == 0
    assert "codetrove" in stdout


def test_the_version_is_that_of_the_package(run: Run) -> None:
    ran = run("--version")
    assert (ran.code, ran.stdout.startswith("codetrove 0.")) == (0, True)


def test_an_unknown_command_gets_the_nearest_one_named(run: Run) -> None:
    ran = run("serach")
    assert (ran.code, "'search'" in ran.stderr) == (2, True)

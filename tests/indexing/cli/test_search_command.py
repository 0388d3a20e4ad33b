"""``codetrove search`` and ``codetrove symbol``."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

from indexing.cli.app import app

if TYPE_CHECKING:
    from tests.conftest import TreeFactory
    from tests.indexing.cli.conftest import Run, Start

FILES = {
    "src/registry.py": "class Registry:\n    def register_blueprint(self, name):\n        return name\n",
    "web/app.js": "function registerBlueprint(name) { return name }\n",
    "docs/guide.md": "# Guide\n\nHow a blueprint is registered.\n",
}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A tree and a data directory in which it is indexed, made once; neither is changed."""
    root, data = tmp_path_factory.mktemp("tree"), tmp_path_factory.mktemp("built") / "data"
    for name, content in FILES.items():
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_text(content, encoding="utf-8")
    ran = CliRunner().invoke(app, ["--data-dir", str(data), "index", str(root)], prog_name="codetrove")
    assert ran.exit_code == 0, ran.stderr
    return root, data


@pytest.fixture
def indexed(built: tuple[Path, Path], data_dir: Path) -> Path:
    """The root of a tree that is indexed in a data directory of the test's own."""
    shutil.copytree(built[1], data_dir)
    return built[0]


def test_a_hit_says_where_why_and_what(run: Run, indexed: Path) -> None:
    ran = run("search", "register", "blueprint")
    assert ran.code == 0
    first = ran.stdout.split("\n\n")[0].splitlines()
    assert re.match(rf"{re.escape(str(indexed))}/\S+:\d+(-\d+)?", first[0])
    assert "text #" in first[1]
    assert re.match(r"  +\d+ .*(?i:register)", first[2])
    assert "\x1b" not in ran.stdout


def test_paths_below_the_working_directory_are_relative_to_it(
    run: Run, indexed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(indexed)
    assert run("symbol", "Registry").stdout.startswith("src/registry.py:1  class Registry")


def test_filters_narrow_the_answer(run: Run, indexed: Path) -> None:
    def paths(*arguments: str) -> set[str]:
        return {hit["path"] for hit in run("search", "blueprint", "--json", *arguments).json()["hits"]}

    assert paths("--lang", "JavaScript") == {"web/app.js"}
    assert paths("--path", "src/**") == {"src/registry.py"}
    assert paths("--path", "src/**", "--path", "docs/") == {"src/registry.py", "docs/guide.md"}
    assert len(paths("-k", "1")) == 1


def test_a_repository_is_named_by_its_root_or_a_directory_in_it(run: Run, indexed: Path, tree: TreeFactory) -> None:
    other = tree({"blueprint.py": "blueprint = 1\n"}, name="other")
    run("index", other)

    def roots(*arguments: str | Path) -> set[str]:
        return {hit["root"] for hit in run("search", "blueprint", "--json", *arguments).json()["hits"]}

    assert roots() == {str(indexed), str(other)}
    assert roots("--repo", other) == {str(other)}
    assert roots("--repo", indexed / "src") == {str(indexed)}
    assert roots("--repo", indexed, "--repo", other) == {str(indexed), str(other)}


def test_the_json_has_a_schema_number_and_is_all_that_is_printed(run: Run, indexed: Path) -> None:
    found = run("search", "blueprint", "--json").json()
    assert (found["schema"], found["query"], found["complete"]) == (1, "blueprint", True)
    assert found["hits"][0]["schema"] == 1
    assert run("symbol", "Registry", "--json").json()["definitions"][0]["start_line"] == 1


@pytest.mark.parametrize("command", ["search", "symbol"])
def test_no_hit_is_exit_code_1_and_nothing_indexed_3(run: Run, tree: TreeFactory, command: str) -> None:
    assert run(command, "anything").code == 3
    run("index", tree(FILES))
    ran = run(command, "xyzzyplugh")
    assert (ran.code, ran.stdout) == (1, "")
    assert "xyzzyplugh" in ran.stderr


@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        (("search", "x", "-k", "0"), "-k 0 is outside 1 to 200 (search.max_k)"),
        (("search", "x", "-k", "201"), "-k 201 is outside 1 to 200 (search.max_k)"),
        (("search", " "), "the query is empty"),
        (("search", "x", "--repo", "/nowhere"), "'/nowhere' is not indexed; indexed are: "),
        (("symbol", "1 + 1"), "is no name of a definition"),
        (("symbol", "x", "-k", "0"), "-k 0"),
    ],
)
def test_bad_input_is_one_line_that_names_it(run: Run, indexed: Path, arguments: tuple[str, ...], names: str) -> None:
    ran = run(*arguments)
    assert ran.code == 2
    assert ran.stdout == ""
    assert len(ran.stderr.splitlines()) == 1
    assert names in ran.stderr


def test_f091_what_a_file_holds_cannot_reach_the_terminal(run: Run, tree: TreeFactory) -> None:
    root = tree({"a\x1b[2Jb\n.py": "evil = '\x1b]0;owned\x07'  # \u202eevil\x9b\tx\n", "\u202egp.py": "evil = 1\n"})
    indexed = run("index", root, "--dry-run").stdout + run("index", root).stdout
    ran = run("search", "evil")
    for text in (indexed, ran.stdout, ran.stderr, run("search", "evil", "--json").stdout):
        assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e]", text)
    assert "a\\x1b[2Jb\\n.py" in ran.stdout
    assert "\\x1b]0;owned\\x07" in ran.stdout
    assert "\\u202egp.py" in ran.stdout


def test_a_hit_in_a_changed_file_is_called_stale(run: Run, tree: TreeFactory) -> None:
    indexed = tree(FILES)
    run("index", indexed)
    (indexed / "src/registry.py").write_text("class Registry: ...\n", encoding="utf-8")
    ran = run("search", "Registry", "--path", "src")
    assert ran.code == 0
    assert "STALE" in ran.stdout
    assert f"run: codetrove index {indexed}" in ran.stderr


def test_symbol_lists_definitions_a_line_each(run: Run, indexed: Path) -> None:
    ran = run("symbol", "Registry.register_blueprint")
    assert ran.code == 0
    (line,) = ran.stdout.splitlines()
    assert line.startswith(f"{indexed}/src/registry.py:2  method Registry.register_blueprint  def register_blueprint")
    assert len(run("symbol", "reg", "--prefix").stdout.splitlines()) == 3
    assert len(run("symbol", "reg", "--prefix", "--lang", "javascript").stdout.splitlines()) == 1


def test_a_reader_that_closes_the_pipe_is_no_error(
    start: Start, indexed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PYTHONUNBUFFERED", raising=False)
    process = start("search", "blueprint")
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    process.stdout = None
    process.wait()
    assert (process.returncode, process.stderr.read()) == (0, "")


def test_colours_are_for_terminals(run: Run, start: Start, indexed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert "\x1b[1;31m" in _on_a_terminal(start, "search", "blueprint")
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b" not in _on_a_terminal(start, "search", "blueprint")


def _on_a_terminal(start: Start, *arguments: str) -> str:
    ours, theirs = os.openpty()
    process = start(*arguments, before=lambda: os.dup2(theirs, 1))
    os.close(theirs)
    seen = b""
    try:
        while page := os.read(ours, 4096):
            seen += page
    except OSError:  # EIO is how Linux says that nobody has the other side open
        pass
    os.close(ours)
    process.wait()
    return seen.decode()

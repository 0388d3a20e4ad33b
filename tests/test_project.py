"""The project itself: where things live, what is exported, and that its documents tell the truth."""

from __future__ import annotations

import ast
import asyncio
import importlib
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

import pytest
from blockbuster import BlockingError

from indexing.settings import load_settings

PROJECT = Path(__file__).parents[1]
SOURCE = PROJECT / "src"
PACKAGES = ("storage", "embeddings", "indexing")
MOST_LINES = 350
DOCUMENTS = sorted([*PROJECT.glob("*.md"), *PROJECT.glob("docs/**/*.md")])


def test_src_holds_exactly_the_three_packages_that_the_wheel_takes() -> None:
    found = {path.name for path in SOURCE.iterdir() if path.is_dir() and path.name != "__pycache__"}
    assert found == set(PACKAGES)
    assert _pyproject()["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"] == [
        f"src/{package}" for package in PACKAGES
    ]


def test_indexing_imports_the_other_packages_from_their_roots_alone() -> None:
    """import-linter sees which packages know each other; only this sees how deep an import reaches."""
    assert _deep_imports(SOURCE / "indexing", {"storage", "embeddings"}) == []


def test_a_deep_import_would_be_seen(tmp_path: Path) -> None:
    (tmp_path / "bad.py").write_text(
        "import storage\nimport storage.catalog\nfrom storage import X\n"
        "def f():\n    from embeddings.batching import Y\n",
        encoding="utf-8",
    )
    assert [problem.split(": ")[1] for problem in _deep_imports(tmp_path, {"storage", "embeddings"})] == [
        "storage.catalog",
        "embeddings.batching",
    ]


def test_every_directory_of_source_is_a_package() -> None:
    without = {path.parent for path in SOURCE.rglob("*.py")} - {path.parent for path in SOURCE.rglob("__init__.py")}
    assert sorted(str(path.relative_to(SOURCE)) for path in without) == []


@pytest.mark.parametrize("package", PACKAGES)
def test_exported_names_exist_are_sorted_and_are_all_that_a_root_binds(package: str) -> None:
    module = importlib.import_module(package)
    tree = ast.parse((SOURCE / package / "__init__.py").read_text(encoding="utf-8"))
    imported = {
        alias.asname or alias.name
        for node in tree.body
        if isinstance(node, ast.ImportFrom) and node.module not in {"__future__", "typing"}
        for alias in node.names
    }
    exported = list(getattr(module, "__all__", ()))
    assert imported - set(exported) == set(), "a name that the root imports is public: put it into __all__"
    assert len(exported) == len(set(exported))
    assert [name for name in exported if not hasattr(module, name)] == []
    assert module.__doc__


def test_no_file_is_longer_than_a_reader_can_hold() -> None:
    lengths = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in SOURCE.rglob("*.py")}
    assert {str(path.relative_to(PROJECT)): n for path, n in lengths.items() if n > MOST_LINES} == {}


@pytest.mark.parametrize("module", ["storage", "embeddings", "indexing", "indexing.settings"])
def test_importing_loads_no_library_that_start_up_cannot_afford(module: str) -> None:
    heavy = ("torch", "transformers", "numpy", "tree_sitter_language_pack", "rich", "typer", "click")
    program = f"import sys, {module}; print(*[name for name in {heavy!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=SOURCE)
    assert done.stdout.split() == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(PROJECT)))
def test_links_of_documents_lead_somewhere(document: Path) -> None:
    text = re.sub(r"^```.*?^```", "", document.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    broken = []
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        file = document.parent / unquote(path) if path else document
        if not file.exists() or (anchor and anchor not in _anchors(file)):
            broken.append(target)
    assert broken == []


def test_decision_records_are_listed_in_order() -> None:
    records = sorted(path.name for path in (PROJECT / "docs/adr").glob("[0-9]*.md"))
    index = (PROJECT / "docs/adr/README.md").read_text(encoding="utf-8")
    assert re.findall(r"\]\((\d{4}-[^)]+\.md)\)", index) == records


def test_scripts_are_executable_bash_that_stops_at_the_first_error() -> None:
    for path in (*(PROJECT / "script").iterdir(), PROJECT / ".ci/run"):
        assert path.stat().st_mode & 0o111 == 0o111, path
        lines = path.read_text(encoding="utf-8").splitlines()
        assert lines[0] == "#!/usr/bin/env bash", path
        assert "set -euo pipefail" in lines, path


def test_every_exception_from_a_linter_rule_has_its_reason() -> None:
    text = (PROJECT / "pyproject.toml").read_text(encoding="utf-8")
    section = text[text.index("[tool.ruff.lint]") : text.index("[tool.ruff.lint.flake8-builtins]")]
    rules = [line for line in section.splitlines() if re.match(r' +"[A-Z]+\d*",', line)]
    assert rules
    assert [line for line in rules if not re.search(r"# \w", line)] == []
    for path in [*SOURCE.rglob("*.py"), *(PROJECT / "tests").rglob("*.py")]:
        for line in path.read_text(encoding="utf-8").splitlines():
            assert not re.search(r"# (noqa|type: ignore)(?![:\[])", line), f"{path}: {line.strip()}"


async def test_code_that_blocks_the_event_loop_raises_in_tests(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("log: {level: debug}", encoding="utf-8")
    with pytest.raises(BlockingError):
        load_settings(path)
    assert (await asyncio.to_thread(load_settings, path)).log.level == "debug"


def test_the_changelog_begins_with_what_is_not_released_yet() -> None:
    headings = re.findall(r"^## (.+)$", (PROJECT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert headings[0] == "Unreleased"


def _deep_imports(directory: Path, packages: set[str]) -> list[str]:
    """``file:line: module`` for each import of something inside one of ``packages``."""
    return [
        f"{path.name}:{node.lineno}: {name}"
        for path in sorted(directory.rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in _imported_modules(node)
        if "." in name and name.partition(".")[0] in packages
    ]


def _imported_modules(node: ast.Import | ast.ImportFrom) -> Iterator[str]:
    if isinstance(node, ast.ImportFrom):
        yield node.module or ""
    else:
        yield from (alias.name for alias in node.names)


def _anchors(document: Path) -> set[str]:
    """The anchors that a Markdown page gets for its headings."""
    headings = re.findall(r"^#+ (.+)$", document.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


def _pyproject() -> dict[str, dict[str, dict[str, dict[str, dict[str, dict[str, list[str]]]]]]]:
    with (PROJECT / "pyproject.toml").open("rb") as file:
        return tomllib.load(file)

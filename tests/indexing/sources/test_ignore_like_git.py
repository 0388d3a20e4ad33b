"""Our ignore decisions must be those of the real git, on trees full of tricky patterns."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from indexing.sources import Found, Rules, Skipped, scan

if TYPE_CHECKING:
    from pathlib import Path

EVERYTHING = Rules(hidden="index", vendored="index", generated="index", minified="index", secrets="index")

FILES = [
    *b"b/a a/c a/b/c a/b/b/c a/x/y/b abc abd bar foobar foo/bar foo/x/bar foox/y/bar xfoo/bar debug.log".split(),
    *b"logs/debug.log logs/deep/debug.log build/out.t build/keep/out.c src/build/out.t deep/build x.t x.c".split(),
    *b".hidden .dir/file a-c a]c a[c a!c a^c a\\c #hash !bang foo.bar.baz Doc/X.txt doc/x.txt a1 a2 a9 aZ a_".split(),
    *b"ab+c a.b".split(),
    b"with space ",
    b"with space",
    b"tail\\ ",
    b"caf\xe9.py",
    "ünï/ç.txt".encode(),
    b"tab\tname",
    b"cr\r",
    b"new\nline",
]

TRICKY = [
    b"*.log", b"/*.log", b"logs/", b"logs/*", b"logs/**", b"**/logs", b"**/logs/debug.log", b"logs/**/debug.log",
    b"/a", b"a/", b"a/*", b"a/**", b"a/**/b", b"a/**/c", b"**/b", b"a/b", b"b/a", b"**", b"*", b"/*", b"/**", b"**/",
    b"*/", b"/**/", b"***", b"a***c", b"a**c", b"**b", b"foo**bar", b"foo**/bar", b"foo*/bar", b"**foo/bar",
    b"foo/**bar", b"foo/***/bar", b"?", b"a?c", b"a[bc]?", b"a[!b]c", b"a[^b]c", b"a[]]c", b"a[!]]c", b"a[]-]c",
    b"a[-x]c", b"a[x-]c", b"a[\\]]c", b"a[[]c", b"a[[:digit:]]", b"a[[:alpha:]]", b"a[^[:alnum:]]", b"a[[:nope:]]",
    b"a[[:digit]", b"a[z-a]", b"a[9-1]", b"a[1-9]", b"a[\\1-\\9]", b"a[", b"a[b", b"[ab]", b"[!a]", b"foo[/]bar",
    b"foo[!x]bar", b"foo?bar", b"a\\c", b"a\\\\c", b"\\a", b"foo\\", b"foo\\/bar", b"\\#hash", b"#hash", b"\\!bang",
    b"!bang", b"with space ", b"with space\\ ", b"with space   ", b"tail\\\\\\ ", b"cr\\\r", b"cr?", b"caf?.py",
    b"caf\xe9.py", b"*.py", "ünï/".encode(), b"ab+c", b"a.b", b"a+b", b"(a|b)", b"Doc", b"doc/", b"foo.*.baz",
    b"*.*.*", b"build/\n!build/keep", b"build/*\n!build/keep", b"build\n!build/keep/out.c", b"*\n!*/\n!*.c",
    b"/*\n!/a\n/a/*\n!/a/b", b"*.t\n!x.t", b"!x.t\n*.t", b"a/b\n!a/b/c", b"a/b/*\n!a/b/c", b"", b"/", b"//", b"//a",
    b"a//b", b"!", b"!/", b" ", b" a", b"\ta", b"\xef\xbb\xbfa", b"a\r\nfoo\r", b"a\0b", b"foo/bar/", b"x/**/y/**",
    b"a/**/**/c", b"**/**/c", b"*/b", b"*/*/c", b"tab\tname", b"new?line", b"**/x/**", b"a*b*c", b"*a*b*", b"foo/*",
    b"/foo/", b"foo/", b"/fo/", b"fo/", b"/logs/de/", b"a/x/", b"/a/x/y", b".*", b".dir/", b"*.\\t", b"[[:upper:]]*/",
]  # fmt: skip


@pytest.mark.parametrize("pattern", TRICKY, ids=[repr(p)[2:-1] or "empty" for p in TRICKY])
def test_one_ignore_file_excludes_what_git_excludes(tree: Path, pattern: bytes) -> None:
    (tree / ".gitignore").write_bytes(pattern)
    assert wanted(tree) == wanted_by_git(tree)


PIECES = st.sampled_from(
    [
        b"a",
        b"b",
        b"c",
        b"foo",
        b"bar",
        b"build",
        b"x.t",
        b"*",
        b"**",
        b"?",
        b"/",
        b"/",
        b"[ab]",
        b"[!a]",
        b"\\a",
        b".c",
        b"debug",
        b".log",
    ]
)
LINES = st.builds(
    lambda negated, pieces, end: negated + b"".join(pieces) + end,
    st.sampled_from([b"", b"", b"!"]),
    st.lists(PIECES, min_size=1, max_size=6),
    st.sampled_from([b"", b"", b"/", b" ", b"\r"]),
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    top=st.lists(LINES, max_size=5),
    deep=st.lists(LINES, max_size=3),
    deeper=st.lists(LINES, max_size=2),
    info=st.lists(LINES, max_size=2),
)
def test_nested_ignore_files_exclude_what_git_excludes(
    tree: Path, top: list[bytes], deep: list[bytes], deeper: list[bytes], info: list[bytes]
) -> None:
    (tree / ".gitignore").write_bytes(b"\n".join(top))
    (tree / "a" / ".gitignore").write_bytes(b"\n".join(deep))
    (tree / "a" / "b" / ".gitignore").write_bytes(b"\n".join(deeper))
    (tree / ".git" / "info" / "exclude").write_bytes(b"\n".join(info))
    assert wanted(tree) == wanted_by_git(tree)


def test_the_root_may_be_a_directory_inside_the_working_tree(tree: Path) -> None:
    (tree / ".gitignore").write_bytes(b"/a/b/c\n*.t\nx/y\n")
    (tree / "a" / ".gitignore").write_bytes(b"/x\n")
    assert wanted(tree / "a") == wanted_by_git(tree / "a") == {b".gitignore", b"c", b"b/b/c"}


def test_an_ignored_root_is_indexed_because_the_user_named_it(tree: Path) -> None:
    (tree / ".gitignore").write_bytes(b"build/\n")
    found = scan(tree / "build", EVERYTHING)
    assert {item.path for item in found if isinstance(item, Found)} == {b"out.t", b"keep/out.c"}
    assert any("root is ignored by ../.gitignore" in warning for warning in found.warnings)


def test_tracked_files_are_found_inside_ignored_directories(tree: Path) -> None:
    git(tree, "add", "-f", "build/keep/out.c", "debug.log")
    (tree / ".gitignore").write_bytes(b"/build/\n*.log\n")
    (tree / "build" / "other").mkdir()
    items = {item.path: item for item in scan(tree, EVERYTHING)}
    assert isinstance(items[b"build/keep/out.c"], Found)
    assert isinstance(items[b"debug.log"], Found)
    skipped = items[b"build/out.t"]
    assert isinstance(skipped, Skipped)
    assert (skipped.reason, skipped.detail) == ("ignored", ".gitignore:1: /build/")
    assert isinstance(items[b"build/other"], Skipped)


def test_outside_of_a_working_tree_gitignore_means_nothing(tmp_path: Path) -> None:
    (tmp_path / ".gitignore").write_bytes(b"/*\n")
    (tmp_path / "a.c").write_bytes(b"int a;")
    assert wanted(tmp_path) == {b".gitignore", b"a.c"}


def test_nested_repositories_follow_their_own_ignore_files(tree: Path) -> None:
    inner = tree / "inner"
    inner.mkdir()
    git(inner, "init", "-q")
    for name in ("kept.log", "dropped.txt", "tracked.txt", "excluded.c"):
        (inner / name).write_bytes(b"x")
    git(inner, "add", "tracked.txt")
    (inner / ".gitignore").write_bytes(b"*.txt\n")
    (inner / ".git" / "info" / "exclude").write_bytes(b"/excluded.c\n")
    (tree / ".gitignore").write_bytes(b"*.log\n")
    found = {item.path: item for item in scan(tree, EVERYTHING) if isinstance(item, Found)}
    assert {path for path in found if path.startswith(b"inner/")} == {
        b"inner/.gitignore",
        b"inner/kept.log",
        b"inner/tracked.txt",
    }
    assert found[b"inner/tracked.txt"].tracked
    assert not found[b"inner/kept.log"].tracked


def test_own_ignore_file_also_excludes_tracked_files_and_overrides_git(tree: Path) -> None:
    git(tree, "add", "foo/bar")
    (tree / ".gitignore").write_bytes(b"*.c\n")
    (tree / ".codetroveignore").write_bytes(b"/foo/\n!x.c\n")
    items = {item.path: item for item in scan(tree, EVERYTHING)}
    foo = items[b"foo"]
    assert isinstance(foo, Skipped)
    assert (foo.reason, foo.detail) == ("excluded", ".codetroveignore:1: /foo/")
    assert isinstance(items[b"x.c"], Found)


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("tree")
    git(root, "init", "-q")
    for path in FILES:
        full = os.fsencode(root) + b"/" + path
        try:
            os.makedirs(os.path.dirname(full), exist_ok=True)
            with open(full, "wb") as file:
                file.write(b"x")
        except OSError:
            continue  # the name is taken by a directory or a file
    for directory in ("a", "a/b"):
        assert (root / directory).is_dir()
    return root


@pytest.fixture(autouse=True)
def _without_ignore_files(request: pytest.FixtureRequest) -> None:
    if "tree" in request.fixturenames:
        root: Path = request.getfixturevalue("tree")
        for file in (
            *root.rglob(".gitignore"),
            root / ".codetroveignore",
            root / ".git/info/exclude",
            root / ".git/index",
        ):
            file.unlink(missing_ok=True)


def wanted(root: Path) -> set[bytes]:
    return {item.path for item in scan(root, EVERYTHING) if isinstance(item, Found)}


def wanted_by_git(root: Path) -> set[bytes]:
    listing = git(root, "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    return {path for path in listing.split(b"\0") if path}


def git(root: Path, *words: str) -> bytes:
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": "/nonexistent",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": "/dev/null",
    }
    return subprocess.run(["git", *words], cwd=root, env=environment, check=True, capture_output=True).stdout

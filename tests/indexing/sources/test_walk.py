"""The walk over a source tree: what it finds, what it leaves out, and that it cannot be led astray."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from indexing.sources import (
    Finding,
    Found,
    RootMissing,
    RootNotDirectory,
    RootVanished,
    Rules,
    Skipped,
    Unreadable,
    same_root,
    scan,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


def test_findings_come_sorted_by_components_with_their_stat(tmp_path: Path) -> None:
    for name in ("b/z", "b/a/x", "b.c", "a", "c/d/e/f"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"12345")
    items = list(scan(tmp_path, Rules()))
    assert [item.path for item in items] == [b"a", b"b/a/x", b"b/z", b"b.c", b"c/d/e/f"]
    first = items[0]
    assert isinstance(first, Found)
    now = (tmp_path / "a").stat()
    assert (first.stat.size, first.stat.mtime_ns, first.stat.ctime_ns) == (5, now.st_mtime_ns, now.st_ctime_ns)


def test_include_and_exclude_globs_select_with_a_reason(tmp_path: Path) -> None:
    for name in ("src/a.py", "src/gen/b.py", "src/c.txt", "docs/d.py", "e.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    rules = Rules(include=("/src/", "e.py"), exclude=("*.txt", "gen/"))
    items = by_path(scan(tmp_path, rules))
    assert {path for path, item in items.items() if isinstance(item, Found)} == {b"src/a.py", b"e.py"}
    assert reason(items[b"src/gen"]) == ("excluded", "exclude glob gen/")
    assert reason(items[b"src/c.txt"]) == ("excluded", "exclude glob *.txt")
    assert reason(items[b"docs/d.py"]) == ("excluded", "no include glob matches")


def test_other_registered_repositories_are_not_entered(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "a.py").write_bytes(b"x")
    items = by_path(scan(tmp_path, Rules(other_roots=frozenset({os.fsencode(tmp_path / "other"), b"/elsewhere"}))))
    assert set(items) == {b"other"}
    assert reason(items[b"other"])[0] == "other_repository"


def test_virtual_environments_and_caches_are_known_by_their_markers(tmp_path: Path) -> None:
    for directory in ("env", "out", "fake"):
        (tmp_path / directory).mkdir()
        (tmp_path / directory / "a.py").write_bytes(b"x")
    (tmp_path / "env" / "pyvenv.cfg").write_bytes(b"")
    (tmp_path / "out" / "CACHEDIR.TAG").write_bytes(b"Signature: 8a477f597d28d172789f06886806bc55\n# cargo")
    (tmp_path / "fake" / "CACHEDIR.TAG").write_bytes(b"something else")
    items = by_path(scan(tmp_path, Rules()))
    assert reason(items[b"env"])[0] == "vendored"
    assert reason(items[b"out"])[0] == "generated"
    assert isinstance(items[b"fake/a.py"], Found)


def test_f049_a_huge_file_is_skipped_by_its_stat(tmp_path: Path) -> None:
    with (tmp_path / "big.py").open("wb") as file:
        file.truncate(1 << 30)
    (tmp_path / "at_limit.py").write_bytes(b"x" * 1_000)
    items = by_path(scan(tmp_path, Rules(max_file_bytes=1_000)))
    assert reason(items[b"big.py"]) == ("too_large", "1073741824 bytes; max_file_bytes is 1000")
    assert isinstance(items[b"at_limit.py"], Found)


def test_f056_links_to_directories_are_not_followed(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "loop").symlink_to("..")
    (tmp_path / "self").symlink_to(".")
    (tmp_path / "d" / "a.py").write_bytes(b"x")
    items = by_path(scan(tmp_path, Rules()))
    assert set(items) == {b"d/a.py", b"d/loop", b"self"}
    assert reason(items[b"self"])[0] == reason(items[b"d/loop"])[0] == "symlink"


def test_f056_a_bind_mount_of_the_root_into_itself_ends(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_bytes(b"x")
    (tmp_path / "inner").mkdir()
    script = "mount --bind . inner && exec " + " ".join([sys.executable, "-c", f"'{_PRINT_SCAN}'", "."])
    answer = run_in_namespace(script, tmp_path)
    assert answer == [["Found", "a.py", ""], ["Skipped", "inner", "special_file"]]


def test_f057_a_link_out_of_the_root_is_reported_and_not_followed(tmp_path: Path) -> None:
    (tmp_path / "shadow.py").symlink_to("/etc/shadow")
    assert reason(by_path(scan(tmp_path, Rules()))[b"shadow.py"])[0] == "symlink"


def test_f059_special_files_and_pseudo_file_systems_are_skipped(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "x.py")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "s.py"))
        items = by_path(scan(tmp_path, Rules()))
    assert reason(items[b"x.py"])[0] == reason(items[b"s.py"])[0] == "special_file"
    assert [reason(item) for item in scan(Path("/proc"), Rules())] == [("special_file", "a mount of type proc")]


def test_f060_what_may_not_be_read_is_reported_and_never_missing(tmp_path: Path) -> None:
    (tmp_path / "open.py").write_bytes(b"x")
    (tmp_path / "closed").mkdir()
    (tmp_path / "closed" / "a.py").write_bytes(b"x")
    (tmp_path / "closed").chmod(0o000)
    (tmp_path / "listable").mkdir()
    (tmp_path / "listable" / "b.py").write_bytes(b"x")
    (tmp_path / "listable").chmod(0o744)
    answer = run_unprivileged(_PRINT_SCAN, tmp_path)
    assert answer == [
        ["Unreadable", "closed", "denied"],
        ["Unreadable", "listable/b.py", "denied"],
        ["Found", "open.py", ""],
    ]


def test_f061_a_root_that_is_replaced_during_the_scan_ends_it_with_an_error(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    for name in "abc":
        (root / name).write_bytes(b"x")

    def rename() -> None:
        root.rename(tmp_path / "moved")
        root.mkdir()

    assert_vanishes(root, rename)


def test_f061_a_root_that_is_removed_during_the_scan_ends_it_with_an_error(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    (root / "a").write_bytes(b"x")
    assert_vanishes(root, lambda: shutil.rmtree(root))


def test_f061_a_root_that_is_replaced_before_the_iteration_ends_it_with_an_error(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    found = scan(root, Rules())
    root.rename(tmp_path / "moved")
    with pytest.raises(RootVanished, match="removed, unmounted or replaced"):
        list(found)
    root.mkdir()
    with pytest.raises(RootVanished):
        list(found)
    assert not same_root(found.root, scan(root, Rules()).root)


def test_missing_roots_and_files_in_their_place_have_clear_errors(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(RootMissing, match="does not exist"):
        scan(tmp_path / "missing", Rules())
    with pytest.raises(RootNotDirectory, match="is not a directory; give the directory that holds the file"):
        scan(tmp_path / "file", Rules())


def test_f065_names_that_differ_only_in_case_or_normal_form_are_different_files(tmp_path: Path) -> None:
    names = ["ä.py", "a\u0308.py", "README", "readme"]
    for name in names:
        (tmp_path / name).write_bytes(name.encode())
    assert {item.path for item in scan(tmp_path, Rules())} == {name.encode() for name in names}


def test_f066_names_that_are_not_utf8_stay_raw_bytes(tmp_path: Path) -> None:
    directory = os.fsencode(tmp_path) + b"/d\xff"
    os.mkdir(directory)
    for name in (b"caf\xe9.py", b".gitignore"):
        with open(directory + b"/" + name, "wb") as file:
            file.write(b"x\xe9*")
    assert [item.path for item in scan(tmp_path, Rules())] == [b"d\xff/.gitignore", b"d\xff/caf\xe9.py"]


def test_f067_hostile_names_are_ordinary_files(tmp_path: Path) -> None:
    names = [b"a\nb", b"q'\"q", b"\x1b[2J", b"n" * 255, "\u202etxt.exe.py".encode(), b"-rf", b"*", b"[a]", b"a\\b"]
    for name in names:
        with open(os.fsencode(tmp_path) + b"/" + name, "wb") as file:
            file.write(b"x")
    assert [item.path for item in scan(tmp_path, Rules())] == sorted(names)


def test_very_deep_trees_need_neither_stack_nor_descriptors(tmp_path: Path) -> None:
    depth = 1_500
    fd = os.open(tmp_path, os.O_RDONLY)
    for _ in range(depth):
        os.mkdir("d", dir_fd=fd)
        below = os.open("d", os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd = below
    os.close(os.open("a.py", os.O_CREAT | os.O_WRONLY, dir_fd=fd))
    os.close(fd)
    try:
        assert [item.path for item in scan(tmp_path, Rules())] == [b"d/" * depth + b"a.py"]
    finally:  # shutil.rmtree, with which pytest cleans up, is recursive
        subprocess.run(["rm", "-rf", str(tmp_path / "d")], check=True)


def test_f073_a_new_ignore_line_turns_found_into_skipped_with_the_reason(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_bytes(b"x")
    assert isinstance(by_path(scan(tmp_path, Rules()))[b"a.py"], Found)
    (tmp_path / ".codetroveignore").write_bytes(b"# own\n*.py\n")
    assert reason(by_path(scan(tmp_path, Rules()))[b"a.py"]) == ("excluded", ".codetroveignore:2: *.py")
    assert isinstance(by_path(scan(tmp_path, Rules()))[b".codetroveignore"], Found)


def test_f073_an_ignore_file_that_cannot_be_read_makes_the_plan_unknown(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "a.py").write_bytes(b"x")
    (tmp_path / "d" / ".codetroveignore").write_bytes(b"a.py\n")
    (tmp_path / "d" / ".codetroveignore").chmod(0)
    answer = run_unprivileged(
        _PRINT_SCAN + '; print(json.dumps(["unknown", s.unreadable_ignores[0].decode(), ""]))', tmp_path
    )
    assert answer[-1] == ["unknown", "d/.codetroveignore", ""]


def test_f073_an_ignore_file_that_is_too_large_makes_the_plan_unknown(tmp_path: Path) -> None:
    (tmp_path / ".codetroveignore").write_bytes(b"# " + b"x" * (1 << 20))
    found = scan(tmp_path, Rules())
    list(found)
    assert found.unreadable_ignores == [b".codetroveignore"]
    assert "more than 1048576 bytes" in found.warnings[0]


_PRINT_SCAN = (
    "import sys, json; from pathlib import Path; from indexing.sources import Rules, scan; "
    "s = scan(Path(sys.argv[1]), Rules()); "
    '[print(json.dumps([type(x).__name__, x.path.decode(), getattr(x, "reason", getattr(x, "error", ""))])) for x in s]'
)


def run_unprivileged(code: str, tree: Path) -> list[list[str]]:
    """Runs code with the tree as its argument as a user that has no rights but those of everybody."""
    if os.geteuid() != 0:
        return _lines([sys.executable, "-c", code, str(tree)], None)
    tree.chmod(0o755)
    fd = os.open(tree, os.O_RDONLY)
    # The way to the tree and to the interpreter may be closed to others, so the child enters the one and loads what it
    # needs of the other before it gives its rights up.
    dropped = (
        f"import json, os; from pathlib import Path; from indexing.sources import Rules, scan; os.fchdir({fd}); "
        f"list(scan(Path(), Rules())); os.setgroups([]); os.setgid(65534); os.setuid(65534); {code}"
    )
    try:
        return _lines([sys.executable, "-c", dropped, "."], fd)
    finally:
        os.close(fd)


def run_in_namespace(script: str, tree: Path) -> list[list[str]]:
    """Runs a shell script in a mount namespace of its own; skips the test where that is not allowed."""
    probe = subprocess.run(["unshare", "-m", "mount", "--bind", str(tree), str(tree)], capture_output=True, check=False)
    if probe.returncode:
        pytest.skip("mount namespaces are not permitted here")
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", script], cwd=tree, capture_output=True, check=True, env=_environment(), timeout=30
    )
    return [json.loads(line) for line in done.stdout.splitlines()]


def _lines(command: list[str], fd: int | None) -> list[list[str]]:
    passed = () if fd is None else (fd,)
    done = subprocess.run(command, capture_output=True, check=False, pass_fds=passed, env=_environment(), timeout=30)
    assert done.returncode == 0, done.stderr.decode()
    return [json.loads(line) for line in done.stdout.splitlines()]


def _environment() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}


def assert_vanishes(root: Path, change: Callable[[], object]) -> None:
    items = iter(scan(root, Rules()))
    next(items)
    change()
    with pytest.raises(RootVanished):
        list(items)


def by_path(items: Iterable[Finding]) -> dict[bytes, Finding]:
    return {item.path: item for item in items}


def reason(item: Finding) -> tuple[str, str]:
    assert isinstance(item, (Skipped, Unreadable)), item
    return (item.reason, item.detail) if isinstance(item, Skipped) else (item.error, item.message)

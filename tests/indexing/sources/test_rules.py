"""Rules are checked when they are made, and no glob can make a scan slow."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from indexing.sources import BadGlob, Found, Rules, check_globs, scan

if TYPE_CHECKING:
    from pathlib import Path


def test_the_fingerprint_depends_on_every_setting_and_on_nothing_else() -> None:
    variants = [
        Rules(),
        Rules(include=("a",)),
        Rules(exclude=("a",)),
        Rules(max_file_bytes=5),
        Rules(vendored="skip"),
        Rules(generated="skip"),
        Rules(hidden="skip"),
        Rules(minified="skip"),
        Rules(secrets="index"),
        Rules(use_git=False),
        Rules(other_roots=frozenset({b"/a\xff", b"/b"})),
    ]
    prints = [rules.fingerprint() for rules in variants]
    assert len(set(prints)) == len(variants)
    assert Rules(other_roots=frozenset({b"/b", b"/a\xff"})).fingerprint() == prints[-1]


@pytest.mark.parametrize(
    ("glob", "problem"),
    [
        ("x" * 1_001, "is 1001 characters long; at most 1000 are allowed"),
        ("**/a/**/b/**/c/**/d/**", "has 5 times '**'; at most 4 are allowed"),
        ("a\nb", "holds a line break"),
        ("# comment", "is empty or a comment"),
        ("", "is empty or a comment"),
    ],
)
def test_f088_globs_outside_the_limits_are_refused_by_name(glob: str, problem: str) -> None:
    with pytest.raises(BadGlob, match=r"^exclude glob ") as caught:
        Rules(exclude=(glob,))
    assert problem in str(caught.value)
    assert len(str(caught.value)) < 300


def test_f088_the_number_of_globs_is_bounded() -> None:
    check_globs(("a",) * 1_000, "include")
    with pytest.raises(BadGlob, match="include has 1001 globs; at most 1000"):
        check_globs(("a",) * 1_001, "include")


def test_f088_hostile_patterns_in_a_committed_ignore_file_cost_no_time(tmp_path: Path) -> None:
    """Translated to expressions that backtrack, each of these takes minutes to ages; the deadline is for that."""
    patterns = [
        "**/" + "a*/**/" * 12 + "b",
        "*a" * 40 + "b",
        "**/" * 300 + "b",
        "**/*a*" * 12 + "b",
        "[!b]*" * 50 + "b",
    ]
    (tmp_path / ".codetroveignore").write_text("\n".join(patterns), encoding="utf-8")
    deep = tmp_path.joinpath(*["a" * 50] * 40)
    deep.mkdir(parents=True)
    (deep / ("a" * 200)).write_bytes(b"x")
    code = (
        "import sys; from pathlib import Path; from indexing.sources import Rules, scan; "
        "print(len(list(scan(Path(sys.argv[1]), Rules()))))"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], env=environment, capture_output=True, check=True, timeout=20
    )
    assert done.stdout.split() == [b"2"]


def test_f088_overlong_lines_of_an_ignore_file_are_dropped_with_a_warning(tmp_path: Path) -> None:
    (tmp_path / ".codetroveignore").write_bytes(b"x" * 1_001 + b"\nb.py\n")
    (tmp_path / "a.py").write_bytes(b"x")
    (tmp_path / "b.py").write_bytes(b"x")
    found = scan(tmp_path, Rules())
    assert {item.path for item in found if isinstance(item, Found)} == {b".codetroveignore", b"a.py"}
    assert found.warnings == [".codetroveignore:1: pattern of 1001 bytes dropped; at most 1000 are read"]
    assert found.unreadable_ignores == []

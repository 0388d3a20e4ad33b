"""``codetrove flags``."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import TreeFactory
    from tests.indexing.cli.conftest import Run


def test_a_flag_is_stored_until_it_is_unset(run: Run) -> None:
    assert "enable_parallel  false  (from the settings)\n" in run("flags", "list").stdout
    assert "enable_parallel  true   (stored at 20" in run("flags", "set", "enable_parallel", "true").stdout
    flags = json.loads(run("flags", "list", "--json").stdout)["flags"]
    parallel, hybrid = flags["enable_parallel"], flags["hybrid_search"]
    assert (parallel["value"], parallel["stored"], parallel["changed_by"]) == (True, True, "local")
    assert (hybrid["value"], hybrid["stored"], hybrid["changed_by"]) == (True, False, "")
    assert "enable_parallel  false  (from the settings)\n" in run("flags", "unset", "enable_parallel").stdout


def test_an_unknown_flag_is_named_with_those_there_are(run: Run) -> None:
    for words in (("set", "enable_paralel", "true"), ("unset", "enable_paralel")):
        ran = run("flags", *words)
        assert ran.code == 2
        assert "no flag 'enable_paralel'; there is enable_parallel" in ran.stderr


def test_a_stored_flag_leaves_the_repositories_alone(run: Run, tree: TreeFactory, data_dir: Path) -> None:
    run("index", tree({"a.py": "a = 1\n"}))
    before = json.loads((data_dir / "registry.json").read_text("utf-8"))
    run("flags", "set", "enable_parallel", "true")
    after = json.loads((data_dir / "registry.json").read_text("utf-8"))
    (change,) = after.pop("flag_changes")
    assert (change["flag"], change["value"], change["by"]) == ("enable_parallel", True, "local")
    before.pop("flag_changes")
    assert after == before | {"flags": {"enable_parallel": True}}
    assert "succeeded" not in run("index", tree({"b.py": "b = 1\n"})).stderr
    assert len(json.loads((data_dir / "registry.json").read_text("utf-8"))["repositories"]) == 1

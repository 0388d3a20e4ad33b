"""``codetrove token``."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

from indexing.tokens import Tokens
from storage import DataDirectory, Ownership, load_registry

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import TreeFactory
    from tests.indexing.cli.conftest import Run


def test_a_token_is_printed_once_listed_without_it_and_revoked(run: Run, data_dir: Path) -> None:
    made = run("token", "create", "editor", "--scope", "index")
    token = made.stdout.strip()
    assert made.code == 0
    assert made.stdout == f"{token}\n", "nothing but the token, for a pipe"
    assert "not shown again" in made.stderr
    held = asyncio.run(Tokens(data_dir).held(token))
    assert held is not None
    assert held.principal.may("index")
    assert not held.principal.may("admin")
    listed = run("token", "list")
    assert listed.stdout.startswith("editor  index: all repositories  since 2")
    for shown in (listed.stdout, run("token", "list", "--json").stdout):
        assert token not in shown
        assert load_registry(data_dir).tokens[0].sha256 not in shown
    assert run("token", "revoke", "editor").stdout == "revoked editor\n"
    assert asyncio.run(Tokens(data_dir).held(token)) is None
    assert run("token", "list").stdout == ""


def test_a_token_can_read_and_nothing_else_unless_it_is_said(run: Run) -> None:
    made = run("token", "create", "reader", "--json").json()
    assert made["scopes"] == ["read"]
    assert made["repositories"] is None
    assert made["token"].startswith("codetrove_")


def test_a_token_is_limited_to_repositories_named_by_path_or_uuid(run: Run, tree: TreeFactory, data_dir: Path) -> None:
    one, two = tree({"a.py": "a = 1\n"}, name="one"), tree({"b.py": "b = 1\n"}, name="two")
    run("index", one)
    run("index", two)
    uuids = {root: uuid for uuid, root in load_registry(data_dir).repositories.items()}
    first, second = uuids[bytes(one)], uuids[bytes(two)]
    made = run("token", "create", "both", "--repo", one, "--repo", second.upper(), "--repo", first, "--json").json()
    assert made["repositories"] == [first, second]
    assert f"both  read: {one}, {two}  since" in run("token", "list").stdout


def test_what_cannot_be_is_said_in_one_line(run: Run, tmp_path: Path) -> None:
    run("token", "create", "editor")
    for words, said in (
        (("create", "editor"), "there is a token 'editor' already"),
        (("create", "local"), "cannot be called 'local'"),
        (("create", "x", "--repo", str(tmp_path)), "neither the root nor the uuid of an indexed repository"),
        (("create", "x", "--scope", "root"), "'root'"),
        (("revoke", "nobody"), "there is no token 'nobody'"),
    ):
        ran = run("token", *words)
        assert ran.code == 2
        assert said in ran.stderr
        assert ran.stdout == ""


def test_tokens_are_made_and_revoked_beside_a_running_owner(run: Run, data_dir: Path) -> None:
    directory = DataDirectory(data_dir)
    directory.prepare()
    with Ownership(directory):
        assert run("token", "create", "editor").code == 0
        assert run("token", "revoke", "editor").code == 0
    assert json.loads((data_dir / "registry.json").read_text("utf-8"))["tokens"] == []

"""``codetrove init``: agents' configurations, printed and merged into what is there."""

from __future__ import annotations

import json
import os
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from tests.indexing.cli.conftest import Run

FILES = {"claude": ".mcp.json", "cursor": ".cursor/mcp.json", "vscode": ".vscode/mcp.json"}
SERVERS = {"claude": "mcpServers", "cursor": "mcpServers", "vscode": "servers", "generic": "mcpServers"}


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current directory, with a home of its own."""
    directory = tmp_path / "project"
    directory.mkdir()
    monkeypatch.chdir(directory)
    monkeypatch.setenv("CODEX_HOME", str(tmp_path / "codex"))
    return directory


@pytest.mark.parametrize("client", SERVERS)
def test_it_prints_what_belongs_into_the_configuration(run: Run, client: str, data_dir: Path, project: Path) -> None:
    ran = run("init", "--mcp", client)
    assert ran.code == 0
    entry = json.loads(ran.stdout)[SERVERS[client]]["codetrove"]
    assert Path(entry["command"]).is_absolute()
    assert entry["args"][-3:] == ["--data-dir", str(data_dir), "mcp"]
    assert list(project.iterdir()) == []


def test_the_command_that_is_written_is_one_that_runs(run: Run) -> None:
    entry = run("init", "--mcp", "claude", "--allow-index", "--json").json()["entry"]
    assert entry["args"][-2:] == ["mcp", "--allow-index"]
    assert os.access(entry["command"], os.X_OK)
    assert Path(entry["command"]).parent == Path(sys.executable).parent


@pytest.mark.parametrize("client", FILES)
def test_written_once_it_is_there_and_written_again_it_stays_as_it_is(run: Run, client: str, project: Path) -> None:
    first = run("init", "--mcp", client, "--write", "--json").json()
    file = project / FILES[client]
    assert (first["file"], first["changed"]) == (str(file), True)
    assert "codetrove" in json.loads(file.read_text())[SERVERS[client]]
    before = file.read_bytes(), file.stat().st_ino
    assert run("init", "--mcp", client, "--write", "--json").json()["changed"] is False
    assert (file.read_bytes(), file.stat().st_ino) == before


def test_other_servers_other_keys_and_what_a_user_added_to_ours_are_kept(run: Run, project: Path) -> None:
    there = {
        "inputs": [{"id": "Schlüssel"}],
        "servers": {"other": {"command": "x"}, "codetrove": {"command": "old", "args": [], "env": {"A": "1"}}},
    }
    file = project / ".vscode/mcp.json"
    file.parent.mkdir()
    file.write_text(json.dumps(there, ensure_ascii=False), encoding="utf-8")
    file.chmod(0o640)
    assert run("init", "--mcp", "vscode", "--write").code == 0
    now = json.loads(file.read_text(encoding="utf-8"))
    assert now["inputs"] == there["inputs"]
    assert now["servers"]["other"] == {"command": "x"}
    assert now["servers"]["codetrove"]["env"] == {"A": "1"}
    assert now["servers"]["codetrove"]["command"] != "old"
    assert "Schlüssel" in file.read_text(encoding="utf-8")
    assert file.stat().st_mode & 0o777 == 0o640
    assert os.listdir(file.parent) == ["mcp.json"]


@pytest.mark.parametrize(
    "content", ['{"mcpServers": {', "[1]", '{"mcpServers": []}', "// a comment\n{}", b'{"a": "\xff"}']
)
def test_a_file_that_cannot_be_understood_is_left_alone_and_the_remedy_is_named(
    run: Run, project: Path, content: str | bytes
) -> None:
    file = project / ".mcp.json"
    file.write_bytes(content.encode() if isinstance(content, str) else content)
    before = file.read_bytes()
    ran = run("init", "--mcp", "claude", "--write")
    assert ran.code == 2
    assert ".mcp.json" in ran.stderr
    assert "mend it" in ran.stderr
    assert file.read_bytes() == before


def test_the_target_of_a_link_is_changed_and_the_link_stays(run: Run, project: Path, tmp_path: Path) -> None:
    target = tmp_path / "dotfiles.json"
    target.write_text("{}")
    (project / ".mcp.json").symlink_to(target)
    assert run("init", "--mcp", "claude", "--write").code == 0
    assert (project / ".mcp.json").is_symlink()
    assert "codetrove" in target.read_text()


def test_without_a_file_of_its_own_a_client_needs_one_named(run: Run, tmp_path: Path) -> None:
    refused = run("init", "--mcp", "generic", "--write")
    assert refused.code == 2
    assert "--file" in refused.stderr
    file = tmp_path / "some/where.json"
    assert run("init", "--mcp", "generic", "--write", "--file", file).code == 0
    assert "codetrove" in json.loads(file.read_text())["mcpServers"]


def test_an_unknown_client_is_wrong_usage(run: Run) -> None:
    assert run("init", "--mcp", "emacs").code == 2
    assert run("init").code == 2


class TestCodex:
    @pytest.fixture
    def file(self, tmp_path: Path) -> Path:
        (tmp_path / "codex").mkdir()
        return tmp_path / "codex/config.toml"

    def read(self, file: Path) -> Any:
        return tomllib.loads(file.read_text(encoding="utf-8"))

    def test_comments_and_other_tables_are_kept(self, run: Run, file: Path, data_dir: Path) -> None:
        before = '# mine\nmodel = "x"\n\n[mcp_servers.other] # theirs\ncommand = "y"\n'
        file.write_text(before)
        assert run("init", "--mcp", "codex", "--write", "--json").json()["changed"] is True
        assert file.read_text().startswith(before)
        entry = self.read(file)["mcp_servers"]["codetrove"]
        assert entry["args"][-3:] == ["--data-dir", str(data_dir), "mcp"]
        assert run("init", "--mcp", "codex", "--write", "--json").json()["changed"] is False

    def test_an_entry_of_ours_is_brought_up_to_date(self, run: Run, file: Path) -> None:
        file.write_text(
            '[mcp_servers.codetrove]\ncommand = "old"\nargs = []\nstartup_timeout_sec = 20\n[a]\nargs = 1\n'
        )
        assert run("init", "--mcp", "codex", "--write").code == 0
        found = self.read(file)
        assert found["mcp_servers"]["codetrove"]["command"] != "old"
        assert found["mcp_servers"]["codetrove"]["startup_timeout_sec"] == 20
        assert found["a"] == {"args": 1}

    @pytest.mark.parametrize(
        "content",
        [
            "a = ",
            "mcp_servers = 3",
            'mcp_servers = { codetrove = { command = "old" } }',
            '[mcp_servers.codetrove]\ncommand = "old"\nargs = [\n  "a",\n]\n',
        ],
    )
    def test_what_is_not_understood_is_left_alone(self, run: Run, file: Path, content: str) -> None:
        file.write_text(content)
        ran = run("init", "--mcp", "codex", "--write")
        assert ran.code == 2
        assert "[mcp_servers.codetrove]" in ran.stderr
        assert file.read_text() == content

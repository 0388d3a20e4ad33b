"""What users are given to run the service with, held against the program: options, settings, metrics, limits."""

from __future__ import annotations

import http.server
import json
import re
import shlex
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import typer.main
import yaml

from indexing.cli.app import app
from indexing.http.metric_families import Snapshot, families_of
from indexing.http.request_meter import RequestMeter
from indexing.http.rights import PUBLIC_PATHS
from indexing.ingest.stage_meters import FeedMeter, IngestMeter
from indexing.metrics import Metrics
from indexing.settings import Settings, load_settings

TOP = Path(__file__).parents[1]
UNIT = TOP / "deploy" / "codetrove.service"
CONTAINERFILE = TOP / "deploy" / "Containerfile"
OPERATIONS = TOP / "docs" / "operations.md"


def parsed(arguments: list[str]) -> Any:
    """Parse a command line of ``codetrove`` as the program does, and run nothing."""
    command: Any = typer.main.get_command(app)
    context = command.make_context("codetrove", arguments)
    rest = [*context._protected_args, *context.args]
    while hasattr(command, "commands"):
        name, command, rest = command.resolve_command(context, rest)
        context = command.make_context(name, rest, parent=context)
        rest = [*getattr(context, "_protected_args", []), *context.args] if hasattr(command, "commands") else []
    return context


def unit_lines(text: str) -> list[tuple[str, str]]:
    """(key, value) of a unit file, in its order."""
    pairs = (line.partition("=") for line in text.splitlines() if "=" in line and not line.startswith("#"))
    return [(key, value) for key, _, value in pairs]


def container_lines() -> list[tuple[str, str]]:
    """(instruction, its words) of the Containerfile, continued lines joined."""
    kept = [line for line in CONTAINERFILE.read_text().splitlines() if not line.startswith("#")]
    joined = "\n".join(kept).replace("\\\n", " ")
    return [(line.partition(" ")[0], line.partition(" ")[2].strip()) for line in joined.splitlines() if line]


def blocks(language: str) -> list[str]:
    """The fenced blocks of that language in the manual."""
    return re.findall(rf"```{language}\n(.*?)```", OPERATIONS.read_text(), re.DOTALL)


@contextmanager
def environment(pairs: dict[str, str]) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in pairs.items():
            patch.setenv(name, value)
        yield


def test_the_unit_starts_a_command_that_there_is() -> None:
    lines = dict(unit_lines(UNIT.read_text()))
    program, *arguments = shlex.split(lines["ExecStart"])
    assert Path(program).name == "codetrove"
    assert parsed(arguments).command.name == "serve"


def test_the_unit_sets_what_can_be_set() -> None:
    given = [value for key, value in unit_lines(UNIT.read_text()) if key == "Environment"]
    with environment(dict(pair.split("=", 1) for pair in given)):
        assert load_settings(None, {}).log.format == "json"


def test_a_stop_may_take_longer_than_the_service_takes_for_it() -> None:
    lines = dict(unit_lines(UNIT.read_text()))
    assert int(lines["TimeoutStopSec"]) >= 2 * Settings().service.drain_seconds + 10
    assert lines["Type"] == "notify"
    assert lines["KillMode"] == "mixed"


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not here")
@pytest.mark.parametrize("is_system", [False, True])
def test_systemd_takes_every_line_of_the_unit(tmp_path: Path, is_system: bool) -> None:
    unit = tmp_path / "codetrove.service"
    if is_system:
        (drop_in,) = blocks("ini")
        (tmp_path / "codetrove.service.d").mkdir()
        (tmp_path / "codetrove.service.d" / "system.conf").write_text(
            runnable(drop_in).replace("=codetrove", "=root", 1)
        )
    unit.write_text(runnable(UNIT.read_text()))
    command = ["systemd-analyze", "verify", "--man=no", str(unit)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    # It ends with 0 also where it ignores lines.
    assert (done.returncode, done.stderr) == (0, "")


def runnable(text: str) -> str:
    """The unit with a program that is here."""
    return re.sub(r"^ExecStart=\S+", f"ExecStart={sys.executable}", text, flags=re.MULTILINE)


def test_the_container_starts_a_command_that_there_is() -> None:
    lines = container_lines()
    entry, command = (json.loads(value) for key, value in lines if key in {"ENTRYPOINT", "CMD"})
    context = parsed([*entry, *command][1:])
    assert context.command.name == "serve"
    assert context.params["host"] == "0.0.0.0"  # noqa: S104 - of the container
    assert context.params["allow_remote"] is True, "without it, no other address than loopback is taken"
    exposed = [value for key, value in lines if key == "EXPOSE"]
    assert exposed == [str(context.params["port"])]


def test_the_container_sets_what_can_be_set_and_runs_without_rights() -> None:
    lines = container_lines()
    given = dict(
        shlex.split(value)[i].split("=", 1)
        for key, value in lines
        if key == "ENV"
        for i in range(len(shlex.split(value)))
    )
    ours = {name: value for name, value in given.items() if name.startswith("CODETROVE_")}
    with environment(ours):
        settings = load_settings(None, {})
    assert str(settings.storage.data_dir) in str(dict(lines)["VOLUME"])
    assert [str(root) for root in settings.service.allowed_roots] == ["/src"]
    users = [value for key, value in lines if key == "USER"]
    assert users
    assert not users[-1].startswith(("0", "root"))
    assert [value for key, value in lines if key == "FROM"] == ["python:3.11-slim AS build", "python:3.11-slim"]


@pytest.mark.parametrize(("status", "code"), [(200, 0), (503, 1)])
def test_the_container_is_healthy_while_the_probe_says_so(status: int, code: int) -> None:
    (health,) = (value for key, value in container_lines() if key == "HEALTHCHECK")
    command = json.loads(health.partition("CMD ")[2])
    assert "/healthz" in PUBLIC_PATHS
    with probe(status) as port:
        words = [sys.executable, *(word.replace("7878", str(port)) for word in command[1:])]
        assert subprocess.run(words, timeout=20, check=False).returncode == code
    assert subprocess.run(words, stderr=subprocess.DEVNULL, timeout=20, check=False).returncode != 0, "nobody there"


@contextmanager
def probe(status: int) -> Iterator[int]:
    """A server that answers /healthz with a status; gives its port."""

    class Answer(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status if self.path == "/healthz" else 404)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Answer) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize("path", [UNIT, CONTAINERFILE, OPERATIONS], ids=lambda path: path.name)
def test_every_command_that_is_named_can_be_run(path: Path) -> None:
    text = path.read_text()
    # At the beginning of a line of a block, or in backquotes; `podman exec codetrove codetrove index …` as well.
    found = re.findall(r"(?:^|`|codetrove )(?<![-/\w])codetrove ([a-z][^`\n#]*)", text, re.MULTILINE)
    commands = [re.sub(r"\b[A-Z]{3,}\b|\$\([^)]*\)", "x", command).strip() for command in found]
    known = set(typer.main.get_command(app).commands)  # type: ignore[attr-defined]
    run = [shlex.split(command) for command in commands if command.split()[0] in known]
    assert run or path is UNIT
    for words in run:
        # Prose may name a command without what it is to work on.
        if len(words) > 1:
            parsed(words)


def test_metrics_of_the_manual_are_those_of_the_service() -> None:
    told = Snapshot("0", 0.0, _empty_metrics(), {}, RequestMeter())
    names = {name for family in families_of(told) for name in _sample_names(family.name, family.type)}
    used = set(re.findall(r"\bcodetrove_[a-z_]+\b", OPERATIONS.read_text()))
    assert used - names == set(), "no such metric"
    plain = {name for name in names if not name.endswith(("_bucket", "_sum", "_count"))}
    assert plain - used == set(), "missing in docs/operations.md"


def test_alert_rules_are_yaml_with_an_expression_each() -> None:
    loaded = [yaml.safe_load(block) for block in blocks("yaml")]
    (rules,) = [group["rules"] for each in loaded for group in each.get("groups", [])]
    assert len(rules) == len({rule["alert"] for rule in rules}) >= 8
    for rule in rules:
        assert rule["expr"].count("(") == rule["expr"].count(")")
        assert set(rule) <= {"alert", "expr", "for"}


def _sample_names(name: str, kind: str) -> set[str]:
    if kind == "histogram":
        return {name, f"{name}_bucket", f"{name}_sum", f"{name}_count"}
    return {f"{name}_total"} if kind == "counter" else {name}


def _empty_metrics() -> Metrics:
    return Metrics((), 1, 0, {}, IngestMeter(), FeedMeter(), {}, {}, {}, 0, 0, 0, None, None)

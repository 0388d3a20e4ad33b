"""``codetrove serve``: readiness, TCP with a token, the control socket, signals, one owner, systemd."""

from __future__ import annotations

import os
import signal
import socket
import sqlite3
import stat
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeAlias

import pytest

from indexing.control import control_socket, owner_answers
from tests.conftest import TreeFactory
from tests.indexing.cli.conftest import Run, Start
from tests.indexing.cli.serving import Serving, when_ready

Serve: TypeAlias = Callable[..., Serving]


@pytest.fixture(autouse=True)
def _quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    """A test reads what a service says only at its end: the pipe must not fill up."""
    monkeypatch.setenv("CODETROVE_LOG__LEVEL", "error")


@pytest.fixture
def serve(start: Start) -> Iterator[Serve]:
    """``serve("--no-watch")``: a service on any free port."""
    started: list[Serving] = []

    def begin(*arguments: str) -> Serving:
        started.append(when_ready(start("serve", "--port", "0", "--json", *arguments)))
        return started[-1]

    yield begin
    for each in started:
        if each.process.poll() is None:
            each.process.terminate()
            each.process.communicate(timeout=30)


def test_it_says_where_it_is_and_a_token_opens_it(serve: Serve, tree: TreeFactory, data_dir: Path) -> None:
    root = tree({"a.py": "def alpha(): ...\n"})
    serving = serve("--allow-root", str(root.parent))
    assert serving.ready["control_socket"] == str(control_socket(data_dir))
    assert serving.ready["sign_in"].startswith(f"{serving.ready['url']}/sign-in?code=")
    assert serving.ask("GET", "/repositories", token="wrong")[0] == 401
    status, added = serving.ask("POST", "/repositories", {"root": str(root)})
    assert (status, added["repository"]["root"]) == (201, str(root))
    status, synced = serving.ask("POST", "/sync", {"timeout_ms": 20_000})
    assert (status, synced["synced"]) == (200, True)
    status, found = serving.ask("POST", "/search", {"query": "alpha"})
    assert (status, [hit["path"] for hit in found["hits"]]) == (200, ["a.py"])


def test_people_get_the_address_the_link_and_the_files(start: Start, run: Run, tree: TreeFactory) -> None:
    root = tree({"a.py": "a = 1\n"})
    run("index", root)
    process = start("serve", "--port", "0", "--no-watch")
    assert process.stdout is not None
    lines = [process.stdout.readline() for _ in range(5)]
    assert lines[0].startswith("codetrove serves http://127.0.0.1:")
    assert "/sign-in?code=" in lines[1]
    assert "access token: " in lines[2]
    assert lines[4] == f"  repository: {root}\n"
    process.terminate()
    process.communicate(timeout=30)
    assert process.returncode == 0


def test_a_socket_that_a_killed_owner_left_is_replaced(serve: Serve, run: Run, data_dir: Path) -> None:
    serving = serve()
    serving.process.kill()
    serving.process.communicate()
    assert control_socket(data_dir).exists()
    assert run("jobs", "list").code == 3
    serve()
    assert run("jobs", "list").code == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_f023_the_first_signal_ends_it_with_requests_and_idle_connections_open(
    serve: Serve, run: Run, number: signal.Signals
) -> None:
    serving = serve()
    with serving.link() as idle, serving.link() as halfway:
        halfway.sendall(b"GET /healthz HTTP/1.1\r\nHost: ")
        code, stderr = serving.stop(number)
        assert idle.recv(1) == b""
    assert (code, "finishing what is in hand" in stderr) == (0, True)
    assert "Traceback" not in stderr
    assert run("fsck").code in (0, 3)


def test_f023_the_second_signal_ends_it_at_once(serve: Serve, tree: TreeFactory, run: Run) -> None:
    root = tree({"a.py": "a = 1\n"})
    serving = serve()
    assert run("index", root).code == 0
    assert serving.process.stderr is not None
    with serving.link() as slow:
        # A body that does not come holds the drain up.
        slow.sendall(
            b"POST /search HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: 9\r\n"
            + f"Authorization: Bearer {serving.token}\r\n\r\n".encode()
        )
        assert serving.ask("GET", "/healthz")[0] == 200
        serving.process.send_signal(signal.SIGTERM)
        for line in serving.process.stderr:
            if "finishing what is in hand" in line:
                break
        serving.process.send_signal(signal.SIGTERM)
        assert serving.process.wait(timeout=30) == 130
    assert run("search", "a").code in (0, 1)


def test_a_second_owner_is_refused_with_the_name_of_the_first(serve: Serve, run: Run) -> None:
    serving = serve()
    ran = run("serve", "--port", "0")
    assert ran.code == 3
    assert f"in use by process {serving.process.pid}" in ran.stderr
    assert serving.ask("GET", "/healthz")[0] == 200


def test_a_port_that_is_taken_is_named(run: Run) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ran = run("serve", "--port", str(port))
    assert ran.code == 3
    assert f"port {port} cannot be listened on" in ran.stderr


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "example.org"])  # noqa: S104 - none is bound
def test_an_address_that_others_can_reach_must_be_meant(run: Run, host: str) -> None:
    ran = run("serve", "--host", host)
    assert ran.code == 2
    assert "--allow-remote" in ran.stderr


def test_f080_a_head_must_be_small_and_come_in_time(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CODETROVE_SERVICE__READ_SECONDS", "1")
    serving = serve()
    with serving.link() as large:
        large.sendall(b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nX: " + b"x" * 100_000 + b"\r\n\r\n")
        assert large.recv(64).startswith(b"HTTP/1.1 400")
    with serving.link() as nothing, serving.link() as halfway:
        halfway.sendall(b"GET /healthz HTTP/1.1\r\nHo")
        assert (nothing.recv(1), halfway.recv(1)) == (b"", b"")
    with serving.link() as good:
        good.sendall(b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
        answer = b"".join(iter(lambda: good.recv(4096), b"")).lower()
    assert answer.startswith(b"http/1.1 200")
    assert b"server:" not in answer


def test_f094_connections_beyond_a_bound_are_hung_up_on_and_the_others_stay(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CODETROVE_SERVICE__MAX_EVENT_STREAMS", "1")
    monkeypatch.setenv("CODETROVE_SERVICE__MAX_CONCURRENT_REQUESTS", "1")
    serving = serve("--no-watch")
    with ExitStack() as stack:
        links = [stack.enter_context(serving.link()) for _ in range(10)]
        assert links[-1].recv(1) == b""
        links[0].sendall(b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        assert links[0].recv(64).startswith(b"HTTP/1.1 200")
    assert serving.process.poll() is None


def test_systemd_is_told_when_it_is_ready_and_when_it_stops(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(30)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        process = start("serve", "--port", "0", "--no-watch")
        assert manager.recv(1000).startswith(b"READY=1\n")
        process.terminate()
        assert manager.recv(1000) == b"STOPPING=1"
        process.communicate(timeout=30)


def test_what_an_owner_left_in_the_middle_is_indexed_at_the_start(
    serve: Serve, start: Start, run: Run, tree: TreeFactory, data_dir: Path
) -> None:
    root = tree({f"m{number}.py": f"def f{number}(): ...\n" for number in range(300)})
    killed = start("index", root)
    assert killed.stderr is not None
    for line in killed.stderr:
        if "indexing" in line:
            break
    while not _jobs_in(data_dir):
        assert killed.poll() is None
    killed.kill()
    killed.communicate()
    serve("--no-watch")
    (job,) = run("jobs", "list", "--json").json()["jobs"]
    assert run("jobs", "watch", job["id"]).code == 0
    assert run("search", "f299").code == 0


def test_f100_the_control_socket_is_its_users_alone_and_stop_ends_the_owner(
    serve: Serve, run: Run, data_dir: Path
) -> None:
    serving = serve()
    found = control_socket(data_dir).lstat()
    assert stat.S_ISSOCK(found.st_mode)
    assert stat.S_IMODE(found.st_mode) == 0o600
    assert run("stop", "--json").json() == {"schema": 1, "pid": serving.process.pid, "ended": True}
    assert serving.process.wait(timeout=30) == 0
    assert not control_socket(data_dir).exists()
    ran = run("stop")
    assert (ran.code, "nobody owns" in ran.stderr) == (1, True)


def test_stop_leaves_a_process_alone_that_only_has_the_number(run: Run, data_dir: Path) -> None:
    run("flags", "set", "enable_parallel", "false")
    with subprocess.Popen(["sleep", "60"]) as other:
        (data_dir / "owner.lock").write_text(f"process {other.pid} (codetrove)\n", "utf-8")
        assert run("stop").code == 1
        assert other.poll() is None
        other.kill()


def test_a_long_data_directory_has_its_socket_elsewhere(
    start: Start, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    long = tmp_path / ("d" * 100)
    with TemporaryDirectory() as short:
        monkeypatch.setenv("XDG_RUNTIME_DIR", "")
        monkeypatch.setenv("TMPDIR", short)
        monkeypatch.setattr("tempfile.tempdir", None)
        process = start("--data-dir", str(long), "serve", "--port", "0", "--json", "--no-watch")
        ready = when_ready(process).ready
        assert os.path.dirname(ready["control_socket"]) == os.path.join(short, f"codetrove-{os.getuid()}")
        assert run("--data-dir", str(long), "jobs", "list").code == 0
        process.terminate()
        process.communicate(timeout=30)


def test_a_catalog_that_is_damaged_while_it_serves_is_made_again(
    serve: Serve, run: Run, tree: TreeFactory, data_dir: Path
) -> None:
    root = tree({f"m{number}.py": f"def f{number}(): ...\n" for number in range(50)})
    run("index", root)
    serving = serve("--no-watch")
    catalog = next((data_dir / "catalog").glob("*.db"))
    with catalog.open("r+b") as file:
        file.seek(4096)
        file.write(os.urandom(catalog.stat().st_size - 4096))
    assert serving.ask("GET", "/repositories")[0] == 503
    again = when_ready(serving.process)
    assert "moved aside" in again.ready["messages"][0]
    assert run("index", root).code == 0
    assert again.ask("POST", "/search", {"query": "f49"})[1]["hits"][0]["path"] == "m49.py"


@pytest.mark.skipif(os.getuid() != 0, reason="needs root, to become somebody else")
def test_f100_a_process_of_another_user_is_hung_up_on_even_where_modes_let_it_in(serve: Serve, data_dir: Path) -> None:
    serve()
    data_dir.chmod(0o711)
    control_socket(data_dir).chmod(0o666)
    other = os.fork()
    if other == 0:  # nothing but the connection happens here
        code = 1
        try:
            os.chdir(data_dir)
            os.setuid(65_534)
            with socket.socket(socket.AF_UNIX) as link:
                link.settimeout(20)
                link.connect("control.sock")
                link.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
                code = 0 if link.recv(1) == b"" else 2
        except ConnectionError:
            code = 0
        finally:
            os._exit(code)
    assert os.waitpid(other, 0)[1] == 0
    data_dir.chmod(0o700)
    assert owner_answers(data_dir)


def _jobs_in(data_dir: Path) -> int:
    """How many jobs the catalog holds; it is said that a tree is indexed before its job is on disk."""
    with closing(sqlite3.connect(f"file:{data_dir / 'catalog' / 'catalog.db'}?mode=ro", uri=True)) as connection:
        (count,) = connection.execute("SELECT count(*) FROM jobs").fetchone()
    return int(count)

"""The client of an owner: where it looks, whom it believes, and what it makes of answers."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest

from indexing import control
from indexing.control import ControlClient, NoOwner, NotOurs, OwnerGone, OwnerRefused

Listen = Callable[[bytes], Path]


@pytest.fixture
def listen(data_dir: Path) -> Iterator[Listen]:
    """``listen(answer)``: somebody on the control socket who answers the first request with these bytes."""
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    threads: list[threading.Thread] = []

    def begin(answer: bytes) -> Path:
        data_dir.mkdir()
        listening.bind(str(control.control_socket(data_dir)))
        listening.listen()

        def serve() -> None:
            with suppress(OSError), closing(listening.accept()[0]) as link:
                link.recv(65_536)
                link.sendall(answer)
                link.shutdown(socket.SHUT_WR)
                while link.recv(65_536):  # a body may come after the head
                    pass

        threads.append(threading.Thread(target=serve))
        threads[-1].start()
        return data_dir

    yield begin
    with suppress(OSError):
        listening.shutdown(socket.SHUT_RDWR)
    listening.close()
    for thread in threads:
        thread.join()


def _answer(status: str, body: str, kind: str = "application/json") -> bytes:
    head = f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    return head.encode() + body.encode()


def _client(data_dir: Path) -> ControlClient:
    return ControlClient(control.control_socket(data_dir))


def test_the_socket_is_in_the_data_directory_and_links_lead_to_the_same_one(data_dir: Path, tmp_path: Path) -> None:
    data_dir.mkdir()
    (tmp_path / "link").symlink_to(data_dir)
    assert control.control_socket(data_dir) == data_dir.resolve() / "control.sock"
    assert control.control_socket(tmp_path / "link") == control.control_socket(data_dir)


@pytest.mark.parametrize("runtime", [True, False])
def test_a_path_too_long_for_a_socket_gets_a_short_one_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, runtime: bool
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/run/user/7" if runtime else "")
    long, other = (control.control_socket(tmp_path / (letter * 120)) for letter in "xy")
    assert long != other
    assert len(os.fsencode(long)) <= 100
    assert long.parent == Path("/run/user/7") if runtime else long.parent.name == f"codetrove-{os.getuid()}"


def test_nobody_is_found_where_there_is_no_socket_or_a_dead_one(data_dir: Path) -> None:
    assert control.find_owner(data_dir) is None
    data_dir.mkdir()
    with socket.socket(socket.AF_UNIX) as left_behind:
        left_behind.bind(str(control.control_socket(data_dir)))
    assert not control.owner_answers(data_dir)
    with pytest.raises(NoOwner, match="codetrove serve"):
        control.needed(None)


def test_an_answer_is_its_decoded_json(listen: Listen) -> None:
    assert _client(listen(_answer("200 OK", '{"a": [1]}'))).get("/x") == {"a": [1]}


def test_an_answer_without_a_body_is_none(listen: Listen) -> None:
    _client(listen(b"HTTP/1.1 204 No Content\r\n\r\n")).delete("/x")


@pytest.mark.parametrize(
    ("status", "wrong_usage"), [("404 Not Found", True), ("409 Conflict", False), ("503 Service Unavailable", False)]
)
def test_a_problem_is_raised_with_its_detail(listen: Listen, status: str, wrong_usage: bool) -> None:
    problem = '{"type": "urn:codetrove:unknown-job", "title": "t", "detail": "there is no job"}'
    owner = _client(listen(_answer(status, problem, "application/problem+json")))
    with pytest.raises(OwnerRefused, match=r"^there is no job$") as raised:
        owner.post("/x", {})
    assert (raised.value.status, raised.value.name) == (int(status[:3]), "unknown-job")
    assert raised.value.is_wrong_usage == wrong_usage


def test_what_a_problem_names_field_by_field_is_told(listen: Listen) -> None:
    problem = '{"title": "t", "detail": "refused", "errors": [{"detail": "k: too large"}, "odd"]}'
    with pytest.raises(OwnerRefused, match="refused\nk: too large\nodd"):
        _client(listen(_answer("422 Unprocessable Content", problem))).get("/x")


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{", b"SSH-2.0\r\n\r\n"])
def test_an_owner_that_goes_away_in_the_middle_is_named(listen: Listen, answer: bytes) -> None:
    with pytest.raises(OwnerGone, match=r"control\.sock.* went away"):
        _client(listen(answer)).get("/x")


def test_an_answer_that_is_no_json_is_refused(listen: Listen) -> None:
    with pytest.raises(OwnerGone, match="no JSON"):
        _client(listen(_answer("200 OK", "<html>"))).get("/x")


def test_an_owner_that_does_not_answer_is_given_up(data_dir: Path) -> None:
    data_dir.mkdir()
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(control.control_socket(data_dir)))
        listening.listen()
        owner = ControlClient(control.control_socket(data_dir), answer_seconds=0.05)
        with pytest.raises(OwnerGone, match="no answer within"):
            owner.get("/x")


def test_a_listener_of_another_user_is_not_believed(listen: Listen, monkeypatch: pytest.MonkeyPatch) -> None:
    data_dir = listen(b"")
    monkeypatch.setattr(control, "peer_uid", lambda _link: os.getuid() + 1)
    with pytest.raises(NotOurs, match="another user"):
        control.find_owner(data_dir)


def test_arguments_are_encoded_and_those_that_are_none_left_out() -> None:
    assert control.path_with("/symbols", {"name": "a b", "language": ["c", "d"], "limit": None}) == (
        "/symbols?name=a+b&language=c&language=d"
    )
    assert control.segment("../a") == "..%2Fa"


def test_a_client_loads_nothing_heavy() -> None:
    heavy = ("asyncio", "pydantic", "storage", "structlog", "msgspec", "sqlite3", "indexing.settings", "psutil")
    script = (
        "import sys, indexing.control, indexing.cli.hits_print, indexing.search.records\n"
        f"loaded = [name for name in {heavy!r} if name in sys.modules]\n"
        "sys.exit(f'loaded: {loaded}' if loaded else 0)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr

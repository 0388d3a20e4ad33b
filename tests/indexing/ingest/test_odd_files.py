"""Rows 48 to 54, 56, 57, 59, 65 to 67: what a job makes of the files that trees really hold."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from indexing.ingest.job import JobReport
from indexing.runtime import open_owner
from indexing.sources import display
from tests.faults import state
from tests.faults.driver import settings_for

MIB = 1024 * 1024
ROOT_SECRET = "only root may know this"
NAMES = (
    b"line\nbreak.py", b"quote'\".py", b"esc\x1b[31m.py", b"b" * 252 + b".py", "\u202egnp.py".encode(),
    b"caf\xe9.py", "caf\u00e9.py".encode(), "cafe\u0301.py".encode(), b"Upper.py", b"upper.py",
)  # fmt: skip


@dataclass(frozen=True)
class Indexed:
    data: Path
    report: JobReport

    def outcome(self, path: bytes) -> str:
        """Language of an indexed file, or why it is not indexed."""
        notes = {note.path: note.reason for note in self.report.notes}
        entry = state.shown(self.data).get(path)
        return entry[0] if entry is not None else notes.get(path, "unseen")

    def chunks(self, path: bytes) -> list[tuple[Any, ...]]:
        """Lines of the chunks of a file."""
        return state.rows(
            self.data,
            "SELECT start_line, end_line FROM entries JOIN chunks USING (cut_id) WHERE path = ? ORDER BY chunk_id",
            path,
        )


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Indexed]:
    base = tmp_path_factory.mktemp("odd")
    root = base / "tree"
    root.mkdir()
    (base / "outside.py").write_text(f"secret = '{ROOT_SECRET}'\n")
    files = {
        "empty.py": b"",
        "bom.py": b"\xef\xbb\xbf",
        "newlines.py": b"\n\n\r\n",
        "minified.js": b"var a=1;" * 100_000,
        "binary.py": b"x = 1\0\n" * 10,
        "invalid.py": b"name = 'caf\xff'\nother = 1\n",
        "utf16.py": "def sixteen():\n    return 'ä'\n".encode("utf-16"),
        "crlf.py": b"def one():\r\n    return 1\r\rdef two():\r    return 2\r\n",
        "separators.py": "a = 1\u2028b = 2\fc = 3\nd = 4\n".encode(),
        "deep.py": b"x = " + b"(" * 200_000 + b")" * 200_000 + b"\n",
        "plain.py": b"def plain():\n    return 1\n",
        "later/plain.py": b"def later():\n    return 1\n",
    }
    for name, content in files.items():
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_bytes(content)
    for number, raw in enumerate(NAMES):
        Path(root, os.fsdecode(raw)).write_text(f"name{number} = {number}\n")
    with (root / "huge.py").open("wb") as huge:
        huge.truncate(1024 * MIB)
    (root / "loop").symlink_to(".")
    (root / "escape.py").symlink_to("../outside.py")
    (root / "up").symlink_to("..")
    os.mkfifo(root / "pipe.py")
    listening = socket.socket(socket.AF_UNIX)
    here = Path.cwd()
    os.chdir(root)  # the path of a socket is limited to 108 bytes
    listening.bind("socket.py")
    os.chdir(here)
    yield Indexed(base / "data", asyncio.run(_index(root, base / "data")))
    listening.close()


async def _index(root: Path, data: Path) -> JobReport:
    async with open_owner(settings_for(data, {"indexing.worker_batch_size": 16})) as owner:
        repository = await owner.register(root)
        async with owner.job_for(repository) as job:
            return await job.run()


def test_the_tally_adds_up(odd: Indexed) -> None:
    tally = odd.report.tally
    assert odd.report.state == "succeeded"
    assert tally.seen == tally.indexed + tally.skipped
    assert tally.seen == 12 + len(NAMES) + 1 + 3 + 2


@pytest.mark.parametrize("name", [b"empty.py", b"bom.py", b"newlines.py"])
def test_f048_files_without_content_are_indexed_without_chunks(odd: Indexed, name: bytes) -> None:
    assert odd.outcome(name) == "python"
    assert odd.chunks(name) == []


def test_f049_a_sparse_gigabyte_is_skipped_as_too_large(odd: Indexed) -> None:
    assert odd.outcome(b"huge.py") == "too_large"


def test_f050_minified_code_is_skipped(odd: Indexed) -> None:
    assert odd.outcome(b"minified.js") == "minified"


def test_f051_nul_bytes_make_a_file_binary_whatever_its_name(odd: Indexed) -> None:
    assert odd.outcome(b"binary.py") == "binary"


def test_f052_bytes_that_are_no_utf8_are_decoded_or_replaced_and_told(odd: Indexed) -> None:
    assert odd.chunks(b"invalid.py") == [(1, 2)]
    assert odd.chunks(b"utf16.py") == [(1, 2)]
    encodings = dict(state.rows(odd.data, "SELECT path, encoding FROM entries JOIN texts USING (blob_id)"))
    assert str(encodings[b"utf16.py"]).startswith("utf-16")


def test_f053_lines_break_at_line_feeds_and_carriage_returns_only(odd: Indexed) -> None:
    assert odd.chunks(b"crlf.py")[-1][1] == 5
    assert odd.chunks(b"separators.py")[-1][1] == 2


def test_f054_nesting_of_200000_is_no_trouble(odd: Indexed) -> None:
    assert odd.outcome(b"deep.py") in {"python", "minified"}
    assert odd.outcome(b"plain.py") == "python"


def test_f056_f057_links_are_neither_followed_nor_read(odd: Indexed) -> None:
    assert {odd.outcome(name) for name in (b"loop", b"escape.py", b"up")} == {"symlink"}
    assert all(not path.startswith((b"loop/", b"up/")) for path in state.shown(odd.data))


def test_f059_pipes_and_sockets_are_never_opened(odd: Indexed) -> None:
    assert odd.outcome(b"pipe.py") == odd.outcome(b"socket.py") == "special_file"


@pytest.mark.parametrize("name", NAMES, ids=display)
def test_f065_f066_f067_names_are_kept_byte_by_byte(odd: Indexed, name: bytes) -> None:
    assert odd.outcome(name) == "python"
    assert len(odd.chunks(name)) == 1


def test_the_catalog_is_sound(odd: Indexed) -> None:
    assert asyncio.run(state.findings(odd.data)) == []

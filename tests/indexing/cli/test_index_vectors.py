"""``index``, ``status``, ``fsck``, ``forget``, ``backup`` and ``restore`` where there are vectors."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import signal
import sqlite3
import time
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from embeddings import HashingEncoder, TextKind, resolved_from_json
from indexing.cli import index_run
from indexing.vectors import OwnedVectors
from storage import DataDirectory, Ownership, Vectors
from tests.faults import vector_state

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from indexing.cli.index_summary import JobSummary
    from indexing.cli.stopping import Stop
    from indexing.runtime import Owner
    from storage import Repository
    from tests.conftest import TreeFactory
    from tests.indexing.cli.conftest import Run, Start

CHUNKS = 24
FILES = {f"package/module_{number}.py": f"def function_{number}():\n    return {number}\n" for number in range(CHUNKS)}


@pytest.fixture(autouse=True)
def _hashing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CODETROVE_EMBEDDINGS__MODEL", "hashing-384")
    monkeypatch.setenv("CODETROVE_EMBEDDINGS__BATCH_CHUNKS", "4")
    # Nothing is found in anybody's cache of models, and no network is asked.
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


@pytest.fixture
def root(tree: TreeFactory) -> Path:
    """A tree whose files are old enough to be taken as unchanged."""
    made = tree(FILES)
    old = time.time() - 60
    for path in made.rglob("*.py"):
        os.utime(path, (old, old))
    return made


def test_the_summary_and_the_json_tell_of_the_vectors(run: Run, root: Path) -> None:
    ran = run("index", root)
    assert (ran.code, ran.stderr.count("codetrove:")) == (0, 1)
    assert re.search(rf"^  vectors of hashing-384: {CHUNKS}/{CHUNKS} vectors · [\d,.]+/s$", ran.stdout, re.MULTILINE)
    again = run("index", root, "--json")
    assert (again.code, again.json()["messages"]) == (0, [])
    vectors = again.json()["vectors"]
    assert (vectors["model"], vectors["state"]) == ("hashing-384", "idle")
    counts = ("stored", "pending", "failed", "encoded", "from_cache")
    assert [vectors[each] for each in counts] == [CHUNKS, 0, 0, 0, 0]


def test_status_counts_vectors_by_model(run: Run, root: Path) -> None:
    run("index", root)
    ran = run("status")
    assert ran.code == 0
    assert f"  vectors of hashing-384: {CHUNKS} of {CHUNKS} chunks" in ran.stdout
    found = run("status", "--json").json()
    assert found["vectors"] == [
        {"model": "hashing-384", "state": "serving", "stored": CHUNKS, "pending": 0, "failed": 0}
    ]
    assert found["vector_bytes"] > CHUNKS * 384 * 2
    assert found["problems"] == []


def test_only_what_changed_is_encoded(run: Run, root: Path) -> None:
    run("index", root)
    (root / "package/module_1.py").write_text("def other():\n    return 'other'\n", encoding="utf-8")
    (root / "package/copy.py").write_bytes((root / "package/module_2.py").read_bytes())
    (root / "package/module_3.py").rename(root / "package/moved.py")
    vectors = run("index", root, "--json").json()["vectors"]
    assert (vectors["encoded"], vectors["pending"]) == (1, 0)
    assert run("fsck").code == 0


def test_until_searchable_ends_while_the_encoder_has_not_answered(
    run: Run, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_gate = _encoder_answers_once_the_owner_closes(monkeypatch)
    ran = run("index", root, "--until", "searchable", "--json")
    assert (ran.code, ran.json()["vectors"], ran.json()["jobs"][0]["searchable_chunks"]) == (0, None, CHUNKS)
    ran = run("status")
    assert ran.code == 1
    stored, missing = _stored(run)
    assert stored <= 8  # at most the batch in hand and the one before it
    assert stored + missing == CHUNKS
    assert f"{missing} vectors are missing; the next 'codetrove index' goes on from there" in ran.stdout
    open_gate()
    vectors = run("index", root, "--json").json()["vectors"]
    assert (vectors["stored"], vectors["encoded"]) == (CHUNKS, CHUNKS - stored)
    assert run("status").code == 0


def test_beside_an_owner_missing_vectors_are_no_problem(
    run: Run, root: Path, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _encoder_answers_once_the_owner_closes(monkeypatch)
    run("index", root, "--until", "searchable")
    with Ownership(DataDirectory(data_dir)):
        ran = run("status", "--json")
    assert (ran.code, ran.json()["vectors"][0]["pending"] > 0) == (0, True)


def test_one_interrupt_ends_the_wait_and_the_next_run_encodes_the_rest_only(
    run: Run, root: Path, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waiting = asyncio.Event()
    drained = OwnedVectors.drained

    async def noted(self: OwnedVectors) -> bool:
        waiting.set()
        return await drained(self)

    async def interrupt() -> None:
        await waiting.wait()
        os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(OwnedVectors, "drained", noted)
    open_gate = _encoder_answers_once_the_owner_closes(monkeypatch, but_first=2, then=interrupt)
    ran = run("index", root, "--json")
    assert ran.code == 1
    assert "finishing what is in hand" in ran.stderr
    assert "vectors are missing yet; the same command goes on from there" in ran.json()["messages"]
    assert ran.json()["vectors"]["encoded"] == 8
    assert _rows(data_dir / "embeddings.db", "SELECT count(*) FROM vectors") == 12  # and the batch in hand
    assert _stored(run) == (12, CHUNKS - 12)
    open_gate()
    vectors = run("index", root, "--json").json()["vectors"]
    assert (vectors["stored"], vectors["encoded"]) == (CHUNKS, CHUNKS - 12)
    assert run("fsck").code == 0


def test_an_interrupt_while_the_model_is_not_there_yet_tells_that_vectors_are_missing(
    run: Run, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waiting = asyncio.Event()

    async def fetched(_: OwnedVectors) -> None:
        await waiting.wait()
        os.kill(os.getpid(), signal.SIGINT)
        await asyncio.Event().wait()

    async def noted(self: OwnedVectors) -> bool:
        waiting.set()
        return await drained(self)

    drained = OwnedVectors.drained
    monkeypatch.setattr(OwnedVectors, "drained", noted)
    monkeypatch.setattr(OwnedVectors, "_choose", fetched)
    ran = run("index", root, "--json")
    assert (ran.code, ran.json()["vectors"]) == (1, None)
    assert ran.json()["messages"] == ["vectors are missing yet; the same command goes on from there"]


@pytest.mark.parametrize("complete", [False, True])
def test_an_interrupt_as_the_job_ends_tells_of_vectors_that_are_missing_and_of_no_others(
    run: Run, root: Path, monkeypatch: pytest.MonkeyPatch, *, complete: bool
) -> None:
    run_job = index_run._run

    async def interrupted(owner: Owner, repository: Repository, stop: Stop) -> JobSummary:
        done = await run_job(owner, repository, stop)
        if complete:
            assert owner.vectors is not None
            await owner.vectors.drained()
        os.kill(os.getpid(), signal.SIGINT)
        await stop.wait()
        return done

    monkeypatch.setattr(index_run, "_run", interrupted)
    if not complete:
        _encoder_answers_once_the_owner_closes(monkeypatch)
    ran = run("index", root, "--json")
    assert ran.json()["jobs"][0]["state"] == "succeeded"
    missing = "vectors are missing yet; the same command goes on from there"
    assert (ran.code, ran.json()["messages"]) == ((0, []) if complete else (1, [missing]))


def test_a_process_that_is_interrupted_at_a_batch_leaves_what_the_next_run_completes(
    run: Run, start: Start, root: Path, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # It suspends itself when a batch has been encoded, and is interrupted then.
    monkeypatch.setenv("_CODETROVE_FAULT", "vectorize.encoded:2:stop")
    process = start("index", root)
    os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WNOWAIT)
    process.send_signal(signal.SIGINT)
    process.send_signal(signal.SIGCONT)
    stdout, stderr = process.communicate()
    assert process.returncode == 1, stderr
    assert "finishing what is in hand" in stderr
    assert "vectors are missing yet; the same command goes on" in stderr or "run the same command again" in stdout
    cached = _rows(data_dir / "embeddings.db", "SELECT count(*) FROM vectors")
    assert cached >= 8
    assert run("fsck").code == 0
    vectors = run("index", root, "--json").json()["vectors"]
    assert (vectors["stored"], vectors["encoded"]) == (CHUNKS, CHUNKS - cached)
    assert run("status").code == 0


@pytest.mark.parametrize("kind", ["store", "store and cache", "cache"])
def test_f036_f104_fsck_names_lost_vectors_and_repairs_them(run: Run, root: Path, data_dir: Path, kind: str) -> None:
    run("index", root)
    if "store" in kind:
        shutil.rmtree(data_dir / "vectors")
    if "cache" in kind:
        (data_dir / "embeddings.db").unlink()
    found = run("fsck")
    assert (found.code, found.stdout.startswith("vectors: ")) == ((0, False) if kind == "cache" else (1, True))
    assert ("; run 'codetrove fsck --repair'" in found.stdout) == (kind != "cache")
    repaired = run("fsck", "--repair", "--json")
    assert (repaired.code, repaired.json()["clean"]) == (0, True)
    assert all(each["repaired"] and each["code"] == "vectors" for each in repaired.json()["findings"])
    assert run("fsck").code == 0
    assert _stored(run) == (CHUNKS, 0)


@pytest.mark.parametrize("damage", ["deleted", "flipped"])
def test_f036_f103_hits_stay_right_while_vectors_are_damaged_and_after(
    run: Run, root: Path, data_dir: Path, damage: str
) -> None:
    run("index", root)
    whole = _found(run, "vector")
    assert whole[0] == "package/module_7.py"
    if damage == "deleted":
        shutil.rmtree(data_dir / "vectors")
    else:
        (rows,) = (data_dir / "vectors").glob("*/*/*.rows")
        rows.write_bytes(bytes(each ^ 0xFF for each in rows.read_bytes()))
    assert _found(run, "text")[0] == _found(run, "hybrid")[0] == "package/module_7.py"
    assert run("index", root, "--json").json()["vectors"]["encoded"] == 0
    assert _found(run, "vector") == whole


def test_f106_a_restored_backup_takes_the_vectors_back_and_forth_without_encoding(
    run: Run, root: Path, tmp_path: Path
) -> None:
    run("index", root)
    assert run("backup", tmp_path / "backup.zip").code == 0
    (root / "package/module_1.py").write_text("def other():\n    return 'other'\n", encoding="utf-8")
    (root / "package/module_2.py").unlink()
    run("index", root)
    assert run("restore", tmp_path / "backup.zip").code == 0
    vectors = run("index", root, "--json").json()["vectors"]
    assert (vectors["encoded"], vectors["pending"]) == (0, 0)
    assert run("fsck").code == 0
    assert run("status").code == 0


def test_forgotten_trees_take_their_vectors_out_of_the_store(
    run: Run, root: Path, tree: TreeFactory, data_dir: Path
) -> None:
    other = tree({"a.py": "def alpha():\n    return 1\n"}, name="other")
    run("index", root)
    run("index", other)
    assert _stored(run) == (CHUNKS + 1, 0)
    ran = run("forget", root, "--yes", "--json")
    assert (ran.code, ran.json()["files"]) == (0, CHUNKS)
    assert run("fsck").code == 0
    # The vectors go while the command runs or with the next owner; what they were of goes with its job.
    for _ in range(2):
        assert run("index", other, "--json").json()["vectors"]["encoded"] == 0
    assert _stored(run) == (1, 0)
    assert _rows(data_dir / "catalog/catalog.db", "SELECT count(*) FROM points") == 1
    assert _rows(data_dir / "catalog/catalog.db", "SELECT count(*) FROM chunks") == 1
    assert len(list((data_dir / "vectors").glob("*/*/*.rows"))) == 1
    assert run("fsck").code == 0


def test_forget_counts_its_chunks_and_leaves_no_vector(run: Run, root: Path, data_dir: Path) -> None:
    run("index", root)
    assert run("forget", root, "--yes", "--json").json()["chunks"] == CHUNKS
    assert _rows(data_dir / "catalog/catalog.db", "SELECT count(*) FROM points") == 0
    assert list(asyncio.run(vector_state.held(data_dir)).values()) == [[]]


def test_a_model_that_cannot_be_had_leaves_a_text_index_and_a_clear_word(
    run: Run, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CODETROVE_EMBEDDINGS__MODEL", "unixcoder-base")
    monkeypatch.setenv("CODETROVE_EMBEDDINGS__DOWNLOAD", "false")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    ran = run("index", root, "--json")
    advice = "'unixcoder-base' is not on this machine; run `codetrove model fetch unixcoder-base`"
    notice = f"no vectors, text search only: {advice}"
    assert (ran.code, ran.json()["messages"], ran.json()["vectors"]) == (0, [notice], None)
    assert f"codetrove: {notice}\n" in ran.stderr
    assert run("search", "function_3", "--mode", "text").code == 0
    assert run("status").code == 0
    assert run("status", "--json").json()["vectors"] == []
    # Once there is a model, its vectors are made by the same command.
    monkeypatch.setenv("CODETROVE_EMBEDDINGS__MODEL", "hashing-384")
    assert run("index", root, "--json").json()["vectors"]["stored"] == CHUNKS


def test_an_unknown_model_is_named_with_those_that_are_known(
    run: Run, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CODETROVE_EMBEDDINGS__MODEL", "gpt-9")
    ran = run("index", root)
    assert ran.code == 0
    (notice,) = (line for line in ran.stderr.splitlines() if line.startswith("codetrove: no vectors"))
    assert "no model is called 'gpt-9'; known are unixcoder-base" in notice


def test_none_leaves_the_vectors_that_are_there_alone(
    run: Run, root: Path, monkeypatch: pytest.MonkeyPatch, data_dir: Path
) -> None:
    run("index", root)
    before = sorted(path.name for path in (data_dir / "vectors").rglob("*"))
    monkeypatch.setenv("CODETROVE_EMBEDDINGS__MODEL", "none")
    (root / "package/new.py").write_text("def new():\n    return 'new'\n", encoding="utf-8")
    ran = run("index", root, "--json")
    assert (ran.code, ran.json()["vectors"], ran.json()["messages"]) == (0, None, [])
    assert sorted(path.name for path in (data_dir / "vectors").rglob("*")) == before
    monkeypatch.setenv("CODETROVE_EMBEDDINGS__MODEL", "hashing-384")
    assert run("index", root, "--json").json()["vectors"]["encoded"] == 1


def test_a_model_that_vanished_is_named_and_its_vectors_stay(
    run: Run, root: Path, data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run("index", root)
    _put_a_vanished_model(data_dir / "catalog/catalog.db", tmp_path / "gone")
    monkeypatch.setenv("CODETROVE_EMBEDDINGS__MODEL", "auto")
    assert run("index", root).code == 0  # nothing is to be encoded
    monkeypatch.setenv("CODETROVE_EMBEDDINGS__MODEL", "none")
    (root / "package/new.py").write_text("def new():\n    return 'new'\n", encoding="utf-8")
    run("index", root)
    monkeypatch.setenv("CODETROVE_EMBEDDINGS__MODEL", "auto")
    for command in (("fsck", "--json"), ("status", "--json")):
        run(*command)
    assert run("fsck", "--repair").code == 0
    assert _stored(run) == (CHUNKS, 1)
    found = run("status", "--json").json()
    assert [each["model"] for each in found["vectors"]] == ["gone"]


def test_a_model_that_vanished_does_not_keep_files_from_being_indexed(
    run: Run, root: Path, data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run("index", root)
    _put_a_vanished_model(data_dir / "catalog/catalog.db", tmp_path / "gone")
    monkeypatch.setenv("CODETROVE_EMBEDDINGS__MODEL", "auto")
    (root / "package/new.py").write_text("def new():\n    return 'new'\n", encoding="utf-8")
    ran = run("index", root, "--json")
    (message,) = ran.json()["messages"]
    assert message.startswith(f"vectors are missing: there is no model in {str(tmp_path / 'gone')!r}")
    assert (ran.code, ran.json()["jobs"][0]["state"]) == (1, "succeeded")
    assert run("search", "new", "--mode", "text").code == 0
    assert _stored(run) == (CHUNKS, 1)


def _encoder_answers_once_the_owner_closes(
    monkeypatch: pytest.MonkeyPatch, *, but_first: int = 0, then: Callable[[], Awaitable[None]] | None = None
) -> Callable[[], None]:
    """Let the encoder answer the first few calls, and no other before the owner begins to close.

    ``then`` is awaited by the first call that has to wait. What is returned lets the encoder answer always.
    """
    closing_now = asyncio.Event()
    encode, aclose = HashingEncoder.encode, OwnedVectors.aclose
    calls = 0

    async def gated(self: HashingEncoder, texts: Sequence[str], kind: TextKind) -> Vectors:
        nonlocal calls
        calls += 1
        if calls == but_first + 1 and then is not None:
            await then()
        if calls > but_first:
            await closing_now.wait()
        return await encode(self, texts, kind)

    async def opening(self: OwnedVectors) -> None:
        closing_now.set()
        await aclose(self)

    monkeypatch.setattr(HashingEncoder, "encode", gated)
    monkeypatch.setattr(OwnedVectors, "aclose", opening)
    return closing_now.set


def _found(run: Run, mode: str) -> list[str]:
    """Paths of the hits for a query."""
    ran = run("search", "function_7", "--mode", mode, "--wait-model", "--json")
    assert ran.code == 0, ran.stderr
    return [each["path"] for each in ran.json()["hits"]]


def _stored(run: Run) -> tuple[int, int]:
    """Vectors that are stored, and that are missing."""
    (vectors,) = run("status", "--json").json()["vectors"]
    return vectors["stored"], vectors["pending"]


def _rows(database: Path, query: str) -> Any:
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        return connection.execute(query).fetchone()[0]


def _put_a_vanished_model(catalog: Path, directory: Path) -> None:
    """Let the vectors be those of a model in a directory that is gone."""
    with closing(sqlite3.connect(catalog)) as connection, connection:
        ((text,),) = connection.execute("SELECT model FROM collections")
        stored = resolved_from_json(text)
        spec = replace(stored.spec, name="gone", source="directory", location=str(directory), window=64)
        connection.execute("UPDATE collections SET model = ?", (replace(stored, spec=spec, path=directory).to_json(),))

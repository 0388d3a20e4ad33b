"""Encoders in processes of their own: what they answer, and what becomes of those that hang or die."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import TypeAlias

import numpy as np
import psutil
import pytest
from structlog.testing import capture_logs

from embeddings import EncodeFailed, EncoderLost, HashingEncoder, ModelUnavailable, ResolvedModel, Vectors, resolve
from embeddings.opening import open_encoder
from embeddings.replica_process import ReplicaProcess
from embeddings.replicas import ReplicaEncoder

OpenReplicas: TypeAlias = Callable[..., Awaitable[ReplicaEncoder]]
"""``await open_replicas(1)``: an encoder of so many replicas with the hashing model, closed after the test."""

Stub: TypeAlias = Callable[[str], None]

HASHING = "hashing-64"
SHARED = Path("/dev/shm")  # noqa: S108  (only looked at)
TEXTS = [f"def function_{number}(value): return value + {number}\n" * (number % 50 + 1) for number in range(600)]

PATCHED = """
import os, signal, sys, time
if "embeddings.replica_worker" in sys.orig_argv:
    {at_start}
    import embeddings.hashing
    original = embeddings.hashing._unit_rows
    def unit_rows(texts, features):
        for text in texts:
            if text.startswith("stub:"):
                exec(text[5:])
        return original(texts, features)
    embeddings.hashing._unit_rows = unit_rows
"""


@pytest.fixture
async def open_replicas(tmp_path: Path) -> AsyncIterator[OpenReplicas]:
    """See ``OpenReplicas``."""
    async with contextlib.AsyncExitStack() as stack:

        async def opened(
            replicas: int, *, deadline_seconds: float = 60, model: ResolvedModel | None = None
        ) -> ReplicaEncoder:
            encoder = await asyncio.to_thread(
                open_encoder,
                model or resolve(HASHING, allow_download=False),
                threads=1,
                replicas=replicas,
                devices=("cpu",),
                deadline_seconds=deadline_seconds,
                directory=tmp_path,
            )
            assert isinstance(encoder, ReplicaEncoder)
            stack.push_async_callback(encoder.aclose)
            return encoder

        yield opened


@pytest.fixture
def stub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stub:
    """``stub("statement")``: what each replica does at its start; a text ``stub:...`` is run when it is encoded."""

    def planted(at_start: str = "pass") -> None:
        directory = tmp_path / "site"
        directory.mkdir(exist_ok=True)
        (directory / "sitecustomize.py").write_text(PATCHED.format(at_start=at_start), encoding="utf-8")
        monkeypatch.setenv("PYTHONPATH", str(directory))

    return planted


@pytest.fixture(scope="module")
def expected() -> Vectors:
    return asyncio.run(HashingEncoder(64).encode(TEXTS, "document"))


def children() -> set[int]:
    return {child.pid for child in psutil.Process().children() if "replica_worker" in " ".join(child.cmdline())}


async def test_several_processes_give_the_vectors_of_one_thread_in_the_order_of_the_texts(
    open_replicas: OpenReplicas, expected: Vectors
) -> None:
    encoder = await open_replicas(2)
    assert encoder.spec == replace(HashingEncoder(64).spec, max_in_flight=2)
    calls = [encoder.encode(TEXTS, "document"), encoder.encode(TEXTS[:7], "query"), encoder.encode([], "query")]
    documents, queries, none = await asyncio.gather(*calls)
    np.testing.assert_array_equal(documents, expected)
    np.testing.assert_array_equal(queries, expected[:7])
    assert none.shape == (0, 64)
    assert encoder.counters.texts == len(TEXTS) + 7


async def test_texts_pass_as_they_are(open_replicas: OpenReplicas) -> None:
    texts = ["", "größe ☃ 名前", "a\ud800b", "\0", "x" * 200_000, "\n"]
    there = await (await open_replicas(1)).encode(texts, "document")
    np.testing.assert_array_equal(there, await HashingEncoder(64).encode(texts, "document"))


async def test_a_query_goes_before_documents_that_were_sent_earlier(open_replicas: OpenReplicas) -> None:
    encoder = await open_replicas(1)
    documents = asyncio.create_task(encoder.encode(TEXTS * 20, "document"))
    await until_busy(*encoder.replicas)
    await encoder.encode(["query"], "query")
    assert not documents.done()
    assert (await documents).shape == (20 * len(TEXTS), 64)


async def test_a_cancelled_call_ends_at_the_piece_in_hand_and_the_replica_lives_on(
    open_replicas: OpenReplicas, expected: Vectors
) -> None:
    encoder = await open_replicas(1)
    await encoder.encode(["x"], "query")
    documents = asyncio.create_task(encoder.encode(TEXTS * 20, "document"))
    await until_busy(*encoder.replicas)
    documents.cancel()
    with pytest.raises(asyncio.CancelledError):
        await documents
    np.testing.assert_array_equal(await encoder.encode(TEXTS, "document"), expected)
    assert encoder.replicas[0].starts == 1
    assert encoder.counters.texts < 10 * len(TEXTS)


async def test_f012_a_suspended_replica_is_killed_at_the_deadline_and_its_texts_are_encoded_by_another(
    open_replicas: OpenReplicas, expected: Vectors
) -> None:
    encoder = await open_replicas(1, deadline_seconds=1)
    await encoder.encode(["x"], "query")
    hung = suspend(encoder)
    with capture_logs() as logs:
        vectors = await encoder.encode(TEXTS, "document")
    np.testing.assert_array_equal(vectors, expected)
    assert not psutil.pid_exists(hung)
    assert encoder.replicas[0].starts == 2
    (lost,) = [line for line in logs if line["event"] == "encoder.replica_lost"]
    assert "gave no answer within its deadline of 1 s and was killed" in lost["reason"]


async def test_f012_a_text_that_hangs_every_replica_fails_with_the_deadline_and_the_next_call_is_served(
    open_replicas: OpenReplicas, stub: Stub
) -> None:
    stub("pass")
    encoder = await open_replicas(1, deadline_seconds=1)
    with pytest.raises(EncodeFailed, match=r"2 processes .* deadline of 1 s .* raise embeddings\.deadline_seconds"):
        await encoder.encode(["stub:time.sleep(1e9)"], "document")
    assert (await encoder.encode(["x"], "document")).shape == (1, 64)
    assert encoder.replicas[0].starts == 3


async def test_f012_a_killed_replica_is_replaced_and_its_texts_are_encoded_again(
    open_replicas: OpenReplicas, expected: Vectors
) -> None:
    encoder = await open_replicas(2)
    await until_ready(encoder)
    victim = encoder.replicas[0]
    pid = suspend(encoder)
    documents = asyncio.create_task(encoder.encode(TEXTS * 5, "document"))
    await until_busy(victim)
    os.kill(pid, signal.SIGKILL)
    np.testing.assert_array_equal(await documents, np.tile(expected, (5, 1)))
    assert not psutil.pid_exists(pid)


async def test_f012_a_replica_killed_while_idle_costs_its_next_texts_no_try(open_replicas: OpenReplicas) -> None:
    encoder = await open_replicas(1)
    await encoder.encode(["x"], "query")
    process = encoder.replicas[0]._process
    assert process is not None
    process.kill()
    await process.wait()
    with capture_logs() as logs:
        await encoder.encode(["x"], "query")
    assert [line["event"] for line in logs] == []
    assert encoder.replicas[0].starts == 2


async def test_a_text_that_kills_every_replica_fails_alone(open_replicas: OpenReplicas, stub: Stub) -> None:
    stub("pass")
    encoder = await open_replicas(1)
    for _ in range(3):
        with pytest.raises(EncodeFailed, match=r"2 processes .* in turn were lost over 1 texts"):
            await encoder.encode(["stub:os.kill(os.getpid(), 9)"], "document")
    assert (await encoder.encode(["x"], "document")).shape == (1, 64)


async def test_a_defect_in_a_replica_is_told_and_costs_no_process(
    open_replicas: OpenReplicas, stub: Stub, capfd: pytest.CaptureFixture[str]
) -> None:
    stub("pass")
    encoder = await open_replicas(1)
    with pytest.raises(EncodeFailed, match="division by zero"):
        await encoder.encode(["good", "stub:1 / 0"], "document")
    assert (await encoder.encode(["x"], "document")).shape == (1, 64)
    assert encoder.replicas[0].starts == 1
    assert "ZeroDivisionError" in capfd.readouterr().err


async def test_what_a_library_prints_is_no_answer(
    open_replicas: OpenReplicas, stub: Stub, capfd: pytest.CaptureFixture[str]
) -> None:
    stub("pass")
    assert (await (await open_replicas(1)).encode(["stub:print('noise', flush=True)"], "document")).shape == (1, 64)
    assert capfd.readouterr().err == "noise\n"


async def test_f011_a_model_that_is_missing_fails_all_callers_after_one_process(
    open_replicas: OpenReplicas, model_copy: Callable[..., Path]
) -> None:
    directory = model_copy()
    model = await asyncio.to_thread(resolve, str(directory), allow_download=False)
    encoder = await open_replicas(1, model=model)
    directory.rename(directory.with_name("away"))
    calls = [encoder.encode(TEXTS, "document") for _ in range(3)]
    results = await asyncio.gather(*calls, return_exceptions=True)
    assert [type(result) for result in results] == [ModelUnavailable] * 3
    assert "no config.json" in str(results[0])
    assert encoder.replicas[0].starts == 1
    assert children() == set()


async def test_f011_replicas_that_die_before_they_are_ready_are_not_started_for_ever(
    open_replicas: OpenReplicas, stub: Stub
) -> None:
    stub("os._exit(7)")
    encoder = await open_replicas(2)
    with pytest.raises(EncoderLost, match=r"3 processes .* ended by itself with status 7; .*set embeddings\.replicas"):
        await encoder.encode(TEXTS, "document")
    with pytest.raises(EncoderLost, match="3 processes"):
        await encoder.encode(["x"], "query")
    await asyncio.gather(*encoder._serving)
    assert sum(replica.starts for replica in encoder.replicas) == 6


async def test_f011_one_replica_that_never_starts_leaves_the_work_to_the_others(
    open_replicas: OpenReplicas, stub: Stub, tmp_path: Path, expected: Vectors
) -> None:
    # The first process to come is the only one that may live.
    first = str(tmp_path / "first")
    stub(f"os.system('mkdir ' + {first!r}) and os._exit(7)")
    encoder = await open_replicas(2)
    with capture_logs() as logs:
        while not any(line["event"] == "encoder.replica_given_up" for line in logs):
            np.testing.assert_array_equal(await encoder.encode(TEXTS, "document"), expected)
    assert sorted(replica.starts for replica in encoder.replicas) == [1, 3]
    np.testing.assert_array_equal(await encoder.encode(TEXTS, "document"), expected)


async def test_closing_ends_processes_and_calls_and_may_be_done_twice(open_replicas: OpenReplicas) -> None:
    encoder = await open_replicas(2)
    await encoder.encode(["x"], "query")
    files = psutil.Process().num_fds()
    documents = asyncio.create_task(encoder.encode(TEXTS * 20, "document"))
    await until_busy(*encoder.replicas)
    assert children()
    await asyncio.gather(encoder.aclose(), encoder.aclose())
    with pytest.raises(EncodeFailed, match="is closed"):
        await documents
    with pytest.raises(EncodeFailed, match="is closed"):
        await encoder.encode(["x"], "query")
    assert children() == set()
    assert psutil.Process().num_fds() < files
    await encoder.aclose()


async def test_f016_cycles_of_start_encode_cancel_and_close_leave_nothing(open_replicas: OpenReplicas) -> None:
    here, counts = psutil.Process(), []
    shared = set(SHARED.glob("*"))
    for _ in range(5):
        encoder = await open_replicas(1)
        await encoder.encode(["x"], "query")
        cancelled = asyncio.create_task(encoder.encode(TEXTS, "document"))
        await until_busy(*encoder.replicas)
        cancelled.cancel()
        await encoder.aclose()
        counts.append(here.num_fds())
    assert counts[0] == counts[-1]
    assert children() == set()
    assert set(SHARED.glob("*")) <= shared


def test_f108_replicas_end_with_a_parent_that_is_killed_also_while_suspended(tmp_path: Path) -> None:
    program = (
        "import asyncio, os, signal, sys; from embeddings import open_encoder, resolve\n"
        "async def main():\n"
        "    model = resolve('hashing-64', allow_download=False)\n"
        "    encoder = open_encoder(model, threads=1, replicas=2, devices=('cpu',))\n"
        "    while not all(each.is_ready for each in encoder.replicas): await encoder.encode(['x'], 'query')\n"
        "    os.kill(encoder.replicas[0].pid, signal.SIGSTOP)\n"
        "    print(*(each.pid for each in encoder.replicas), flush=True)\n"
        "    await asyncio.Event().wait()\n"
        "asyncio.run(main())\n"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, cwd=tmp_path) as parent:
        assert parent.stdout is not None
        replicas = [psutil.Process(int(pid)) for pid in parent.stdout.readline().split()]
        assert len(replicas) == 2
        parent.kill()
    gone, alive = psutil.wait_procs(replicas, timeout=10)
    assert (len(gone), alive) == (2, [])


async def test_f101_modules_in_the_working_directory_are_not_imported(
    open_replicas: OpenReplicas, tmp_path: Path
) -> None:
    for name in ("msgspec.py", "pickle.py", "numpy.py", "embeddings.py"):
        (tmp_path / name).write_text("raise SystemExit('planted')", encoding="utf-8")
    assert (await (await open_replicas(1)).encode(["x"], "query")).shape == (1, 64)


def suspend(encoder: ReplicaEncoder) -> int:
    pid = encoder.replicas[0].pid
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    return pid


async def until_ready(encoder: ReplicaEncoder) -> None:
    while not all(replica.is_ready for replica in encoder.replicas):
        await encoder.encode(["x"], "query")


async def until_busy(*replicas: ReplicaProcess) -> None:
    while not any(replica.is_busy for replica in replicas):  # noqa: ASYNC110  (nothing tells)
        await asyncio.sleep(0)

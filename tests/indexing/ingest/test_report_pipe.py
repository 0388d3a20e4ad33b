"""Frames come out of a worker's pipe whole and in order, however they went in."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from indexing.frames import encode_frame
from indexing.ingest.report_pipe import ReportPipe

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@pytest_asyncio.fixture
async def pipe() -> AsyncIterator[ReportPipe]:
    opened = ReportPipe()
    yield opened
    opened.close()
    opened.close()


def body(message: object) -> bytes:
    return encode_frame(message)[4:]


async def test_frames_written_at_once_are_read_one_by_one_without_waiting(pipe: ReportPipe) -> None:
    os.write(pipe.write_end, b"".join(encode_frame(each) for each in ("a", "b", b"c" * 3000, "")))
    assert pipe.take() is None
    assert await pipe.next_frame() == body("a")
    assert [pipe.take() for _ in range(4)] == [body("b"), body(b"c" * 3000), body(""), None]


async def test_a_frame_that_comes_in_pieces_is_waited_for(pipe: ReportPipe) -> None:
    frame = encode_frame(list(range(300)))
    reading = asyncio.create_task(pipe.next_frame())
    for start in range(0, len(frame), 100):
        assert not reading.done()
        os.write(pipe.write_end, frame[start : start + 100])
        await asyncio.sleep(0)
    assert await reading == frame[4:]


async def test_a_frame_larger_than_the_pipe_is_read_while_it_is_written(pipe: ReportPipe) -> None:
    frame = encode_frame(b"x" * 3_000_000) + encode_frame("next")
    view = memoryview(frame)

    def write() -> None:
        at = 0
        while at < len(view):
            at += os.write(pipe.write_end, view[at:])

    writing = asyncio.create_task(asyncio.to_thread(write))
    assert await pipe.next_frame() == frame[4:3_000_009]
    assert await pipe.next_frame() == body("next")
    await writing


async def test_the_end_is_told_also_within_a_frame(pipe: ReportPipe) -> None:
    os.write(pipe.write_end, encode_frame("whole") + encode_frame("half")[:-1])
    pipe.close_write_end()
    assert await pipe.next_frame() == body("whole")
    with pytest.raises(EOFError, match="closed its pipe"):
        await pipe.next_frame()


async def test_a_wait_that_is_cancelled_loses_nothing(pipe: ReportPipe) -> None:
    frame = encode_frame("patience")
    os.write(pipe.write_end, frame[:5])
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0):
            await pipe.next_frame()
    os.write(pipe.write_end, frame[5:])
    assert await pipe.next_frame() == frame[4:]

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from storage import CatalogDamaged, compress_text, expand_text


@settings(max_examples=50)
@given(st.binary(max_size=2000), st.sampled_from([1, 3, 10]))
def test_a_text_comes_back_as_it_was(text: bytes, level: int) -> None:
    assert expand_text(compress_text(text, level), len(text)) == text


@settings(max_examples=200)
@given(st.data())
def test_f008_a_flipped_bit_is_noticed_or_harmless(data: st.DataObject) -> None:
    text = b"def function(argument):\n    return argument\n" * 20
    frame = bytearray(compress_text(text))
    frame[data.draw(st.integers(0, len(frame) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    try:
        assert expand_text(bytes(frame), len(text)) == text
    except CatalogDamaged as error:
        assert "fsck --repair" in str(error)  # noqa: PT017  (not raising is right, too)


@pytest.mark.parametrize("size", [0, 9, 11, 1 << 40])
def test_a_text_of_another_size_than_recorded_is_damaged(size: int) -> None:
    with pytest.raises(CatalogDamaged, match="10 bytes where"):
        expand_text(compress_text(b"0123456789"), size)


def test_a_frame_that_claims_a_huge_size_is_refused_before_memory_is_taken_for_it() -> None:
    frame = bytearray(zstandard.ZstdCompressor(write_content_size=True).compress(b"x" * 70_000))
    assert int.from_bytes(frame[5:9], "little") == 70_000
    frame[5:9] = b"\xff\xff\xff\xff"
    with pytest.raises(CatalogDamaged, match="4294967295 bytes where 70000"):
        expand_text(bytes(frame), 70_000)


def test_threads_compress_at_the_same_time() -> None:
    texts = [bytes([number]) * 50_000 + b"end" for number in range(64)]
    with ThreadPoolExecutor(4) as threads:
        for text, frame in zip(texts, threads.map(compress_text, texts), strict=True):
            assert expand_text(frame, len(text)) == text

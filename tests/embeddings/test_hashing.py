from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embeddings import EncodeFailed, HashingEncoder, open_encoder, resolve
from embeddings.hashing import _Features

SOURCES = Path(__file__).parents[2] / "src"


async def test_rows_have_unit_length_and_the_order_of_the_texts() -> None:
    encoder = HashingEncoder(64)
    texts = ["def parseHeader(x): ...", "", "}", "größe 名前", "a" * 10_000, "\ud800"]
    vectors = await encoder.encode(texts, "document")
    assert vectors.shape == (6, 64)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)
    backwards = await encoder.encode(texts[::-1], "query")
    np.testing.assert_array_equal(vectors, backwards[::-1])


async def test_parts_of_identifiers_bring_texts_together() -> None:
    encoder = HashingEncoder()
    query, near, far = await encoder.encode(
        ["parse http header", "def parseHTTPHeader(line): pass", "class Zebra: stripes = 4"], "query"
    )
    assert query @ near > 0.5 > query @ far


@settings(max_examples=30, deadline=None)
@given(st.lists(st.text(max_size=40), max_size=5))
async def test_every_text_has_a_unit_vector(texts: list[str]) -> None:
    vectors = await HashingEncoder(3).encode(texts, "document")
    assert vectors.shape == (len(texts), 3)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)


async def test_vectors_are_those_that_caches_of_earlier_versions_hold() -> None:
    code, text = await HashingEncoder().encode(
        ["class HTTPServer2:\n\tport = 0x1F", "def parseHeader(größe): return {1: 2}"], "document"
    )
    assert np.flatnonzero(code > 0).tolist() == [57, 139, 187, 214, 231, 310, 344]
    assert np.flatnonzero(code < 0).tolist() == [109, 186, 203, 295]
    assert np.flatnonzero(text).tolist() == [45, 129, 154, 167, 187, 198, 241, 244, 310, 315]


@settings(max_examples=500)
@given(st.text(st.characters(max_codepoint=127)))
def test_ascii_is_divided_into_words_as_any_text_is(text: str) -> None:
    features = _Features(384)
    assert features.of(text) == features.of(f"{text} \N{MIDDLE DOT}")


async def test_forgetting_words_changes_no_vector(monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = HashingEncoder()
    first = await encoder.encode(["one two three", "three four"], "document")
    monkeypatch.setattr("embeddings.hashing._WORDS_REMEMBERED", 0)
    await encoder.encode(["five six"], "document")
    np.testing.assert_array_equal(first, await encoder.encode(["one two three", "three four"], "document"))


def test_vectors_are_equal_in_every_process() -> None:
    program = (
        "import asyncio, hashlib; from embeddings import HashingEncoder; e = HashingEncoder();"
        "v = asyncio.run(e.encode(['def parseHeader(größe): return {1: 2}', '', '}'], 'document'));"
        "print(e.spec.fingerprint, hashlib.sha256(v.tobytes()).hexdigest())"
    )
    outputs = set()
    for seed in ("0", "1"):
        environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(SOURCES)}
        done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, check=True)
        outputs.add(done.stdout)
    assert len(outputs) == 1


async def test_it_resolves_by_name_and_takes_any_dimension() -> None:
    resolved = resolve("hashing-50", allow_download=False, text_template="scope-1")
    encoder = open_encoder(resolved, threads=1)
    assert encoder.spec.fingerprint == resolved.fingerprint
    assert encoder.spec.fingerprint != HashingEncoder(50).spec.fingerprint
    assert (await encoder.encode(["x"], "query")).shape == (1, 50)
    await encoder.aclose()
    with pytest.raises(EncodeFailed, match="is closed"):
        await encoder.encode(["x"], "query")


def test_a_dimension_below_one_is_refused() -> None:
    with pytest.raises(ValueError, match="dimension is 0"):
        HashingEncoder(0)

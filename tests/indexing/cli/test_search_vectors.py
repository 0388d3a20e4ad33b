"""``codetrove search --mode`` and ``codetrove similar``: which vectors are opened, and what is said without them."""

from __future__ import annotations

import re
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

from embeddings import HashingEncoder
from indexing.cli.app import app
from indexing.search import NoVectors, VectorSearch, VectorSource, encoded_again
from storage import CollectionSpec, MemoryStore, PointPayload, VectorBatch, hits

if TYPE_CHECKING:
    from indexing.settings import Settings
    from storage import Reader
    from tests.conftest import TreeFactory
    from tests.indexing.cli.conftest import Ran, Run

FILES = {
    "src/registry.py": "class Registry:\n    def register_blueprint(self, name):\n        return name\n",
    "src/copy.py": "class Registry2:\n    def register_blueprint(self, name):\n        return name\n",
    "fruit.py": "def peel_banana():\n    return 'skin'\n",
}
COLD = "the model 'hashing-384' is not loaded"


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A tree and a data directory in which it is indexed, made once; neither is changed."""
    root, data = tmp_path_factory.mktemp("tree"), tmp_path_factory.mktemp("built") / "data"
    for name, content in FILES.items():
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_text(content, encoding="utf-8")
    ran = CliRunner().invoke(app, ["--data-dir", str(data), "index", str(root)], prog_name="codetrove")
    assert ran.exit_code == 0, ran.stderr
    return root, data


@pytest.fixture
def root(built: tuple[Path, Path], data_dir: Path) -> Path:
    """The root of a tree that is indexed in a data directory of the test's own."""
    shutil.copytree(built[1], data_dir)
    return built[0]


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Vectors for every chunk, cold unless the model may be loaded; gives what was asked about that."""
    asked: list[bool] = []

    @asynccontextmanager
    async def open_vectors(_settings: Settings, reader: Reader, *, load_model: bool) -> AsyncIterator[VectorSource]:
        asked.append(load_model)
        yield await _hashed(reader) if load_model else NoVectors(COLD, cold=True)

    monkeypatch.setattr("indexing.reading.open_vectors", open_vectors, raising=False)
    return asked


def _only(monkeypatch: pytest.MonkeyPatch, vectors: VectorSource | None) -> None:
    @asynccontextmanager
    async def open_vectors(*_: object, **__: object) -> AsyncIterator[VectorSource | None]:
        yield vectors

    monkeypatch.setattr("indexing.reading.open_vectors", open_vectors, raising=False)


async def _hashed(reader: Reader) -> VectorSearch:
    encoder = HashingEncoder()
    rows = await reader.query(
        "SELECT external_id, uuid, language, cut_id, start_byte, end_byte FROM chunks"
        " JOIN cuts ON cuts.id = cut_id JOIN repositories ON repositories.id = repository_id"
    )
    texts = await hits.texts_of(reader, {row[3] for row in rows})
    pieces = [texts[row[3]].text[row[4] : row[5]].decode() for row in rows]
    collection = await MemoryStore().open(CollectionSpec("test", 384))
    payloads = tuple(PointPayload(row[1], row[2]) for row in rows)
    vectors = await encoder.encode(pieces, "document")
    await collection.upsert(VectorBatch(tuple(row[0] for row in rows), vectors, payloads))
    return VectorSearch(collection, encoder, vector_of=encoded_again(encoder))


def _legs(ran: Ran) -> set[str]:
    return {leg for hit in ran.json()["hits"] for leg in hit["scores"]["legs"]}


def test_a_cold_search_answers_by_words_at_once_and_says_so_in_one_line(
    run: Run, root: Path, opened: list[bool]
) -> None:
    ran = run("search", "banana", "--json")
    assert (ran.code, opened) == (0, [False])
    assert "vector" not in _legs(ran)
    (line,) = ran.stderr.splitlines()
    assert line == f"codetrove: vectors: {COLD}; words alone answered, --wait-model waits for it"
    assert ran.json()["degraded"] == [f"vectors: {COLD}"]


def test_waiting_for_the_model_adds_its_vectors(run: Run, root: Path, opened: list[bool]) -> None:
    ran = run("search", "banana", "--wait-model")
    assert (ran.code, ran.stderr, opened) == (0, "", [True])
    assert re.search(r"vector #1 \(0\.\d\d\)", ran.stdout)


def test_vectors_alone_wait_for_the_model_and_words_alone_open_no_vectors(
    run: Run, root: Path, opened: list[bool]
) -> None:
    assert _legs(run("search", "banana", "--json", "--mode", "vector")) == {"vector"}
    assert opened == [True]
    words = run("search", "banana", "--json", "--mode", "text")
    assert "vector" not in _legs(words)
    assert (words.stderr, opened) == ("", [True])
    assert run("search", "banana", "--mode", "magic").code == 2


def test_an_index_without_vectors_is_nothing_to_speak_of_unless_they_are_asked_for(
    run: Run, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _only(monkeypatch, None)
    ran = run("search", "banana")
    assert (ran.code, ran.stderr) == (0, "")
    for command in (("search", "banana", "--mode", "vector"), ("similar", f"{root}/fruit.py:1")):
        ran = run(*command)
        assert (ran.code, ran.stdout) == (3, "")
        assert "'codetrove index PATH --until vectors' makes them" in ran.stderr
        assert len(ran.stderr.splitlines()) == 1


def test_a_store_that_cannot_be_opened_leaves_the_words(run: Run, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _only(monkeypatch, NoVectors("store unavailable: locked"))
    ran = run("search", "banana", "--wait-model")
    assert (ran.code, ran.stderr) == (0, "codetrove: vectors: store unavailable: locked\n")
    assert run("search", "banana", "--mode", "vector").code == 3


def test_similar_prints_neighbours_nearest_first(
    run: Run, root: Path, opened: list[bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(root / "src")
    ran = run("similar", "registry.py:2", "-k", "1")
    assert (ran.code, ran.stderr, opened) == (0, "", [True])
    assert ran.stdout.startswith("copy.py:1-3  class Registry2\n  vector #1 (0.")
    found = run("similar", "registry.py:3", "--json").json()
    assert found["to"] == {"path": "src/registry.py", "start_line": 1, "end_line": 3, "symbol": "Registry"}
    assert found["hits"][0]["path"] == "src/copy.py"
    assert run("similar", "registry.py:3", "--lang", "Rust").code == 1


def test_similar_looks_for_the_place_everywhere_and_for_neighbours_where_it_is_told(
    run: Run, root: Path, tree: TreeFactory, opened: list[bool]
) -> None:
    two = tree({"fruit.py": FILES["fruit.py"]}, name="two")
    run("index", two)
    found = run("similar", f"{root}/fruit.py:1", "--repo", two, "--json").json()["hits"]
    assert [(hit["root"], hit["score"]) for hit in found] == [(str(two), pytest.approx(1, abs=1e-3))]


@pytest.mark.usefixtures("opened")
@pytest.mark.parametrize(
    ("place", "names"),
    [
        ("fruit.py", "'fruit.py' is not FILE:LINE, such as "),
        ("fruit.py:0", "lines begin at 1"),
        ("fruit.py:99", "line 99 is not in 'fruit.py', which was indexed with 2 lines"),
        ("gone.py:1", "'gone.py' is not indexed"),
        ("/nowhere/x.py:1", "is not indexed; indexed are: "),
    ],
)
def test_a_place_that_cannot_be_is_one_line_that_names_it(
    run: Run, root: Path, monkeypatch: pytest.MonkeyPatch, place: str, names: str
) -> None:
    monkeypatch.chdir(root)
    ran = run("similar", place)
    assert (ran.code, ran.stdout) == (2, "")
    (line,) = ran.stderr.splitlines()
    assert names in line

"""``codetrove model list | fetch | switch``."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from embeddings import HashingEncoder, TextKind, known_models
from indexing.vectorize.vectorizer import Vectorizer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from storage import Vectors
    from tests.conftest import TreeFactory
    from tests.indexing.cli.conftest import Run

CHUNKS = 16
FILES = {f"m{number}.py": f"def function_{number}():\n    return {number}\n" for number in range(CHUNKS)}


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CODETROVE_EMBEDDINGS__MODEL", "hashing-384")
    monkeypatch.setenv("CODETROVE_EMBEDDINGS__BATCH_CHUNKS", "4")
    monkeypatch.setenv("CODETROVE_EMBEDDINGS__DOWNLOAD", "false")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))


@pytest.fixture
def root(run: Run, tree: TreeFactory) -> Path:
    """A tree that is indexed with all vectors of hashing-384."""
    made = tree(FILES)
    assert run("index", made).code == 0
    return made


def test_list_names_every_model_and_the_one_that_serves(run: Run, root: Path) -> None:
    found = run("model", "list", "--json").json()
    assert found["configured"] == "hashing-384"
    assert [each["name"] for each in found["models"]] == [each.spec.name for each in known_models()]
    states = {each["name"]: (each["here"], each["state"]) for each in found["models"]}
    assert states["hashing-384"] == (True, "serving")
    assert states["unixcoder-base"] == (False, None)
    ran = run("model", "list")
    assert ran.code == 0
    (line,) = (each for each in ran.stdout.splitlines() if each.startswith("hashing-384"))
    assert line.split()[1:] == ["384-d", "window", "2147483648", "built", "in", "serving"]
    assert "run `codetrove model fetch unixcoder-base`" in ran.stdout


def test_list_works_before_anything_is_indexed_and_names_what_has_no_name_of_its_own(
    run: Run, tree: TreeFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run("model", "list").code == 0
    monkeypatch.setenv("CODETROVE_EMBEDDINGS__MODEL", "hashing-96")
    run("index", tree(FILES))
    assert run("model", "list", "--json").json()["models"][-1] == {"name": "hashing-96", "state": "serving"}


def test_fetch_needs_no_files_for_a_built_in_model_and_refuses_an_unknown_one(run: Run) -> None:
    ran = run("model", "fetch", "hashing-384")
    assert (ran.code, ran.stdout) == (0, "hashing-384 needs no files\n")
    assert run("model", "fetch", "hashing-384", "--json").json() == {"schema": 1, "name": "hashing-384", "path": None}
    ran = run("model", "fetch", "gpt-9")
    assert (ran.code, ran.stdout) == (3, "")
    assert ran.stderr.startswith("codetrove: no model is called 'gpt-9'; known are unixcoder-base")


def test_switch_changes_the_model_and_leaves_nothing_of_the_former_one(
    run: Run, root: Path, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (former,) = _collections(data_dir)
    monkeypatch.setenv("CODETROVE_EMBEDDINGS__MODEL", "auto")
    ran = run("model", "switch", "hashing-256")
    assert ran.code == 0
    assert ran.stdout.startswith(f"searches use hashing-256 now; {CHUNKS}/{CHUNKS} vectors")
    assert _served(run) == [("hashing-256", "serving", CHUNKS, 0)]
    (name,) = _collections(data_dir)
    assert name != former
    assert run("fsck").code == 0
    vectors = run("index", root, "--json").json()["vectors"]
    assert (vectors["model"], vectors["encoded"]) == ("hashing-256", 0)
    # Back again, the cache has all of them; told twice, nothing more is done.
    for _ in range(2):
        found = run("model", "switch", "hashing-384", "--json").json()
        assert (found["model"], found["serves"]) == ("hashing-384", True)
    assert _served(run) == [("hashing-384", "serving", CHUNKS, 0)]
    assert len(_collections(data_dir)) == 1


@pytest.mark.parametrize("configured", ["hashing-384", "none"])
def test_a_model_that_the_settings_name_is_not_switched_away(
    run: Run, root: Path, data_dir: Path, monkeypatch: pytest.MonkeyPatch, configured: str
) -> None:
    monkeypatch.setenv("CODETROVE_EMBEDDINGS__MODEL", configured)
    before = _collections(data_dir)
    ran = run("model", "switch", "hashing-256")
    assert (ran.code, ran.stdout) == (2, "")
    assert f"embeddings.model = {configured!r} in the settings decides at each start" in ran.stderr
    assert len(ran.stderr.splitlines()) == 1
    assert _collections(data_dir) == before


def test_a_model_that_cannot_be_had_changes_nothing(run: Run, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CODETROVE_EMBEDDINGS__MODEL", "auto")
    for name, says in (("unixcoder-base", "codetrove model fetch unixcoder-base"), ("./none", "is no directory")):
        ran = run("model", "switch", name)
        assert (ran.code, ran.stdout) == (3, "")
        assert says in ran.stderr
    assert _served(run) == [("hashing-384", "serving", CHUNKS, 0)]


def test_an_interrupted_switch_serves_the_former_model_and_any_later_run_goes_on(
    run: Run, root: Path, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CODETROVE_EMBEDDINGS__MODEL", "auto")
    encode, stop_soon = HashingEncoder.encode, Vectorizer.stop_soon
    texts: list[str] = []
    stopping = asyncio.Event()

    async def interrupted(self: HashingEncoder, given: Sequence[str], kind: TextKind) -> Vectors:
        texts.extend(given)
        if len(texts) == 8:
            signal.raise_signal(signal.SIGINT)
        if len(texts) >= 8:
            await stopping.wait()  # else all could be encoded before the command has come so far as to stop it
        return await encode(self, given, kind)

    def noted(self: Vectorizer) -> None:
        if len(texts) >= 8:
            stopping.set()
        stop_soon(self)

    monkeypatch.setattr(HashingEncoder, "encode", interrupted)
    monkeypatch.setattr(Vectorizer, "stop_soon", noted)
    ran = run("model", "switch", "hashing-256", "--json")
    assert (ran.code, ran.json()["serves"]) == (1, False)
    assert "hashing-256 does not serve yet; any later run goes on" in ran.stderr
    before = len(texts)
    assert 8 <= before < CHUNKS
    assert _served(run) == [
        ("hashing-384", "serving", CHUNKS, 0), ("hashing-256", "building", before, CHUNKS - before)
    ]  # fmt: skip
    assert len(_collections(data_dir)) == 2
    assert run("index", root).code == 0
    assert len(texts) == len(set(texts)) == CHUNKS
    assert _served(run) == [("hashing-256", "serving", CHUNKS, 0)]
    assert len(_collections(data_dir)) == 1


def _served(run: Run) -> list[tuple[str, str, int, int]]:
    """(model, state, stored, pending) of each collection."""
    found = run("status", "--json").json()["vectors"]
    return [(each["model"], each["state"], each["stored"], each["pending"]) for each in found]


def _collections(data_dir: Path) -> list[str]:
    return sorted(each.name for each in (data_dir / "vectors").iterdir() if each.is_dir())

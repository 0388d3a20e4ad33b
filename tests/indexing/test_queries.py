"""``Queries``: what a caller is answered, from an owner and from a data directory that is only read."""

from __future__ import annotations

import asyncio
import json
import os
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from embeddings import HashingEncoder
from indexing.access import LOCAL, Principal
from indexing.ingest.batch_work import BatchWork
from indexing.queries import (
    NotIndexed,
    Queries,
    SearchAsk,
    SimilarAsk,
    SymbolAsk,
    TextAsk,
    open_queries,
    queries_of,
)
from indexing.repositories import forget_repository
from indexing.runtime import open_owner
from indexing.search import BadRequest, VectorSearchUnavailable
from indexing.settings import Settings
from storage import UnknownRepository

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from embeddings import TextKind
    from indexing.ingest.messages import FileReport, FileTask
    from indexing.runtime import Owner
    from storage import Repository, Vectors
    from tests.conftest import TreeFactory

FRUIT = {
    "src/fruit.py": "def peel_banana(banana):\n    return banana.skin\n\n\nclass Orchard:\n    pass\n",
    "src/tools.py": "def sharpen_knife(knife):\n    return knife\n",
    "notes.md": "# Bananas\n\nA banana is yellow.\n",
}
SECRET = {"vault.py": "def open_vault(banana_secret):\n    return 'xyzzy' + banana_secret\n"}


def settings_for(data: Path, model: str = "none", **search: object) -> Settings:
    return Settings(
        storage={"data_dir": str(data)},
        text={"commit_interval_ms": 1},
        embeddings={"model": model, "batch_chunks": 4, "download": False},
        search=search,
    )


async def index(owner: Owner, root: Path) -> Repository:
    repository = await owner.register(root)
    assert (await owner.service.wait(await owner.service.submit(repository))).state == "succeeded"
    return repository


@asynccontextmanager
async def asking(data: Path, *roots: Path, model: str = "none") -> AsyncIterator[tuple[Queries, Owner, list[str]]]:
    async with open_owner(settings_for(data, model)) as owner:
        uuids = [(await index(owner, root)).uuid for root in roots]
        if owner.vectors is not None:
            assert await owner.vectors.drained()
        yield queries_of(owner), owner, uuids


@pytest.fixture
def fruit(tree: TreeFactory) -> Path:
    return tree(FRUIT, name="fruit")


@pytest.fixture
def vault(tree: TreeFactory) -> Path:
    return tree(SECRET, name="vault")


def only(*uuids: str) -> Principal:
    return Principal("guest", frozenset({"read"}), frozenset(uuids))


def paths(answer: dict[str, Any]) -> list[str]:
    return [hit["path"] for hit in answer["hits"]]


async def test_a_search_says_how_it_was_answered(data_dir: Path, fruit: Path) -> None:
    async with asking(data_dir, fruit) as (queries, _, (uuid,)):
        answer = await queries.search(LOCAL, SearchAsk("peel banana"))
    assert list(answer) == ["schema", "query", "took_ms", "complete", "degraded", "pending", "hits"]
    assert (answer["query"], answer["complete"], answer["degraded"], answer["pending"]) == ("peel banana", True, [], [])
    hit = answer["hits"][0]
    assert (hit["path"], hit["repository"], hit["stale"]) == ("src/fruit.py", uuid, False)
    assert {"snapshot", "indexed_hash", "scores", "start_line", "end_line", "snippet"} <= hit.keys()
    json.dumps(answer)


async def test_filters_narrow_a_search_down(data_dir: Path, fruit: Path, vault: Path) -> None:
    async with asking(data_dir, fruit, vault) as (queries, _, (one, two)):
        ask = partial(SearchAsk, "banana")
        assert set(paths(await queries.search(LOCAL, ask()))) == {"src/fruit.py", "notes.md", "vault.py"}
        assert paths(await queries.search(LOCAL, ask(repositories=(two,)))) == ["vault.py"]
        assert paths(await queries.search(LOCAL, ask(repositories=(one,), languages=("Python",)))) == ["src/fruit.py"]
        assert paths(await queries.search(LOCAL, ask(paths=("*.md",)))) == ["notes.md"]
        assert len(paths(await queries.search(LOCAL, ask(k=1)))) == 1


async def test_repositories_are_known_from_the_moment_they_are_there_until_they_go(
    data_dir: Path, fruit: Path, vault: Path
) -> None:
    ask = SearchAsk("banana")
    async with asking(data_dir, fruit) as (queries, owner, (first,)):
        reads = 0
        read = owner.reader.read

        async def counted(what: Any) -> Any:
            nonlocal reads
            reads += 1
            return await read(what)

        assert paths(await queries.search(LOCAL, ask))
        owner.reader.read = counted  # type: ignore[assignment, method-assign]
        assert paths(await queries.search(LOCAL, ask))
        assert reads == 0  # the page is made with `read_both`, and nothing else is asked while nothing is written
        repository = await index(owner, vault)
        assert "vault.py" in paths(await queries.search(LOCAL, ask))
        await forget_repository(owner, repository)
        with pytest.raises(UnknownRepository, match=repository.uuid):
            await queries.search(LOCAL, replace(ask, repositories=(repository.uuid,)))
        assert {hit["repository"] for hit in (await queries.search(LOCAL, ask))["hits"]} == {first}


async def test_a_caller_gets_nothing_of_a_repository_that_it_does_not_see(
    data_dir: Path, fruit: Path, vault: Path
) -> None:
    async with asking(data_dir, fruit, vault, model="hashing-384") as (queries, _, (mine, other)):
        guest = only(mine)
        found: list[dict[str, Any]] = []
        for mode in ("text", "vector", "hybrid"):
            for query in ("open_vault", "banana secret xyzzy", "vault.py"):
                found.append(await queries.search(guest, SearchAsk(query, mode=mode)))
        for matching in ("exact", "prefix"):
            found.append(await queries.symbols(guest, SymbolAsk("open", matching=matching)))
        found.append(await queries.similar(guest, SimilarAsk(mine, b"src/fruit.py", 1, k=50)))
        found.append(await queries.repositories(guest))
        found.append(await queries.status(guest))
        for each in found:
            each.pop("query", None)
            text = json.dumps(each)
            assert "vault" not in text
            assert "xyzzy" not in text
            assert other not in text
        assert found[-1]["catalog_bytes"] is None
        assert [each["uuid"] for each in found[-2]["repositories"]] == [mine]


async def test_a_repository_that_is_not_seen_is_as_unknown_as_one_that_does_not_exist(
    data_dir: Path, fruit: Path, vault: Path
) -> None:
    async with asking(data_dir, fruit, vault, model="hashing-384") as (queries, _, (mine, other)):
        messages = set()
        for uuid in (other, "00000000-0000-0000-0000-000000000000"):
            guest, away = only(mine), (uuid,)
            for answering in (
                queries.search(guest, SearchAsk("x", repositories=(mine, uuid))),
                queries.symbols(guest, SymbolAsk("x", repositories=away)),
                queries.similar(guest, SimilarAsk(uuid, b"vault.py", 1)),
                queries.similar(guest, SimilarAsk(mine, b"src/fruit.py", 1, repositories=away)),
                queries.text(guest, TextAsk(uuid, b"vault.py")),
            ):
                with pytest.raises(UnknownRepository) as raised:
                    await answering
                messages.add(str(raised.value).replace(uuid, "UUID"))
        assert len(messages) == 1


async def test_a_caller_who_sees_nothing_finds_nothing(data_dir: Path, fruit: Path) -> None:
    async with asking(data_dir, fruit) as (queries, _, _):
        assert (await queries.search(only(), SearchAsk("banana")))["hits"] == []
        assert (await queries.symbols(only(), SymbolAsk("Orchard")))["definitions"] == []
        assert (await queries.repositories(only()))["repositories"] == []


async def test_a_search_out_of_bounds_is_refused(data_dir: Path, fruit: Path) -> None:
    refused: list[dict[str, Any]] = [
        {"query": " "},
        {"query": "x" * 10_001},
        {"query": "x", "k": 0},
        {"query": "x", "k": 10**9},
        {"query": "x", "snippet_lines": 0},
        {"query": "x", "paths": ("\0",)},
        {"query": "x", "wait_ms": -1},
        {"query": "x", "repositories": ("x",) * 1_001},
    ]
    async with asking(data_dir, fruit) as (queries, _, _):
        for ask in refused:
            with pytest.raises(BadRequest):
                await queries.search(LOCAL, SearchAsk(**ask))


# --- consistency ---------------------------------------------------------------------------------------------------


async def test_a_search_that_waits_finds_what_was_pending_when_it_was_asked(data_dir: Path, fruit: Path) -> None:
    async with asking(data_dir, fruit) as (queries, owner, _):
        (fruit / "new.py").write_text("def ripen_mango():\n    pass\n")
        (repository,) = await owner.reader.repositories()
        await owner.service.submit(repository)
        answer = await queries.search(LOCAL, SearchAsk("ripen_mango", consistency="wait", wait_ms=20_000))
        assert paths(answer) == ["new.py"]
        assert answer["pending"] == []


class Held:
    """Jobs that stop before their first commit, until they may go on."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.reached, self.go_on = asyncio.Event(), asyncio.Event()
        commit, held = BatchWork._commit, self

        async def hold(
            self: BatchWork, reports: Sequence[tuple[FileTask, FileReport]], batch_id: int | None
        ) -> list[FileTask]:
            held.reached.set()
            await held.go_on.wait()
            return await commit(self, reports, batch_id)

        monkeypatch.setattr(BatchWork, "_commit", hold)


async def test_what_is_still_pending_after_the_wait_is_named(
    data_dir: Path, fruit: Path, vault: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with asking(data_dir, fruit, vault) as (queries, owner, (one, other)):
        held = Held(monkeypatch)
        (fruit / "new.py").write_text("def ripen_mango():\n    pass\n")
        repository = next(each for each in await owner.reader.repositories() if each.uuid == one)
        job = await owner.service.submit(repository)
        await held.reached.wait()
        for consistency in ("now", "wait"):
            answer = await queries.search(LOCAL, SearchAsk("ripen_mango", consistency=consistency, wait_ms=1))
            (pending,) = answer["pending"]
            assert (answer["hits"], pending["repository"]) == ([], one)
            assert pending["files"] > 0
        # Who asks for the other repository, or sees no other, is told nothing and does not wait.
        ask = SearchAsk("ripen_mango", repositories=(other,), consistency="wait", wait_ms=600_000)
        assert (await queries.search(LOCAL, ask))["pending"] == []
        assert (await queries.search(only(other), SearchAsk("x", consistency="wait", wait_ms=600_000)))["pending"] == []
        held.go_on.set()
        await owner.service.wait(job)
        assert (await queries.search(LOCAL, SearchAsk("ripen_mango")))["pending"] == []


async def test_fresh_drops_stale_hits_and_fills_the_page_from_deeper(data_dir: Path, tree: TreeFactory) -> None:
    root = tree({f"m{number:02}.py": f"def banana_{number}():\n    return 'banana'\n" for number in range(30)})
    async with asking(data_dir, root) as (queries, _, _):
        first = paths(await queries.search(LOCAL, SearchAsk("banana", k=10)))
        for path in first:
            (root / path).write_text("changed\n")
        now = await queries.search(LOCAL, SearchAsk("banana", k=10))
        assert [hit["stale"] for hit in now["hits"]] == [True] * 10
        fresh = await queries.search(LOCAL, SearchAsk("banana", k=10, consistency="fresh"))
        assert len(fresh["hits"]) == 10
        assert not set(paths(fresh)) & set(first)
        assert not any(hit["stale"] for hit in fresh["hits"])
        every = await queries.search(LOCAL, SearchAsk("banana", k=200, consistency="fresh"))
        assert len(every["hits"]) == 20
        assert every["complete"]


# --- vectors --------------------------------------------------------------------------------------------------------


async def test_words_alone_answer_where_no_vectors_were_ever_made(data_dir: Path, fruit: Path) -> None:
    async with asking(data_dir, fruit) as (queries, _, (uuid,)):
        assert (await queries.search(LOCAL, SearchAsk("banana")))["degraded"] == []
        with pytest.raises(VectorSearchUnavailable, match="there are none"):
            await queries.search(LOCAL, SearchAsk("banana", mode="vector"))
        with pytest.raises(VectorSearchUnavailable, match="no vectors"):
            await queries.similar(LOCAL, SimilarAsk(uuid, b"src/fruit.py", 1))


async def test_vectors_take_part_unless_the_flag_is_off(data_dir: Path, fruit: Path) -> None:
    async with asking(data_dir, fruit, model="hashing-384") as (queries, owner, _):
        ask = SearchAsk("peel banana")
        assert "vector" in (await queries.search(LOCAL, ask))["hits"][0]["scores"]["legs"]
        await owner.flags.set("hybrid_search", False)
        off = await queries.search(LOCAL, ask)
        assert "vector" not in off["hits"][0]["scores"]["legs"]
        assert off["degraded"] == ["vectors: switched off by the flag hybrid_search"]
        alone = await queries.search(LOCAL, SearchAsk("peel banana", mode="vector"))
        assert list(alone["hits"][0]["scores"]["legs"]) == ["vector"]


async def test_a_search_does_not_wait_for_a_model_that_is_being_loaded(
    data_dir: Path, fruit: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encode, loaded = HashingEncoder.encode, asyncio.Event()

    async def slow(self: HashingEncoder, texts: Sequence[str], kind: TextKind) -> Vectors:
        if kind == "query":
            await loaded.wait()
        return await encode(self, texts, kind)

    monkeypatch.setattr(HashingEncoder, "encode", slow)
    async with asking(data_dir, fruit, model="hashing-384") as (queries, _, _):
        cold = await queries.search(LOCAL, SearchAsk("peel banana"))
        assert paths(cold)[0] == "src/fruit.py"
        assert cold["degraded"] == ["vectors: the model hashing-384 is being loaded"]
        waiting = asyncio.create_task(queries.search(LOCAL, SearchAsk("peel banana", mode="vector")))
        await asyncio.sleep(0)
        loaded.set()
        assert (await waiting)["hits"]
        assert (await queries.search(LOCAL, SearchAsk("peel banana")))["degraded"] == []


async def test_what_was_found_is_vectorized_first(
    data_dir: Path, tree: TreeFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    order: list[str] = []
    encode, go_on, begun = HashingEncoder.encode, asyncio.Event(), asyncio.Event()

    async def slow(self: HashingEncoder, texts: Sequence[str], kind: TextKind) -> Vectors:
        if kind == "document":
            begun.set()
            await go_on.wait()
            order.extend(texts)
        return await encode(self, texts, kind)

    monkeypatch.setattr(HashingEncoder, "encode", slow)
    files = {f"m{number:02}.py": f"def banana_{number}():\n    return 'apple{number}'\n" for number in range(40)}
    async with open_owner(settings_for(data_dir, "hashing-384")) as owner:
        await index(owner, tree(files))
        await begun.wait()
        answer = await queries_of(owner).search(LOCAL, SearchAsk("banana_3", k=1))
        assert paths(answer) == ["m03.py"]
        assert owner.vectors is not None
        try:
            urgency = owner.vectors.service._urgency._task
            assert urgency is not None
            await urgency
        finally:
            go_on.set()
        assert await owner.vectors.drained()
    # The newest come first, in batches of four, three of which were in hand already: what was searched for is the next.
    at = next(number for number, text in enumerate(order) if "banana_3(" in text)
    assert at < 20


async def test_similar_takes_the_vector_of_a_stored_chunk_from_the_cache(
    data_dir: Path, fruit: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with asking(data_dir, fruit, model="hashing-384") as (queries, _, (uuid,)):

        async def never(self: HashingEncoder, texts: Sequence[str], kind: TextKind) -> Vectors:
            raise AssertionError(texts)

        monkeypatch.setattr(HashingEncoder, "encode", never)
        answer = await queries.similar(LOCAL, SimilarAsk(uuid, b"src/fruit.py", 1))
    assert answer["to"]["path"] == "src/fruit.py"
    assert "src/tools.py" in paths(answer)


# --- text -----------------------------------------------------------------------------------------------------------


async def test_text_gives_the_lines_as_they_were_indexed(data_dir: Path, fruit: Path) -> None:
    async with asking(data_dir, fruit) as (queries, _, (uuid,)):
        whole = await queries.text(LOCAL, TextAsk(uuid, b"src/fruit.py"))
        assert (whole["text"], whole["start_line"], whole["end_line"]) == (FRUIT["src/fruit.py"], 1, 6)
        (fruit / "src/fruit.py").write_text("changed\n")
        part = await queries.text(LOCAL, TextAsk(uuid, b"src/fruit.py", 2, 5))
        assert part["text"] == "    return banana.skin\n\n\nclass Orchard:\n"
        assert (part["start_line"], part["end_line"], part["lines_total"]) == (2, 5, 6)
        assert (part["language"], part["stale"], whole["stale"]) == ("python", True, False)
        assert part["indexed_hash"] == whole["indexed_hash"]


async def test_text_knows_live_files_of_the_repository_only(data_dir: Path, fruit: Path, vault: Path) -> None:
    async with asking(data_dir, fruit, vault) as (queries, owner, (uuid, _)):
        for path in (b"vault.py", b"../vault/vault.py", b"/etc/passwd", b"src", b"src/fruit.py\0", b"' OR '1'='1"):
            with pytest.raises(NotIndexed):
                await queries.text(LOCAL, TextAsk(uuid, path))
        (fruit / "src/fruit.py").unlink()
        await index(owner, fruit)
        with pytest.raises(NotIndexed):
            await queries.text(LOCAL, TextAsk(uuid, b"src/fruit.py"))


async def test_text_is_given_in_bounded_pieces(data_dir: Path, tree: TreeFactory) -> None:
    root = tree({"long.txt": "".join(f"line {number}\n" for number in range(1, 5_001)), "empty.py": ""})
    async with asking(data_dir, root) as (queries, _, (uuid,)):
        first = await queries.text(LOCAL, TextAsk(uuid, b"long.txt"))
        assert (first["end_line"], first["lines_total"]) == (2_000, 5_000)
        rest = await queries.text(LOCAL, TextAsk(uuid, b"long.txt", 4_000, 5_999))
        assert (rest["end_line"], rest["text"][:10]) == (5_000, "line 4000\n")
        with pytest.raises(BadRequest, match="more than 2000"):
            TextAsk(uuid, b"long.txt", 1, 2_001)
        with pytest.raises(BadRequest, match="is not in"):
            await queries.text(LOCAL, TextAsk(uuid, b"long.txt", 5_001))


async def test_a_file_whose_name_is_no_utf8_is_read_by_its_bytes(data_dir: Path, tree: TreeFactory) -> None:
    root = tree({b"caf\xe9.py": "def espresso():\n    pass\n"})
    async with asking(data_dir, root) as (queries, _, (uuid,)):
        (hit,) = (await queries.search(LOCAL, SearchAsk("espresso")))["hits"]
        assert hit["path_b64"] == "Y2Fm6S5weQ=="
        answer = await queries.text(LOCAL, TextAsk(uuid, b"caf\xe9.py"))
        assert (answer["path"], answer["path_b64"]) == ("caf\\xe9.py", "Y2Fm6S5weQ==")


# --- read only ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", ["none", "hashing-384"])
async def test_the_same_is_answered_without_an_owner(data_dir: Path, fruit: Path, model: str) -> None:
    def told(answer: dict[str, Any]) -> dict[str, Any]:
        return {key: value for key, value in answer.items() if key != "took_ms"}

    ask, name = SearchAsk("peel banana", mode="text"), SymbolAsk("Orchard")
    async with asking(data_dir, fruit, model=model) as (queries, _, (uuid,)):
        place = TextAsk(uuid, b"notes.md")
        owned = [await queries.search(LOCAL, ask), await queries.symbols(LOCAL, name), await queries.text(LOCAL, place)]
    async with open_queries(settings_for(data_dir, model)) as queries:
        read = [await queries.search(LOCAL, ask), await queries.symbols(LOCAL, name), await queries.text(LOCAL, place)]
        assert [told(each) for each in read] == [told(each) for each in owned]
        hybrid = await queries.search(LOCAL, SearchAsk("peel banana"))
        assert ("vector" in hybrid["hits"][0]["scores"]["legs"]) == (model != "none")
        (listed,) = (await queries.repositories(LOCAL))["repositories"]
        assert (listed["uuid"], listed["name"], listed["files"]) == (uuid, "fruit", 3)
        assert (await queries.status(LOCAL))["data_dir"] == os.fspath(data_dir)
        if model != "none":
            assert paths(await queries.similar(LOCAL, SimilarAsk(uuid, b"src/fruit.py", 1)))

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from storage import StorageError
from storage.embedding_cache import EmbeddingCache
from storage.errors import DimensionMismatch, VectorsRefused

if TYPE_CHECKING:
    from numpy.typing import NDArray


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "embeddings.db"


@pytest.fixture
def cache(path: Path) -> Iterator[EmbeddingCache]:
    with closing(EmbeddingCache.open(path)) as opened:
        yield opened


def hashes(count: int, of: str = "") -> list[bytes]:
    return [blake2b(f"{of}{number}".encode(), digest_size=16).digest() for number in range(count)]


def vectors(count: int, dimension: int = 8, seed: int = 0) -> NDArray[np.float32]:
    return np.random.default_rng(seed).standard_normal((count, dimension), dtype=np.float32)


def fill(path: Path, count: int = 3, dimension: int = 8) -> None:
    with closing(EmbeddingCache.open(path)) as cache:
        cache.put("f", hashes(count), vectors(count, dimension))


def test_vectors_come_back_rounded_to_half_precision_and_unknown_ones_are_absent(cache: EmbeddingCache) -> None:
    cache.put("f", hashes(3), vectors(3))
    found = cache.get("f", [*hashes(5), *hashes(1)])
    assert set(found) == set(hashes(3))
    for each, row in zip(hashes(3), vectors(3), strict=True):
        assert found[each].dtype == np.float16
        np.testing.assert_array_equal(found[each], row.astype(np.float16))
    assert cache.get("f", []) == {}
    assert cache.count("f") == 3


def test_vectors_of_two_fingerprints_never_mix(cache: EmbeddingCache) -> None:
    cache.put("f", hashes(2), vectors(2))
    assert cache.get("g", hashes(2)) == {}
    cache.put("g", hashes(2), vectors(2, 4, seed=1))
    assert [len(row) for row in cache.get("f", hashes(2)).values()] == [8, 8]
    assert [len(row) for row in cache.get("g", hashes(2)).values()] == [4, 4]


def test_more_are_asked_for_than_one_statement_takes(cache: EmbeddingCache) -> None:
    cache.put("f", hashes(1500), vectors(1500, 2))
    assert set(cache.get("f", hashes(1600))) == set(hashes(1500))


def test_a_vector_that_is_put_again_is_replaced_and_takes_no_more_room(cache: EmbeddingCache) -> None:
    cache.put("f", hashes(2), vectors(2))
    cache.put("f", hashes(2), vectors(2, seed=1))
    assert cache.count("f") == 2
    np.testing.assert_array_equal(cache.get("f", hashes(1))[hashes(1)[0]], vectors(2, seed=1)[0].astype(np.float16))


def test_everything_is_there_after_closing_and_opening_again(path: Path) -> None:
    fill(path)
    with closing(EmbeddingCache.open(path)) as cache:
        assert set(cache.get("f", hashes(3))) == set(hashes(3))
        assert cache.set_aside is None
    assert [each.name for each in path.parent.iterdir()] == [path.name]


KILLED = """
import os, signal, sys
from pathlib import Path
import numpy as np
from storage.embedding_cache import EmbeddingCache
cache = EmbeddingCache.open(Path(sys.argv[1]))
cache.put("f", [bytes([n]) * 16 for n in range(9)], np.ones((9, 4)))
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_was_put_survives_a_kill(path: Path) -> None:
    source = Path(sys.modules["storage"].__path__[0]).parent
    done = subprocess.run([sys.executable, "-c", KILLED, str(path)], check=False, env={"PYTHONPATH": str(source)})
    assert done.returncode == -9
    with closing(EmbeddingCache.open(path)) as cache:
        assert cache.count("f") == 9
        assert cache.set_aside is None


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e30])
def test_vectors_that_are_not_finite_in_half_precision_are_refused_as_a_whole(
    cache: EmbeddingCache, value: float
) -> None:
    bad = vectors(3)
    bad[1, 1] = value
    with pytest.raises(VectorsRefused, match="not finite"):
        cache.put("f", hashes(3), bad)
    assert cache.get("f", hashes(3)) == {}


def test_hashes_and_rows_must_fit(cache: EmbeddingCache) -> None:
    with pytest.raises(VectorsRefused, match=r"2 hashes need as many rows, not an array of shape \(3, 8\)"):
        cache.put("f", hashes(2), vectors(3))
    with pytest.raises(VectorsRefused, match=r"16 bytes, not \[4\]"):
        cache.put("f", [b"four"], vectors(1))
    cache.put("f", hashes(1), vectors(1))
    with pytest.raises(DimensionMismatch, match="have 8 dimensions, not 4"):
        cache.put("f", hashes(1), vectors(1, 4))
    cache.put("f", [], vectors(0))
    assert cache.count("f") == 1


def test_a_flipped_bit_in_a_vector_makes_it_unknown_and_it_can_be_put_again(path: Path) -> None:
    fill(path)
    with closing(sqlite3.connect(path)) as raw:
        ((first,),) = raw.execute("SELECT vector FROM vectors WHERE id = 1")
        raw.execute("UPDATE vectors SET vector = ? WHERE id = 1", (bytes([first[0] ^ 1]) + first[1:],))
        raw.execute("UPDATE vectors SET vector = substr(vector, 3) WHERE id = 2")
        raw.commit()
    with closing(EmbeddingCache.open(path)) as cache:
        assert len(cache.get("f", hashes(3))) == 1
        cache.put("f", hashes(3), vectors(3))
        assert len(cache.get("f", hashes(3))) == 3


def no_database(path: Path) -> None:
    path.write_bytes(b"no database at all" * 999)


def foreign(path: Path) -> None:
    with closing(sqlite3.connect(path)) as other:
        other.execute("CREATE TABLE vectors (id INTEGER PRIMARY KEY)")


def newer(path: Path) -> None:
    fill(path)
    with closing(sqlite3.connect(path)) as raw:
        raw.execute("PRAGMA user_version = 99")


def without_a_table(path: Path) -> None:
    fill(path)
    with closing(sqlite3.connect(path)) as raw:
        raw.execute("DROP TABLE fingerprints")


@pytest.mark.parametrize("make", [no_database, foreign, newer, without_a_table])
def test_a_file_that_is_of_no_use_is_set_aside_and_another_begun(path: Path, make: object) -> None:
    assert callable(make)
    make(path)
    before = path.read_bytes()
    with closing(EmbeddingCache.open(path)) as cache:
        assert cache.set_aside is not None
        aside, reason = cache.set_aside
        assert reason
        assert aside.read_bytes() == before
        assert cache.get("f", hashes(3)) == {}
        cache.put("f", hashes(3), vectors(3))
    with closing(EmbeddingCache.open(path)) as cache:
        assert len(cache.get("f", hashes(3))) == 3
        assert cache.set_aside is None


def test_one_file_is_kept_aside_however_often_it_happens(path: Path) -> None:
    for _ in range(3):
        no_database(path)
        EmbeddingCache.open(path).close()
    assert sorted(each.name for each in path.parent.iterdir()) == ["embeddings.db", "embeddings.db.set-aside"]


def damage_last_pages(path: Path) -> None:
    """Overwrite what is not looked at when the file is opened."""
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(size // 2 // 8192 * 8192)
        file.write(b"\xff" * (size - file.tell()))


def test_damage_that_shows_only_later_costs_the_vectors_and_nothing_else(path: Path) -> None:
    fill(path, 2000)
    damage_last_pages(path)
    with closing(EmbeddingCache.open(path)) as cache:
        at_first = cache.set_aside
        assert at_first is None
        assert cache.get("f", hashes(2000)) == {}
        assert cache.set_aside is not None
        assert "malformed" in cache.set_aside[1]
        cache.put("f", hashes(3), vectors(3))
    with closing(EmbeddingCache.open(path)) as cache:
        assert len(cache.get("f", hashes(3))) == 3


def test_damage_that_a_write_finds_does_not_lose_what_is_written(path: Path) -> None:
    fill(path, 2000)
    damage_last_pages(path)
    with closing(EmbeddingCache.open(path)) as cache:
        cache.put("f", hashes(2000, "other"), vectors(2000))
        assert cache.set_aside is not None
        assert len(cache.get("f", hashes(2000, "other"))) == 2000


def test_f104_a_cache_that_is_lost_begins_anew(path: Path) -> None:
    fill(path)
    path.unlink()
    with closing(EmbeddingCache.open(path)) as cache:
        assert cache.get("f", hashes(3)) == {}
        assert cache.set_aside is None, "there was nothing to set aside"


def test_a_place_where_no_file_can_be_is_an_error_with_the_remedy(tmp_path: Path) -> None:
    (tmp_path / "embeddings.db").mkdir()
    with pytest.raises(StorageError, match=r"cannot be used: .*mend its directory"):
        EmbeddingCache.open(tmp_path / "embeddings.db")
    assert (tmp_path / "embeddings.db").is_dir()
    with pytest.raises(StorageError, match="unable to open"):
        EmbeddingCache.open(tmp_path / "missing" / "embeddings.db")


def test_a_full_cache_is_an_error_and_what_was_there_stays(cache: EmbeddingCache) -> None:
    cache.put("f", hashes(3), vectors(3))
    assert cache._connection is not None
    ((pages,),) = cache._connection.execute("PRAGMA page_count")
    cache._connection.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(StorageError, match="full"):
        cache.put("f", hashes(999, "more"), vectors(999))
    assert len(cache.get("f", hashes(3))) == 3
    assert cache.set_aside is None


def test_a_closed_cache_says_so(path: Path) -> None:
    cache = EmbeddingCache.open(path)
    cache.close()
    cache.close()
    with pytest.raises(StorageError, match="is closed"):
        cache.get("f", hashes(1))


def test_forgetting_a_fingerprint_gives_its_room_back_and_leaves_the_others(cache: EmbeddingCache) -> None:
    cache.put("f", hashes(2000), vectors(2000, 64))
    cache.put("g", hashes(5), vectors(5))
    before = cache.size
    assert cache.forget("f") == 2000
    assert cache.size < before / 5
    assert cache.forget("f") == 0
    assert cache.get("f", hashes(5)) == {}
    assert len(cache.get("g", hashes(5))) == 5
    cache.put("f", hashes(5), vectors(5, 4))
    assert len(cache.get("f", hashes(5))) == 5, "with another dimension, as it is another beginning"


def test_f046_evicting_forgets_the_oldest_models_that_are_not_in_use(cache: EmbeddingCache) -> None:
    for fingerprint in ("used", "old", "new"):
        cache.put(fingerprint, hashes(400), vectors(400, 64))
    assert cache.evict(cache.size, ()) == 0, "small enough"
    assert cache.evict(250_000, {"used"}) == 400
    assert [cache.count(each) for each in ("used", "old", "new")] == [400, 0, 400]
    assert cache.evict(0, {"used"}) == 400
    assert [cache.count(each) for each in ("used", "old", "new")] == [400, 0, 0]


def test_a_vector_of_384_dimensions_takes_at_most_950_bytes(path: Path) -> None:
    with closing(EmbeddingCache.open(path)) as cache:
        for number in range(10):
            cache.put("f", hashes(500, str(number)), vectors(500, 384))
    assert path.stat().st_size / 5000 <= 950


@settings(max_examples=15, deadline=None)
@given(
    rows=arrays.arrays(
        np.float16, st.tuples(st.integers(1, 5), st.just(3)), elements=st.floats(-60000, 60000, width=16)
    )
)
def test_whatever_half_precision_can_say_comes_back_bit_by_bit(
    tmp_path_factory: pytest.TempPathFactory, rows: NDArray[np.float16]
) -> None:
    with closing(EmbeddingCache.open(tmp_path_factory.mktemp("cache") / "embeddings.db")) as cache:
        cache.put("f", hashes(len(rows)), rows)
        found = cache.get("f", hashes(len(rows)))
    assert b"".join(found[each].tobytes() for each in hashes(len(rows))) == rows.tobytes()


def test_numpy_is_loaded_when_the_cache_is_used_and_not_before() -> None:
    source = Path(sys.modules["storage"].__path__[0]).parent
    program = "import sys, storage.embedding_cache; sys.exit('numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False, env={"PYTHONPATH": str(source)}).returncode == 0

"""A damaged, foreign or killed text index is an error that can be repaired, never a crash."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from uuid import UUID

import pytest
import tantivy

from storage import TextClause, TextDocument, TextIndex, TextIndexError, TextQuery, Watermark

HEAP_BYTES = 15_000_000
ALL = TextQuery((TextClause("code", "alpha"),), frozenset({"r1"}))

WRITER = """
import sys
from pathlib import Path
from storage import TextDocument, TextIndex, Watermark
index = TextIndex.open(Path(sys.argv[1]), heap_bytes=15_000_000, threads=1)
mark = index.watermark()
number = mark.chunk_id if mark else 0
while True:
    chunks = range(number + 1, number + 4)
    index.add([TextDocument(each, each, "r1", "python", "", b"alpha", "") for each in chunks])
    number += 3
    index.commit(Watermark("c", "i", number, 0))
    sys.stdout.write(f"{number}\\n")
    sys.stdout.flush()
"""


def fill(path: Path, count: int = 50) -> None:
    index = TextIndex.open(path, heap_bytes=HEAP_BYTES, threads=1)
    index.add(
        [
            TextDocument(number, number, "r1", "python", "", f"alpha b{number}".encode(), "")
            for number in range(1, count)
        ]
    )
    index.commit(Watermark("c", "i", count - 1, 0))
    index.close()


def try_everything(path: Path) -> None:
    index = TextIndex.open(path, heap_bytes=HEAP_BYTES, threads=1)
    try:
        index.watermark()
        index.search(ALL, 10)
        list(index.chunk_ids())
        _ = index.document_count
    finally:
        index.close()


def test_f102_a_killed_writer_leaves_exactly_its_last_commit(tmp_path: Path) -> None:
    path = tmp_path / "text"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    for commits in (1, 2, 5, 9):
        child = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True, env=environment
        )
        assert child.stdout is not None
        acknowledged = 0
        for _ in range(commits):
            acknowledged = int(child.stdout.readline())
        child.send_signal(signal.SIGKILL)
        child.wait()
        child.stdout.close()
        index = TextIndex.open(path, heap_bytes=HEAP_BYTES, threads=1)
        mark = index.watermark()
        assert mark is not None
        assert mark.chunk_id >= acknowledged
        assert list(index.chunk_ids()) == list(range(1, mark.chunk_id + 1))
        index.close()


@pytest.mark.parametrize("damage", ["truncate", "empty", "remove"])
@pytest.mark.parametrize("suffix", ["meta.json", ".term", ".idx", ".store", ".fast", ".fieldnorm"])
def test_f102_a_damaged_file_is_an_error_that_wiping_repairs(tmp_path: Path, suffix: str, damage: str) -> None:
    path = tmp_path / "text"
    fill(path)
    for file in path.iterdir():
        if file.name.endswith(suffix):
            if damage == "remove":
                file.unlink()
            else:
                os.truncate(file, 0 if damage == "empty" else file.stat().st_size // 2)
    if (suffix, damage) == ("meta.json", "remove"):
        # Nothing says any more that there was an index: it is a new, empty one.
        index = TextIndex.open(path, heap_bytes=HEAP_BYTES, threads=1)
        assert index.watermark() is None
        index.close()
    else:
        with pytest.raises(TextIndexError):
            try_everything(path)
    TextIndex.wipe(path)
    fill(path)
    try_everything(path)


def test_f102_an_index_of_another_layout_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "text"
    path.mkdir()
    builder = tantivy.SchemaBuilder()
    builder.add_text_field("body")
    writer = tantivy.Index(builder.build(), str(path)).writer(HEAP_BYTES, 1)
    writer.commit()
    writer.wait_merging_threads()
    with pytest.raises(TextIndexError):
        TextIndex.open(path, heap_bytes=HEAP_BYTES, threads=1)
    with pytest.raises(TextIndexError, match="layout of another version"):
        TextIndex.open_for_reading(path)


def test_a_panic_inside_tantivy_is_an_error_and_no_crash(tmp_path: Path) -> None:
    from storage.text.errors import translated

    builder = tantivy.SchemaBuilder()
    builder.add_text_field("body")
    index = tantivy.Index(builder.build())
    with pytest.raises(TextIndexError, match="greater than 0"), translated("to search"):
        index.searcher().search(tantivy.Query.all_query(), 0, count=False)


def test_wiping_what_is_not_there_is_nothing(tmp_path: Path) -> None:
    TextIndex.wipe(tmp_path / "text")
    assert not (tmp_path / "text").exists()


def test_f102_files_that_a_killed_commit_left_do_not_stop_the_next_one(tmp_path: Path) -> None:
    path = tmp_path / "text"
    fill(path, 6)
    before = (path / "meta.json").read_bytes()

    def delete_two() -> list[int]:
        with closing(TextIndex.open(path, heap_bytes=HEAP_BYTES, threads=1)) as index:
            index.delete([1, 2])
            index.commit(Watermark("c", "i", 5, 1))
            return list(index.chunk_ids())

    delete_two()
    # As if killed after the commit wrote its files, before meta.json named them.
    (path / "meta.json").write_bytes(before)

    assert delete_two() == [3, 4, 5]


def test_a_clean_end_leaves_no_segment_that_no_commit_names(tmp_path: Path) -> None:
    path = tmp_path / "text"
    fill(path, 6)
    index = TextIndex.open(path, heap_bytes=HEAP_BYTES, threads=1)
    # As a merge that was given up leaves them.
    for suffix in ("store", "term", "17.del"):
        (path / f"{'0a' * 16}.{suffix}").write_bytes(b"half a merge")
    index.close()
    assert not list(path.glob("0a0a*"))
    with closing(TextIndex.open_for_reading(path)) as reading:
        assert list(reading.chunk_ids()) == list(range(1, 6))


def files_of(path: Path, segment: str) -> list[str]:
    return sorted(each.name for each in path.iterdir() if each.name.startswith(segment))


def test_close_removes_merges_given_up_and_leaves_one_that_may_be_being_published(tmp_path: Path) -> None:
    fill(tmp_path)
    before = sorted(each.name for each in tmp_path.iterdir())
    index = TextIndex.open(tmp_path, heap_bytes=HEAP_BYTES, threads=1)
    (store,) = tmp_path.glob("*.store")
    half, whole = "a" * 32, "b" * 32
    for segment, data in ((half, store.read_bytes()[:-1]), (whole, store.read_bytes())):
        (tmp_path / f"{segment}.term").write_bytes(b"terms")
        (tmp_path / f"{segment}.store").write_bytes(data)
    index.close()
    assert files_of(tmp_path, half) == []
    assert files_of(tmp_path, whole) == [f"{whole}.store", f"{whole}.term"]
    for name in files_of(tmp_path, whole):
        (tmp_path / name).unlink()
    assert sorted(each.name for each in tmp_path.iterdir()) == before


def test_close_waits_for_a_merge_that_is_being_published(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The one thread that publishes is played here: the roll-back returns while it has a whole segment in hand."""
    fill(tmp_path)
    index = TextIndex.open(tmp_path, heap_bytes=HEAP_BYTES, threads=1)
    (published,) = json.loads((tmp_path / "meta.json").read_bytes())["segments"]
    old, new = published["segment_id"].replace("-", ""), "b" * 32
    for file in list(tmp_path.glob(f"{old}.*")):
        shutil.copyfile(file, tmp_path / file.name.replace(old, new))
    looks = 0

    def publish(seconds: float) -> None:
        nonlocal looks
        looks += 1
        meta = (tmp_path / "meta.json").read_text(encoding="utf-8")
        (tmp_path / "meta.json").write_text(meta.replace(published["segment_id"], str(UUID(new))), encoding="utf-8")

    monkeypatch.setattr("storage.text.segments.sleep", publish)
    index.close()
    assert looks == 1
    with closing(TextIndex.open_for_reading(tmp_path)) as reading:
        assert list(reading.chunk_ids()) == list(range(1, 50))

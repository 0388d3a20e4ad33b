"""Changes that the system tells of are indexed: rows 63, 64, 66, 68, 71 and 73, with real events and real git."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from tests.indexing.watch.conftest import Watch, Watched, tally

if TYPE_CHECKING:
    from tests.conftest import TreeFactory

FILES = {"a.py": "a = 1\n", "pkg/b.py": "b = 1\n", "pkg/deep/c.py": "c = 1\n"}


def git(root: Path, *arguments: str) -> None:
    identity = ["-c", "user.name=n", "-c", "user.email=e", "-c", "init.defaultBranch=main", "-c", "gc.auto=0"]
    subprocess.run(["git", *identity, *arguments], cwd=root, check=True, capture_output=True)


async def test_a_saved_file_is_indexed_by_a_job_about_it_alone(tree: TreeFactory, watch: Watch) -> None:
    async with watch(tree(FILES)) as watched:
        await watched.listening()
        before = len(watched.jobs)
        (watched.root / "pkg/b.py").write_text("b = 2\n")
        await watched.until(lambda: watched.is_indexed("pkg/b.py"))
        assert [job.paths for job in watched.jobs[before:]] == [(b"pkg/b.py",)]
        assert watched.jobs[before].origin == "watch"
        assert watched.state.events > 0


async def test_new_removed_and_renamed_files_are_followed(tree: TreeFactory, watch: Watch) -> None:
    async with watch(tree(FILES)) as watched:
        await watched.listening()
        (watched.root / "new.py").write_text("new = 1\n")
        (watched.root / "a.py").unlink()
        (watched.root / "pkg/b.py").rename(watched.root / "pkg/renamed.py")
        await watched.until(watched.equals_the_tree)
        assert all(job.paths is not None for job in watched.jobs[2:])


async def test_f063_an_editors_atomic_save_is_one_update_and_leaves_no_trace_of_its_temporaries(
    tree: TreeFactory, watch: Watch
) -> None:
    async with watch(tree(FILES)) as watched:
        await watched.listening()
        before = len(watched.jobs)
        target = watched.root / "a.py"
        (watched.root / "a.py~").write_bytes(target.read_bytes())
        (watched.root / ".a.py.tmp").write_text("a = 2\n")
        (watched.root / ".a.py.tmp").replace(target)
        await watched.until(lambda: watched.is_indexed("a.py"))
        await watched.until(lambda: not watched.state.dirty and not watched.running)
        assert set(await watched.indexed()) == {os.fsencode(name) for name in FILES}
        assert [indexed for indexed, _ in map(tally, watched.jobs[before:]) if indexed] == [1]


async def test_f064_a_renamed_directory_moves_with_all_its_files_and_nothing_is_cut_again(
    tree: TreeFactory, watch: Watch
) -> None:
    files = {f"old/part{number % 7}/m{number}.py": f"value_{number} = {number}\n" for number in range(150)}
    async with watch(tree(files)) as watched:
        await watched.listening()
        chunks = await watched.owner.reader.query("SELECT chunk_id FROM chunks ORDER BY chunk_id")
        (watched.root / "old").rename(watched.root / "new")
        await watched.until(watched.equals_the_tree)
        assert await watched.owner.reader.query("SELECT chunk_id FROM chunks ORDER BY chunk_id") == chunks
        assert all(path.startswith(b"new/") for path in await watched.indexed())


async def test_what_happens_in_a_renamed_directory_afterwards_is_heard(tree: TreeFactory, watch: Watch) -> None:
    async with watch(tree({"old/deep/a.py": "a = 1\n"})) as watched:
        await watched.listening()
        (watched.root / "old").rename(watched.root / "new")
        await watched.until(watched.equals_the_tree)
        await watched.until(lambda: not watched.state.dirty and not watched.running)
        (watched.root / "new/deep/a.py").write_text("a = 2\n")
        await watched.until(watched.equals_the_tree)


async def test_f066_a_name_that_is_no_utf8_is_indexed_and_the_watch_survives_it(
    tree: TreeFactory, watch: Watch
) -> None:
    async with watch(tree(FILES)) as watched:
        await watched.listening()
        with open(os.fsencode(watched.root) + b"/caf\xe9.py", "wb") as file:
            file.write(b"coffee = 1\n")
        await watched.until(lambda: watched.is_indexed(b"caf\xe9.py"))
        assert watched.state.overflows
        await watched.listening()
        (watched.root / "pkg/b.py").write_text("b = 3\n")
        await watched.until(lambda: watched.is_indexed("pkg/b.py"))


async def test_f068_a_switch_between_branches_is_gathered_and_ends_in_what_is_on_disk(
    tree: TreeFactory, watch: Watch
) -> None:
    # Few different contents: what is tried here is the storm, not the cutting.
    root = tree({f"d{number % 20}/f{number}.py": f"x = {number % 10}\n" for number in range(1_000)})
    git(root, "init", "-q")
    git(root, "add", "-A")
    git(root, "commit", "-qm", "one")
    git(root, "switch", "-qc", "other")
    for number in range(1_000):
        path = root / f"d{number % 20}/f{number}.py"
        if number % 3:
            path.write_text(f"y = {number % 10}\n")
        else:
            (root / f"e{number % 20}").mkdir(exist_ok=True)
            path.rename(root / f"e{number % 20}/f{number}.py")
    git(root, "add", "-A")
    git(root, "commit", "-qm", "two")
    async with watch(root) as watched:
        await watched.listening()
        before = len(watched.jobs)
        git(root, "switch", "-q", "main")
        await watched.until(watched.equals_the_tree)
        git(root, "switch", "-q", "other")
        await watched.until(watched.equals_the_tree)
        await watched.until(lambda: not watched.state.dirty and not watched.running)
        assert await watched.equals_the_tree()
        assert len(watched.jobs) - before <= 12
        assert watched.most_at_once == 1


async def test_f071_files_in_directories_made_just_before_them_are_found(tree: TreeFactory, watch: Watch) -> None:
    async with watch(tree(FILES)) as watched:
        await watched.listening()
        for number in range(300):
            deep = watched.root / f"new{number % 50}/a{number}/b/c"
            deep.mkdir(parents=True)
            (deep / "m.py").write_text(f"m = {number}\n")
        await watched.until(watched.equals_the_tree)
        await watched.until(lambda: not watched.state.dirty and not watched.running)
        (watched.root / "new7/a7/b/c/m.py").write_text("m = 'changed later'\n")
        await watched.until(watched.equals_the_tree)


async def test_f073_a_changed_gitignore_takes_files_out_and_brings_them_back(tree: TreeFactory, watch: Watch) -> None:
    root = tree(FILES | {"pkg/deep/d.py": "d = 1\n", ".gitignore": ""})
    git(root, "init", "-q")
    async with watch(root) as watched:
        await watched.listening()
        (root / "pkg/.gitignore").write_text("deep/\n")
        await watched.until(lambda: lacks(watched, b"pkg/deep/c.py", b"pkg/deep/d.py"))
        (root / "pkg/.gitignore").unlink()
        await watched.until(lambda: watched.is_indexed("pkg/deep/c.py", "pkg/deep/d.py"))
        await watched.until(lambda: not watched.state.dirty and not watched.running)
        # The directory was left out for a while: what happens in it has to be told again.
        (root / "pkg/deep/c.py").write_text("c = 2\n")
        await watched.until(lambda: watched.is_indexed("pkg/deep/c.py"))
        (root / ".git/info/exclude").write_text("a.py\n")
        await watched.until(lambda: lacks(watched, b"a.py"))


async def test_f073_a_file_that_becomes_binary_leaves_the_index(tree: TreeFactory, watch: Watch) -> None:
    async with watch(tree(FILES)) as watched:
        await watched.listening()
        (watched.root / "a.py").write_bytes(b"\0\1\2" * 1_000)
        await watched.until(lambda: lacks(watched, b"a.py"))


async def test_what_is_not_indexed_makes_no_jobs(tree: TreeFactory, watch: Watch) -> None:
    root = tree(FILES | {".gitignore": "out/\n", "out/o.txt": "o\n", "node_modules/m/i.js": "m()\n"})
    git(root, "init", "-q")
    async with watch(root) as watched:
        await watched.listening()
        before = len(watched.jobs)
        for number in range(5):
            (root / "out/o.txt").write_text(f"{number}\n")
            (root / "node_modules/m/i.js").write_text(f"m({number})\n")
            git(root, "add", "-A")
        (root / "a.py").write_text("a = 9\n")
        await watched.until(lambda: watched.is_indexed("a.py"))
        assert [job.paths for job in watched.jobs[before:]] == [(b"a.py",)]


async def test_a_link_out_of_the_tree_is_not_followed(tree: TreeFactory, watch: Watch) -> None:
    outside = tree({"o.py": "o = 1\n"}, name="outside")
    root = tree(FILES)
    (root / "link").symlink_to(outside)
    async with watch(root) as watched:
        await watched.listening()
        before = len(watched.jobs)
        (outside / "o.py").write_text("o = 2\n")
        (root / "a.py").write_text("a = 2\n")
        await watched.until(lambda: watched.is_indexed("a.py"))
        assert [job.paths for job in watched.jobs[before:]] == [(b"a.py",)]


async def lacks(watched: Watched, *paths: bytes) -> bool:
    return set(paths).isdisjoint(await watched.indexed())

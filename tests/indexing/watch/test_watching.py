"""Which repositories are watched, and what becomes of a root that goes, a job that fails, an error nobody foresaw."""

from __future__ import annotations

import asyncio
import shutil
from typing import TYPE_CHECKING

from indexing.settings import WatchSettings
from indexing.watch import following, handing_in
from indexing.watch.errors import RootGone
from indexing.watch.handing_in import HandingIn
from storage import forget
from tests.indexing.watch.conftest import RARELY, Watch, Watched

if TYPE_CHECKING:
    import pytest

    from tests.conftest import TreeFactory

FILES = {"a.py": "a = 1\n", "pkg/b.py": "b = 1\n"}


async def test_the_first_look_is_at_the_whole_tree(tree: TreeFactory, watch: Watch) -> None:
    async with watch(tree(FILES)) as watched:
        await watched.listening()
        assert (watched.jobs[0].paths, watched.jobs[0].origin) == (None, "scan")
        assert await watched.equals_the_tree()
        assert watched.state.scanned_at is not None


async def test_with_the_flag_off_nothing_is_watched_and_on_again_everything_is_looked_at(
    tree: TreeFactory, watch: Watch
) -> None:
    async with watch(tree(FILES)) as watched:
        await watched.listening()
        watched.is_enabled = False
        await watched.watching.refresh()
        assert watched.state.mode == "off"
        before = len(watched.jobs)
        (watched.root / "a.py").write_text("a = 2\n")
        watched.is_enabled = True
        await watched.watching.refresh()
        await watched.until(watched.equals_the_tree)
        assert (watched.jobs[before].paths, watched.jobs[before].origin) == (None, "scan")


async def test_repositories_come_and_go(tree: TreeFactory, watch: Watch) -> None:
    async with watch(tree(FILES)) as watched:
        await watched.listening()
        first = watched.repository
        second = await watched.owner.register(tree(FILES, name="second"))
        assert watched.watching.state_of(second.uuid).mode == "off"
        await watched.watching.refresh()
        watched.repository = second
        await watched.listening()
        (watched.root / "a.py").write_text("a = 2\n")
        await watched.until(watched.equals_the_tree)
        await watched.owner.writer.apply(lambda connection: forget(connection, first.id))
        await watched.watching.refresh()
        assert watched.watching.state_of(first.uuid).mode == "off"
        assert watched.state.mode == "events"


async def test_a_repository_inside_another_ones_tree_is_followed_by_itself_alone(
    tree: TreeFactory, watch: Watch
) -> None:
    root = tree(FILES)
    inner = tree({"c.py": "c = 1\n"}, name="tree/inner")
    async with watch(inner) as watched:
        await watched.listening()
        outer = await watched.owner.register(root)
        await watched.watching.refresh()
        watched.repository = outer
        await watched.listening()
        before = len(watched.jobs)
        (inner / "c.py").write_text("c = 2\n")
        (watched.root / "a.py").write_text("a = 2\n")
        await watched.until(lambda: watched.is_indexed("a.py"))
        assert [job.paths for job in watched.jobs[before:]] == [(b"a.py",)]


async def test_settled_waits_for_a_change_and_says_what_is_left_at_the_deadline(
    tree: TreeFactory, watch: Watch
) -> None:
    loop = asyncio.get_running_loop()
    async with watch(tree(FILES), settings=WatchSettings(debounce_ms=1_500, scan_seconds=RARELY)) as watched:
        while watched.state.mode != "events" or watched.state.dirty > 0:
            await watched.watching.settled([watched.repository.uuid], loop.time() + 1)
        assert await watched.watching.settled([watched.repository.uuid], loop.time() + 20) == []
        (watched.root / "a.py").write_text("a = 2\n")
        while not watched.state.dirty:
            await watched.watching.settled([watched.repository.uuid], loop.time() + 0.1)
        (pending,) = await watched.watching.settled([watched.repository.uuid, "unknown"], loop.time() + 0.1)
        assert (pending.repository, pending.files) == (watched.repository.uuid, 1)
        assert watched.state.dirty == 1


async def test_changes_while_a_job_runs_are_gathered_for_the_one_after_it(
    tree: TreeFactory, watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    held, go_on = asyncio.Event(), asyncio.Event()
    wait = Watched.wait

    async def slow(self: Watched, job: str) -> object:
        if len(self.jobs) > 2:
            held.set()
            await go_on.wait()
        return await wait(self, job)

    monkeypatch.setattr(Watched, "wait", slow)
    async with watch(tree(FILES)) as watched:
        await watched.listening()
        before = len(watched.jobs)
        (watched.root / "a.py").write_text("a = 2\n")
        await held.wait()
        for number in range(20):
            (watched.root / f"n{number}.py").write_text(f"n = {number}\n")
        while watched.state.dirty < 20:
            await watched.watching.settled([watched.repository.uuid], asyncio.get_running_loop().time() + 0.1)
        go_on.set()
        await watched.until(watched.equals_the_tree)
        assert len(watched.jobs) == before + 2
        assert watched.most_at_once == 1


async def test_a_storm_is_handed_in_when_git_lets_go_of_its_lock(
    tree: TreeFactory, watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tree(FILES | {".git/index.lock": ""})
    at_work: list[bool] = []
    git_is_at_work = HandingIn._git_is_at_work

    async def note(self: HandingIn) -> bool:
        at_work.append(await git_is_at_work(self))
        if len(at_work) == 3:
            await asyncio.to_thread((root / ".git/index.lock").unlink)
        return at_work[-1]

    monkeypatch.setattr(HandingIn, "_git_is_at_work", note)
    async with watch(root) as watched:
        await watched.listening()
        # Scans do not wait for it, but the look at everything that follows the first one does.
        assert at_work == [True, True, True, False]


async def test_a_root_that_is_gone_is_waited_for_and_makes_no_jobs(
    tree: TreeFactory, watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handing_in, "ROOT_FIRST_SECONDS", 0.01)
    monkeypatch.setitem(following.AGAIN_SECONDS, RootGone, (0.01, 0.1))
    looked = asyncio.Event()
    miss_root = HandingIn._miss_root

    def note(self: HandingIn) -> None:
        miss_root(self)
        looked.set()

    monkeypatch.setattr(HandingIn, "_miss_root", note)
    async with watch(tree(FILES)) as watched:
        await watched.listening()
        before = len(watched.jobs)
        away = watched.root.with_name("away")
        watched.root.rename(away)
        await asyncio.wait_for(looked.wait(), 20)
        assert "is gone" in watched.state.problem
        assert len(await watched.indexed()) == len(FILES)
        assert len(watched.jobs) == before
        (away / "a.py").write_text("a = 2\n")
        away.rename(watched.root)
        await watched.until(watched.equals_the_tree)
        await watched.listening()
        assert watched.state.problem == ""


async def test_another_directory_at_the_root_changes_nothing_and_is_said(tree: TreeFactory, watch: Watch) -> None:
    async with watch(tree(FILES)) as watched:
        await watched.listening()
        watched.root.rename(watched.root.with_name("away"))
        watched.root.mkdir()
        (watched.root / "other.py").write_text("other = 1\n")
        await watched.until(lambda: "accept-root" in watched.state.problem)
        assert len(await watched.indexed()) == len(FILES)


async def test_an_error_in_following_one_repository_is_logged_and_ends_neither_it_nor_the_others(
    tree: TreeFactory, watch: Watch, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(following, "START_OVER_SECONDS", (0.01, 0.1))
    async with watch(tree(FILES)) as watched:
        await watched.listening()
        watched.fails_with = ZeroDivisionError("nobody thought of this")
        (watched.root / "a.py").write_text("a = 2\n")
        await watched.until(lambda: watched.is_indexed("a.py"))
        await watched.listening()
        assert watched.state.problem == ""
    assert "watch.failed" in capsys.readouterr().out


async def test_a_tree_without_anything_to_index_is_no_problem_and_its_first_file_is_found(
    tree: TreeFactory, watch: Watch
) -> None:
    async with watch(tree({})) as watched:
        await watched.listening()
        assert watched.state.problem == ""
        (watched.root / "first.py").write_text("first = 1\n")
        await watched.until(lambda: watched.is_indexed("first.py"))


async def test_a_tree_that_is_removed_while_nothing_listens_is_no_error(tree: TreeFactory, watch: Watch) -> None:
    async with watch(tree(FILES)) as watched:
        shutil.rmtree(watched.root)
        while "is gone" not in watched.state.problem and "failed" not in watched.state.problem:
            await watched.watching.settled([watched.repository.uuid], asyncio.get_running_loop().time() + 0.2)

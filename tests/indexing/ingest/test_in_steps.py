"""Invariant I6: an index that followed its tree through many changes equals one built from scratch."""

from __future__ import annotations

import asyncio
import os
import random
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from indexing.ingest.job import NothingToIndex
from indexing.runtime import open_owner
from tests.faults import state
from tests.faults.driver import settings_for

STEPS = 30
LINES = (
    "def value(count):\n    return count\n",
    "total = 0\n",
    "# Title\n",
    "class Beta:\n    alpha = 1\n",
    "\n",
    "é\n",
)


class Tree:
    """A git work tree that changes at random."""

    def __init__(self, root: Path, seed: int) -> None:
        self.root = root
        self.draw = random.Random(seed)
        root.mkdir()
        self.git("init", "-q", "-b", "main")
        for name, content in state.small_tree(8).items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(content)
        self.git("add", "-A")
        self.commit("first")
        self.git("branch", "other")

    def git(self, *arguments: str) -> None:
        environment = os.environ | {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
        subprocess.run(["git", "-C", str(self.root), *arguments], check=True, capture_output=True, env=environment)

    def commit(self, message: str) -> None:
        self.git("-c", "user.name=a", "-c", "user.email=a@b", "commit", "-q", "--allow-empty", "-m", message)

    def change(self) -> None:
        """Do one thing to the tree."""
        actions: list[Callable[[], None]] = [
            self.create, self.create, self.edit, self.edit, self.delete, self.rename, self.touch, self.chmod,
            self.ignore, self.switch, self.become_binary, self.move_directory,
        ]  # fmt: skip
        self.draw.choice(actions)()

    def files(self) -> list[Path]:
        return sorted(path for path in self.root.rglob("*") if path.is_file() and ".git" not in path.parts)

    def any_file(self) -> Path:
        return self.draw.choice(self.files() or [self.root / "again.py"])

    def create(self) -> None:
        name = f"{self.draw.choice(('pkg0', 'docs', 'new'))}/file{self.draw.randrange(20)}"
        path = self.root / (name + self.draw.choice((".py", ".md", ".c", ".txt")))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(self.draw.choices(LINES, k=4)))

    def edit(self) -> None:
        self.any_file().write_text("".join(self.draw.choices(LINES, k=5)))

    def delete(self) -> None:
        self.any_file().unlink(missing_ok=True)

    def rename(self) -> None:
        path = self.any_file()
        if path.exists():
            path.rename(path.with_name(f"moved{self.draw.randrange(50)}{path.suffix}"))

    def move_directory(self) -> None:
        for name, to in (("docs", "documents"), ("documents", "docs")):
            if (self.root / name).is_dir() and not (self.root / to).exists():
                (self.root / name).rename(self.root / to)
                return

    def touch(self) -> None:
        path = self.any_file()
        if path.exists():
            os.utime(path, ns=(self.draw.randrange(10**18),) * 2)

    def chmod(self) -> None:
        path = self.any_file()
        if path.exists():
            path.chmod(self.draw.choice((0o644, 0o755)))

    def ignore(self) -> None:
        name = self.draw.choice((".gitignore", ".codetroveignore"))
        (self.root / name).write_text(
            self.draw.choice(("*.md\n", "new/\n", "moved*\n", "# nothing\n", "*\n!*.py\n!*/\n"))
        )

    def become_binary(self) -> None:
        self.any_file().write_bytes(b"\0\1\2" * 50)

    def switch(self) -> None:
        self.git("add", "-A", "-f")
        self.commit("on the way")
        self.git("switch", "-q", self.draw.choice(("main", "other")))


@pytest.mark.parametrize("seed", [6])
def test_an_index_in_many_steps_equals_one_from_scratch(tmp_path: Path, seed: int) -> None:
    tree = Tree(tmp_path / "tree", seed)
    asyncio.run(_follow(tree, tmp_path / "data"))
    asyncio.run(state.from_scratch(tmp_path / "reference", tmp_path / "data"))
    assert state.dump(tmp_path / "data") == state.dump(tmp_path / "reference")
    assert asyncio.run(state.findings(tmp_path / "data")) == []
    assert state.text_ids(tmp_path / "data") == state.text_ids(tmp_path / "reference")
    for data in (tmp_path / "data", tmp_path / "reference"):
        asyncio.run(state.rebuild_text(data))
    assert state.hits(tmp_path / "data") == state.hits(tmp_path / "reference")


async def _follow(tree: Tree, data: Path) -> None:
    """Index after every change, in several owners' times, and every third time with garbage kept."""
    for start in range(0, STEPS, 10):
        grace = 14 if start == 10 else 0
        settings = settings_for(data, {"storage.garbage_grace_days": grace, "indexing.worker_batch_size": 16})
        async with open_owner(settings) as owner:
            repository = await owner.register(tree.root)
            for _ in range(10):
                tree.change()
                try:
                    async with owner.job_for(repository) as job:
                        tally = (await job.run()).tally
                except NothingToIndex:
                    continue
                assert tally.seen == tally.indexed + tally.unchanged + tally.skipped + tally.failed

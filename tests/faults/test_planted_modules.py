"""Row 101: code in the indexed tree or in the working directory that is named like a module is never imported."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.faults import state

NAMES = ("pickle", "sitecustomize", "usercustomize", "msgspec", "tantivy", "zstandard", "tree_sitter", "encodings")
INDEX = """
import asyncio, sys
from pathlib import Path
sys.path.insert(0, sys.argv[3])
from indexing.runtime import open_owner
from tests.faults.driver import settings_for

async def main():
    async with open_owner(settings_for(sys.argv[1])) as owner:
        repository = await owner.register(Path(sys.argv[2]))
        async with owner.job_for(repository) as job:
            print((await job.run()).tally.indexed)

asyncio.run(main())
"""


@pytest.mark.parametrize("where", ["in the tree", "in the data directory"])
def test_f101_planted_modules_are_indexed_and_never_imported(tmp_path: Path, where: str) -> None:
    root, data, planted = tmp_path / "tree", tmp_path / "data", tmp_path / "PLANTED"
    code = f"open({str(planted)!r}, 'a').write(__name__)\n"
    state.write(root, {f"{name}.py": code for name in NAMES})
    data.mkdir(mode=0o700)
    if where == "in the data directory":
        state.write(data, {f"{name}.py": code for name in NAMES})
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONSAFEPATH"}
    # The owner itself is started as the console script is: its own directory, not the working one, is on sys.path.
    done = subprocess.run(
        [sys.executable, "-P", "-c", INDEX, str(data), str(root), str(Path(__file__).parents[2])],
        cwd=root, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[-1] == str(len(NAMES))
    assert not planted.exists(), planted.read_text()

"""Row 17: a process that may open few files is refused or fails files; nothing is taken for damage, nothing is lost."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.faults import state


@pytest.mark.parametrize("limit", [24, 32, 48])
def test_f017_few_descriptors_cost_nothing_that_the_next_run_does_not_bring_back(tmp_path: Path, limit: int) -> None:
    root, data = tmp_path / "tree", tmp_path / "data"
    state.write(root, state.small_tree(24))
    environment = os.environ | {"CODETROVE_STORAGE__DATA_DIR": str(data)}
    command = [sys.executable, "-c", "from indexing.cli import main; main()", "index", str(root)]
    poor = subprocess.run(
        ["sh", "-c", f'ulimit -n {limit}; exec "$@"', "sh", *command], env=environment, capture_output=True, check=False
    )
    assert poor.returncode in {0, 1, 3}
    assert b"Too many open files" in poor.stdout + poor.stderr or poor.returncode == 0
    assert b"damaged" not in poor.stdout + poor.stderr
    assert b"Traceback" not in poor.stderr
    subprocess.run(command, env=environment, capture_output=True, check=True)
    assert len(state.shown(data)) == 24
    assert asyncio.run(state.findings(data)) == []

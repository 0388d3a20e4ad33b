"""The SDK takes most of a second to load: only those who are asked by an agent load it."""

from __future__ import annotations

import subprocess
import sys

import pytest


@pytest.mark.parametrize("module", ["indexing.cli.app", "indexing.cli.mcp", "indexing.cli.init", "indexing.http.app"])
def test_neither_commands_nor_the_service_load_the_sdk_before_it_is_used(module: str) -> None:
    code = f"import sys, {module}; sys.exit('mcp' in sys.modules or 'mcp_types' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

"""Row 60: what cannot be read is recorded, and what was indexed of it is kept."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults import state
from tests.faults.driver import Driver, Order

PR_CAPBSET_DROP = 24
CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH = 1, 2


def drop_what_lets_root_read_everything() -> None:
    """Runs in the child before exec: capabilities outside the bounding set are not regained there (capabilities(7))."""
    for capability in (CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH):
        ctypes.CDLL(None).prctl(PR_CAPBSET_DROP, capability, 0, 0, 0)


@pytest.fixture
def ordinary_driver(tmp_path: Path) -> Iterator[Driver]:
    """A driver for which modes count, also where the tests run as root."""
    with Driver(preexec=drop_what_lets_root_read_everything) as driver:
        yield driver


@pytest.mark.skipif(sys.platform != "linux", reason="capabilities are Linux's; elsewhere tests do not run as root")
def test_f060_denied_files_and_directories_are_recorded_and_their_entries_kept(
    ordinary_driver: Driver, tmp_path: Path
) -> None:
    root, data = tmp_path / "tree", tmp_path / "data"
    state.write(root, {"a.py": "a = 1\n", "b.py": "b = 1\n", "sub/c.py": "c = 1\n", "gone/d.py": "d = 1\n"})
    order = Order(str(data), str(root))
    assert ordinary_driver.run(order).report["indexed"] == 4
    state.write(root, {"a.py": "a = 22\n"})
    (root / "gone/d.py").unlink()
    (root / "a.py").chmod(0)
    (root / "sub").chmod(0)
    try:
        report = ordinary_driver.run(order).report
    finally:
        (root / "sub").chmod(0o755)
        (root / "a.py").chmod(0o644)
    assert report["state"] == "partial"
    assert (report["failed"], report["removed"]) == (2, 1)
    assert set(state.shown(data)) == {b"a.py", b"b.py", b"sub/c.py"}
    report = ordinary_driver.run(order).report
    assert (report["state"], report["indexed"], report["failed"]) == ("succeeded", 1, 0)

"""Readings of control groups laid out as real files, and of real rlimits."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeAlias

import psutil
import pytest

from indexing.memory import MemoryReading, read_memory, rss_of

MIB = 1024 * 1024
V1_NO_LIMIT = 9223372036854771712

Layout: TypeAlias = Callable[[str, Mapping[str, object]], MemoryReading]


@pytest.fixture
def read(tmp_path: Path) -> Layout:
    """``read(text of /proc/self/cgroup, {path below /sys/fs/cgroup: content})`` lays the files out and reads them."""

    def lay_out(membership: str, files: Mapping[str, object]) -> MemoryReading:
        proc, cgroups = tmp_path / "proc", tmp_path / "cgroup"
        contents = {proc / "self" / "cgroup": membership} | {cgroups / name: text for name, text in files.items()}
        for path, content in contents.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"{content}\n", encoding="utf-8")
        return read_memory(proc=proc, cgroups=cgroups)

    return lay_out


def test_without_control_groups_the_machine_is_the_bound(tmp_path: Path) -> None:
    reading = read_memory(proc=tmp_path, cgroups=tmp_path)
    assert reading.source == "host"
    assert reading.limit_bytes == psutil.virtual_memory().total
    assert 0 < reading.used_bytes < reading.limit_bytes


def test_version_2_counts_what_cannot_be_taken_back(read: Layout) -> None:
    files = "inactive_file 300\nactive_file 500\nfile_mapped 100\nfile_dirty 50\nfile_writeback 25"
    stat = f"anon 1000\n{files}\nslab_reclaimable 10"
    reading = read("0::/app", {"app/memory.max": 4000, "app/memory.current": 2000, "app/memory.stat": stat})
    # 300 + 500 file pages, 175 of them mapped or unwritten, and 10 of slabs
    assert reading == MemoryReading(4000, 2000 - 625 - 10, "cgroup")
    assert reading.available_bytes == 2635
    assert reading.percent == pytest.approx(34.125)


def test_inactive_pages_can_be_taken_back_even_if_as_many_are_mapped(read: Layout) -> None:
    stat = "inactive_file 300\nactive_file 0\nfile_mapped 280"
    reading = read("0::/", {"memory.max": 1000, "memory.current": 900, "memory.stat": stat})
    assert reading.used_bytes == 600


def test_f014_a_tree_that_was_read_is_no_memory_in_use(read: Layout) -> None:
    # As Linux 6.18 showed it: 2 MB of memory and 265 MB of files read, nearly all of them "active".
    stat = "total_rss 1703936\ntotal_dirty 20480\ntotal_inactive_file 28672\ntotal_active_file 264941568"
    files = {"memory.limit_in_bytes": 300 * MIB, "memory.usage_in_bytes": 278216704, "memory.stat": stat}
    assert read("4:memory:/", {f"memory/{name}": value for name, value in files.items()}).percent < 5


@pytest.mark.parametrize(
    ("own", "middle", "root", "expected"),
    [
        (500, 1000, 2000, 500),
        (500, 400, 2000, 400),
        (500, 1000, 300, 300),
        ("max", 400, "max", 400),
    ],
)
def test_the_tightest_level_up_to_the_root_is_the_bound(
    read: Layout, own: object, middle: object, root: object, expected: int
) -> None:
    files = {"a/b/memory.max": own, "a/memory.max": middle, "memory.max": root}
    usage = {"a/b/memory.current": 100, "a/memory.current": 100, "memory.current": 100}
    assert read("0::/a/b", {**files, **usage}) == MemoryReading(expected, 100, "cgroup")


def test_a_wide_group_that_others_fill_is_tighter_than_a_small_one_of_our_own(read: Layout) -> None:
    files = {"a/b/memory.max": 500, "a/b/memory.current": 100, "a/memory.max": 1000, "a/memory.current": 950}
    assert read("0::/a/b", files) == MemoryReading(1000, 950, "cgroup")


def test_what_is_slowed_down_at_memory_high_is_bound_by_it(read: Layout) -> None:
    reading = read("0::/", {"memory.max": 1000, "memory.high": 800, "memory.current": 900})
    assert reading == MemoryReading(800, 900, "cgroup")
    assert reading.available_bytes == 0
    assert reading.percent > 100


def test_a_limit_of_nothing_is_used_up(read: Layout) -> None:
    assert read("0::/", {"memory.max": 0, "memory.current": 0}).percent == 100


def test_version_1_counts_the_groups_below(read: Layout) -> None:
    stat = "inactive_file 1\ntotal_inactive_file 300\ntotal_active_file 100\ntotal_mapped_file 50"
    files = {"limit_in_bytes": 1000, "usage_in_bytes": 900, "stat": stat}
    membership = "5:cpu,cpuacct:/elsewhere\n4:cpuset,memory:/app\n1:name=systemd:/app"
    reading = read(membership, {f"memory/app/memory.{name}": value for name, value in files.items()})
    assert reading == MemoryReading(1000, 550, "cgroup")


def test_in_a_hybrid_setup_both_versions_bound(read: Layout) -> None:
    files = {
        "memory/app/memory.limit_in_bytes": 1000,
        "memory/app/memory.usage_in_bytes": 100,
        "unified/app/memory.max": 800,
        "unified/app/memory.current": 100,
    }
    assert read("4:memory:/app\n0::/app", files).limit_bytes == 800
    assert read("4:memory:/app\n0::/app", {**files, "unified/app/memory.max": "max"}).limit_bytes == 1000


@pytest.mark.parametrize("path", ["/docker/3f2a", "/docker/3f2a/init.scope", "/../../outside", "/", "/gone (deleted)"])
def test_a_path_that_the_mount_does_not_show_means_its_root(read: Layout, path: str) -> None:
    assert read(f"0::{path}", {"memory.max": 700, "memory.current": 10}).limit_bytes == 700


def test_a_group_outside_of_the_namespace_is_not_taken_for_one_inside(read: Layout) -> None:
    files = {"memory.max": 700, "memory.current": 10, "other/memory.max": 300, "other/memory.current": 10}
    assert read("0::/../other", files).limit_bytes == 700


def test_in_a_container_the_end_of_the_path_is_looked_for_below_the_mount(read: Layout) -> None:
    files = {"memory.max": 700, "memory.current": 10, "job/memory.max": 300, "job/memory.current": 10}
    assert read("0::/docker/3f2a/job", files).limit_bytes == 300


@pytest.mark.parametrize("limit", ["max", V1_NO_LIMIT, 2**63 - 1, 2**64 - 1, -1, "", "many"])
def test_what_is_no_limit_does_not_count(read: Layout, limit: object) -> None:
    files = {"memory.max": limit, "memory.current": 10}
    assert read("0::/", files).source == "host"


@pytest.mark.parametrize("membership", ["", "nonsense", "0::", "4:cpu:/", "0:named:/"])
def test_a_membership_that_cannot_be_read_is_no_error(read: Layout, membership: str) -> None:
    assert read(membership, {}).source == "host"


def test_a_group_without_a_usage_is_no_bound(read: Layout) -> None:
    assert read("0::/", {"memory.max": 10}).source == "host"


def test_a_damaged_stat_only_hides_what_could_be_taken_back(read: Layout) -> None:
    files = {"memory.max": 100, "memory.current": 50, "memory.stat": "inactive_file many\n\nactive_file\n\xff 3"}
    assert read("0::/", files) == MemoryReading(100, 50, "cgroup")


def in_a_process(script: str, *arguments: str) -> Any:
    """What a Python process prints as JSON."""
    done = subprocess.run([sys.executable, "-P", "-c", script, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


RLIMITED = """
import json, resource, sys
import psutil
from pathlib import Path
from indexing.memory import read_memory
kind, used = getattr(resource, sys.argv[1]), getattr(psutil.Process().memory_info(), sys.argv[2])
resource.setrlimit(kind, (used + 2**26, resource.RLIM_INFINITY))
reading = read_memory(cgroups=Path(sys.argv[3]))
print(json.dumps([reading.source, reading.limit_bytes - used - 2**26, reading.used_bytes - used]))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux holds processes to these limits")
@pytest.mark.parametrize(("kind", "field"), [("RLIMIT_AS", "vms"), ("RLIMIT_DATA", "data")])
def test_an_rlimit_bounds_the_process_that_has_it(tmp_path: Path, kind: str, field: str) -> None:
    source, limit_drift, used_drift = in_a_process(RLIMITED, kind, field, str(tmp_path))
    assert source == "rlimit"
    assert limit_drift == 0
    assert abs(used_drift) < 2**25


def test_the_resident_memory_of_a_process_is_told() -> None:
    assert rss_of(os.getpid()) == pytest.approx(psutil.Process().memory_info().rss, rel=0.2)


def test_a_process_that_is_gone_holds_nothing() -> None:
    with subprocess.Popen([sys.executable, "-c", ""], stdin=subprocess.DEVNULL) as process:
        pass
    assert rss_of(process.pid) == 0


def test_psutil_is_not_loaded_before_it_is_needed() -> None:
    script = "import json, sys, indexing.memory, indexing.memory_guard; print(json.dumps('psutil' in sys.modules))"
    assert in_a_process(script) is False

"""Recognizes mounts that hold no files of a user (procfs, sysfs, …), whose "files" may block or never end."""

from __future__ import annotations

import os
from pathlib import Path

_PSEUDO = frozenset(
    b"""autofs binfmt_misc bpf cgroup cgroup2 configfs debugfs devpts devtmpfs efivarfs fusectl hugetlbfs mqueue nsfs
    proc pstore rpc_pipefs securityfs selinuxfs sysfs tracefs""".split()
)


def pseudo_filesystem(device: int) -> str:
    """The type of the pseudo file system that has this device number (``st_dev``); empty for every other one.

    Reads ``/proc/self/mountinfo`` (proc(5)); where that is missing nothing is recognized.
    """
    wanted = b"%d:%d" % (os.major(device), os.minor(device))
    try:
        mounts = Path("/proc/self/mountinfo").read_bytes()
    except OSError:
        return ""
    for line in mounts.splitlines():
        before, _, after = line.partition(b" - ")
        fields = before.split(b" ")
        kind = after.partition(b" ")[0]
        if len(fields) > 2 and fields[2] == wanted and kind in _PSEUDO:
            return kind.decode("ascii")
    return ""

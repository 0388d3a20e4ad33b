"""Queries of one to ten words, each with a file that must be among the first ten hits."""

from __future__ import annotations

from typing import Final

QUERIES: Final[dict[str, dict[str, str]]] = {
    "flask": {
        "stream_with_context": "src/flask/helpers.py",
        "blueprint url prefix": "src/flask/sansio/blueprints.py",
        "secure cookie session interface": "src/flask/sessions.py",
    },
    "django": {
        "get_object_or_404": "django/shortcuts.py",
        "csrf middleware": "django/middleware/csrf.py",
        "migration autodetector rename field": "django/db/migrations/autodetector.py",
        "hash passwords with pbkdf2": "django/contrib/auth/hashers.py",
        "render a template to an http response": "django/shortcuts.py",
    },
    "linux": {
        "tcp_retransmit_skb": "net/ipv4/tcp_output.c",
        "schedule_timeout": "kernel/time/timer.c",
        "ext4 inode bitmap": "fs/ext4/ialloc.c",
        "copy_process fork": "kernel/fork.c",
        "struct rq runqueue": "kernel/sched/sched.h",
        "usb hub port reset": "drivers/usb/core/hub.c",
        "nvme pci submit io queue": "drivers/nvme/host/pci.c",
        "oom killer select bad process badness": "mm/oom_kill.c",
        "completely fair scheduler pick next task entity": "kernel/sched/fair.c",
        "load elf binary and map its program headers": "fs/binfmt_elf.c",
        "handle a page fault in user address space x86": "arch/x86/mm/fault.c",
        "how is the congestion window computed by tcp cubic algorithm": "net/ipv4/tcp_cubic.c",
    },
}

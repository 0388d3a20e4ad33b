"""One ``codetrove sync``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from indexing.cli.exits import ExitCode
from indexing.cli.owner_repositories import chosen_by, known_to
from indexing.cli.terminal import say, say_json, say_result
from indexing.control import ANSWER_SECONDS, needed

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from indexing.control import ControlClient

SYNC_SCHEMA: Final = 1


def run_sync(owner: ControlClient | None, roots: Sequence[Path], timeout: float, *, as_json: bool) -> ExitCode:
    """Wait up to ``timeout`` seconds; returns the exit code. Raises the errors of ``control``."""
    owner = needed(owner)
    known = known_to(owner)
    wanted = [each["uuid"] for each in chosen_by(known, roots)] if roots else []
    body = {"repositories": wanted, "timeout_ms": int(timeout * 1000)}
    answer = owner.post("/sync", body, answer_seconds=timeout + ANSWER_SECONDS)
    if as_json:
        say_json({"schema": SYNC_SCHEMA, **answer})
    elif answer["synced"]:
        say_result("everything written before is searchable")
    else:
        roots_by_uuid = {each["uuid"]: each["root"] for each in known}
        for each in answer["pending"]:
            root = roots_by_uuid.get(each["repository"], each["repository"])
            say_result(f"pending: {root}  {each['state']}  {each['job']}".rstrip())
        say("codetrove: some changes are not searchable yet; ask again, or give a longer --timeout")
    return ExitCode.OK if answer["synced"] else ExitCode.FINDINGS

"""One ``codetrove init``: prints or writes an agent's configuration."""

from __future__ import annotations

import os
import sys
import sysconfig
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from indexing.cli.exits import UsageError
from indexing.cli.mcp_clients import client_of, entry_for, merged, shown
from indexing.cli.terminal import say, say_json, say_result

if TYPE_CHECKING:
    from collections.abc import Callable

    from indexing.cli.init import ClientName
    from indexing.cli.invocation import Invocation


def run_init(
    invocation: Invocation, name: ClientName, *, write: bool, file: Path | None, allow_index: bool, as_json: bool
) -> None:
    """Print or write; raises ``UsageError`` and ``OSError``."""
    client = client_of(name)
    target = file if file is not None else client.file
    entry = entry_for(client, server_command(invocation, allow_index=allow_index))
    if write and target is None:
        raise UsageError(f"--mcp {name} has no file of its own; name one with --file, or leave --write out")
    is_changed = (
        write
        and target is not None
        and _write_into(target.absolute(), lambda text: merged(client, text, entry, str(target)))
    )
    if as_json:
        place = None if target is None else str(target.absolute())
        found: dict[str, Any] = {"schema": 1, "client": name, "file": place, "written": write, "changed": is_changed}
        say_json({**found, "entry": entry})
    elif write:
        done = "is written" if is_changed else "already has it"
        say(f"codetrove: {str(target)!r} {done}; start the agent again to use it")
    else:
        where = "your agent's configuration" if target is None else str(target)
        say(f"codetrove: for {where}; --write puts it there")
        say_result(shown(client, entry).rstrip("\n"))


def server_command(invocation: Invocation, *, allow_index: bool) -> list[str]:
    """Return the command that an agent has to run, by absolute paths: an agent may run it anywhere."""
    installed = Path(sysconfig.get_path("scripts")) / "codetrove"
    if installed.is_file():
        command = [str(installed)]
    else:
        command = [sys.executable, "-c", "from indexing.cli import main; main()"]
    for option, path in (("--data-dir", invocation.data_dir), ("--config", invocation.config)):
        if path is not None:
            command += [option, str(path.expanduser().absolute())]
    return [*command, "mcp", *(["--allow-index"] if allow_index else [])]


def _write_into(file: Path, change: Callable[[str], str]) -> bool:
    """Change a file in one step; returns whether it had to be changed. A link's target is changed, not the link."""
    file = file.resolve()
    try:
        with file.open(encoding="utf-8", newline="") as stream:
            former = stream.read()
        mode = file.stat().st_mode & 0o777
    except FileNotFoundError:
        former, mode = None, 0o644 & ~_umask()
    except UnicodeDecodeError as error:
        raise UsageError(f"the configuration {str(file)!r} is no UTF-8: {error.reason}; mend it first") from error
    text = change(former or "")
    if text == former:
        return False
    file.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(prefix=f".{file.name}.", dir=file.parent)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8", newline="") as stream:
            stream.write(text)
            stream.flush()
            os.fchmod(descriptor, mode)
            os.fsync(descriptor)
        Path(name).replace(file)
    except BaseException:
        with suppress(OSError):
            Path(name).unlink()
        raise
    return True


def _umask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask

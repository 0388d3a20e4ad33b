"""Fault injection for crash tests: stop the process at a chosen step.

``_CODETROVE_FAULT=stage:N:kill`` kills the process (SIGKILL) when ``stage`` is reached for the N-th time;
``stage:N:raise`` raises ``InjectedFault`` there instead. ``*`` as the stage counts every step that writes.
Unset, ``reach`` is one comparison.
"""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass

VARIABLE = "_CODETROVE_FAULT"


class InjectedFault(RuntimeError):
    """Raised by ``reach`` where ``_CODETROVE_FAULT`` asks for it."""


@dataclass(slots=True)
class _Armed:
    stage: str
    remaining: int
    action: str


def _parse(value: str | None) -> _Armed | None:
    if not value:
        return None
    stage, number, action = value.split(":")
    return _Armed(stage, int(number), action)


_armed = _parse(os.environ.get(VARIABLE))


def reach(stage: str) -> None:
    """Say that a step is reached; the fault that is armed for it happens here."""
    if _armed is None or _armed.stage not in (stage, "*"):
        return
    _armed.remaining -= 1
    if _armed.remaining != 0:
        return
    if _armed.action == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    raise InjectedFault(stage)

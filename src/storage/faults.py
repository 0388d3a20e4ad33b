"""Fault injection for crash tests: stop the process at a chosen step.

``_CODETROVE_FAULT=stage:N:kill`` kills the process (SIGKILL) when ``stage`` is reached for the N-th time;
``raise`` raises ``InjectedFault`` there instead, ``stop`` suspends the process (SIGSTOP), ``spin`` burns CPU for ever.
``*`` as the stage counts every step; ``stage@suffix`` counts only files whose path ends so.
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
    suffix: bytes
    remaining: int
    action: str


def _parse(value: str | None) -> _Armed | None:
    if not value:
        return None
    place, number, action = value.split(":")
    stage, _, suffix = place.partition("@")
    return _Armed(stage, os.fsencode(suffix), int(number), action)


_armed = _parse(os.environ.get(VARIABLE))


def arm(value: str | None) -> None:
    """Arm the fault that ``value`` describes in this process alone, in place of the environment's; None disarms."""
    global _armed  # noqa: PLW0603  (one fault a process; ``reach`` must cost nothing)
    _armed = _parse(value)


def reach(stage: str, path: bytes = b"") -> None:
    """Say that a step is reached, with the file it concerns; the fault that is armed for it happens here."""
    if _armed is None or _armed.stage not in (stage, "*") or not path.endswith(_armed.suffix):
        return
    _armed.remaining -= 1
    if _armed.remaining != 0:
        return
    match _armed.action:
        case "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        case "stop":
            os.kill(os.getpid(), signal.SIGSTOP)
        case "spin":
            while True:
                pass
        case _:
            raise InjectedFault(stage)

"""Tells a service manager how the process is (sd_notify(3)), where one listens."""

from __future__ import annotations

import os
import socket
from contextlib import suppress


def notify(state: str) -> None:
    """Send ``state``, such as ``READY=1``, to the socket that ``NOTIFY_SOCKET`` names; without one, nothing happens."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return
    if address.startswith("@"):
        # The abstract namespace of unix(7).
        address = "\0" + address[1:]
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        sender.settimeout(1)
        sender.sendto(state.encode("utf-8"), address)

"""Hears from the system what changes in some directories. The only module that imports watchfiles.

``RustNotify`` of watchfiles is used directly, and for single directories, not trees: for a tree it follows symbolic
links out of it, keeps the interpreter waiting while it lists everything, and misses what is made in a directory before
it knows of it. Told to ignore denied permissions it ignores every error, also that there are no watches left.
"""

from __future__ import annotations

import os
import sys
import threading
from time import monotonic
from typing import TYPE_CHECKING, Final

from watchfiles._rust_notify import RustNotify, WatchfilesRustInternalError

from indexing.watch.changes import Change, ChangeKind
from indexing.watch.directories import is_directory, is_utf8
from indexing.watch.errors import EventsEnded, EventsLost, EventsUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

GATHER_MS: Final = 100
"""Events that follow one another closely are taken together for so long."""
STEP_MS: Final = 20
"""Between two looks for events; a change is told after one to two of them."""
DROWSY_STEP_MS: Final = 60
"""The same for a tree in which nothing has happened for ``DROWSY_AFTER_SECONDS``: a look costs about 50 µs."""
DROWSY_AFTER_SECONDS: Final = 120.0
LOOK_UP_MS: Final = 2_000
GAP_SECONDS: Final = 2.0
"""Between two looks, after which the queue of the system (16,384 events) may have run over without a word."""
LISTENS_TO_TREES: Final = sys.platform == "darwin"
"""There the system itself listens to whole trees, and follows no link; many single directories would be slow."""
_OPEN_TRIES: Final = 10
_KINDS: Final[dict[int, ChangeKind]] = {1: "added", 2: "modified", 3: "deleted"}


class Listener:
    """Listens to some directories, in a thread, until it is closed or the events end."""

    def __init__(
        self,
        directories: Sequence[bytes],
        on_changes: Callable[[Sequence[Change], bool], None],
        on_end: Callable[[EventsEnded], None],
    ) -> None:
        """Begin to listen to absolute ``directories``; blocks, and holds the interpreter for about 60 µs each.

        In the thread, ``on_changes`` is told of changes and whether some may be missing, and ``on_end`` why there are
        no more. Raises ``EventsUnavailable``.
        """
        self._notify = _open(directories)
        self._on_changes = on_changes
        self._on_end = on_end
        self._pulse = _Pulse()
        self._thread = threading.Thread(target=self._listen, name="watch", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Listen no more; blocks until the thread has ended, at most about 100 ms."""
        self._pulse.stop()
        self._thread.join()

    def _listen(self) -> None:
        last = monotonic()
        try:
            while not self._pulse.is_stopped:
                step = STEP_MS if monotonic() - last < DROWSY_AFTER_SECONDS else DROWSY_STEP_MS
                answer = self._notify.watch(GATHER_MS, step, LOOK_UP_MS, self._pulse)
                is_lossy = self._pulse.take_gap()
                if isinstance(answer, set):
                    last = monotonic()
                    self._on_changes(changes_of(answer), is_lossy)
                elif is_lossy:
                    self._on_changes((), is_lossy)
        except (WatchfilesRustInternalError, OSError, RuntimeError, ValueError) as error:
            self._on_end(EventsLost(f"the system's events ended: {error}"))
        finally:
            self._notify.close()


class _Pulse:
    """What ``RustNotify`` asks, at every look, whether to stop: so it also tells when it has not looked for long."""

    def __init__(self) -> None:
        self.is_stopped = False
        self._looked = monotonic()
        self._has_gap = False

    def is_set(self) -> bool:
        now = monotonic()
        self._has_gap = self._has_gap or now - self._looked > GAP_SECONDS
        self._looked = now
        return self.is_stopped

    def stop(self) -> None:
        self.is_stopped = True

    def take_gap(self) -> bool:
        had, self._has_gap = self._has_gap, False
        return had


def changes_of(raw: Iterable[tuple[int, str]]) -> list[Change]:
    """Return the events of watchfiles as ours."""
    changes = []
    for number, name in raw:
        kind, path = _KINDS[number], os.fsencode(name)
        changes.append(Change(kind, path, kind == "added" and is_directory(path)))
    return changes


def _open(directories: Sequence[bytes]) -> RustNotify:
    names = [os.fsdecode(path) for path in directories if is_utf8(path)]
    if directories and not names:
        raise EventsUnavailable("its path is no UTF-8, which events cannot be had for")
    for _ in range(_OPEN_TRIES):
        try:
            return RustNotify(
                names,
                debug=False,
                force_polling=False,
                poll_delay_ms=300,
                recursive=LISTENS_TO_TREES,
                ignore_permission_denied=False,
            )
        except (FileNotFoundError, PermissionError):
            names = [name for name in names if is_directory(os.fsencode(name)) and os.access(name, os.R_OK)]
            if not names:
                break
        except (OSError, WatchfilesRustInternalError) as error:
            raise EventsUnavailable(
                f"the system gives no events ({error}); if it ran out of watches, raise "
                "fs.inotify.max_user_watches or fs.inotify.max_user_instances"
            ) from error
    raise EventsUnavailable("its directories come and go too fast to listen to them")

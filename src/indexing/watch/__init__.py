"""Notices what changes in the trees and has it indexed: events are hints, the scan is the truth."""

from __future__ import annotations

from indexing.watch.records import Pending, WatchMode, WatchState
from indexing.watch.watching import Watching

__all__ = ["Pending", "WatchMode", "WatchState", "Watching"]

"""Why there are no events. ``EventsEnded`` is raised in three kinds, which are answered in three ways."""

from __future__ import annotations


class EventsEnded(Exception):
    """The system tells no more of what changes in a tree."""


class EventsLost(EventsEnded):
    """Some were lost: begin again, and look at the whole tree."""


class EventsUnavailable(EventsEnded):
    """There are none to be had here, or no more of them: scan instead."""


class RootGone(EventsEnded):
    """The root was removed, moved or unmounted: wait for it."""

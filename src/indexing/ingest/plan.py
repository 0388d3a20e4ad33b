"""Decides what a scan's findings mean: pure functions of what was found and what is known."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypeAlias

from indexing.cutting import EXTRACTOR_VERSION, FALLBACK_CUTTER, cutter_version

if TYPE_CHECKING:
    from indexing.sources import Presence
    from storage import KnownFile, Stat

RACY_NS = 2_000_000_000
"""A file that changed less than this before it was read may have changed again within the clock's resolution.

The idea is git's (Documentation/technical/racy-git.txt); two seconds is the coarsest resolution in use (FAT).
"""

Decision: TypeAlias = Literal["read", "unchanged", "excluded"]


def decide(stat: Stat, known: KnownFile | None, *, rules: str, same_rules: bool) -> Decision:
    """Say whether a file must be read, or what is known of it still holds.

    ``same_rules``: the last complete scan went by these rules too, so that what it let in still is.
    """
    if known is None or stat != known.stat or is_racy(stat, known.read_at_ns):
        return "read"
    if known.excluded:
        return "excluded" if known.rules == rules else "read"
    if not same_rules or known.extractor != EXTRACTOR_VERSION:
        return "read"
    if known.cutter not in (cutter_version(known.language), FALLBACK_CUTTER):
        return "read"
    return "unchanged"


def is_racy(stat: Stat, read_at_ns: int) -> bool:
    """Say whether a change after the read could have left the stat as it was."""
    return max(stat.mtime_ns, stat.ctime_ns) >= read_at_ns - RACY_NS


def fate_of_missing(presence: Presence, *, ignores_uncertain: bool) -> Literal["gone", "excluded", "keep"]:
    """Say what becomes of an entry that a complete scan did not come across.

    Only a path that is surely absent is gone. One that is there was left out by the rules, unless the rules could not
    be read or git refused to say what it tracks: then it is kept.
    """
    if presence == "absent":
        return "gone"
    if presence == "present" and not ignores_uncertain:
        return "excluded"
    return "keep"

"""Row 72: when a file must be read again, as a function of what was found and what is known."""

from __future__ import annotations

from dataclasses import replace

import pytest

from indexing.cutting import EXTRACTOR_VERSION, FALLBACK_CUTTER, cutter_version
from indexing.ingest.plan import RACY_NS, decide, fate_of_missing, is_racy
from storage import KnownFile, Stat

SECOND = 1_000_000_000
STAT = Stat(size=10, mtime_ns=100 * SECOND, ctime_ns=100 * SECOND, inode=7)
KNOWN = KnownFile(
    stat=STAT, read_at_ns=200 * SECOND, seq=3, cutter=cutter_version("python"), extractor=EXTRACTOR_VERSION,
    language="python", flags=(), excluded="", rules="",
)  # fmt: skip
EXCLUDED = replace(KNOWN, seq=None, cutter="", extractor=0, language="", excluded="binary", rules="rules")


def test_an_unchanged_file_is_not_read() -> None:
    assert decide(STAT, KNOWN, rules="rules", same_rules=True) == "unchanged"
    assert decide(STAT, EXCLUDED, rules="rules", same_rules=True) == "excluded"


@pytest.mark.parametrize("field", ["size", "mtime_ns", "ctime_ns", "inode"])
def test_f072_any_change_of_the_stat_asks_for_a_read(field: str) -> None:
    changed = replace(STAT, **{field: getattr(STAT, field) + 1})
    assert decide(changed, KNOWN, rules="rules", same_rules=True) == "read"
    assert decide(changed, EXCLUDED, rules="rules", same_rules=True) == "read"


@pytest.mark.parametrize("field", ["mtime_ns", "ctime_ns"])
@pytest.mark.parametrize(("before_read_ns", "decision"), [(0, "read"), (RACY_NS, "read"), (RACY_NS + 1, "unchanged")])
def test_f072_a_file_that_was_young_when_it_was_read_is_read_again(
    field: str, before_read_ns: int, decision: str
) -> None:
    stat = replace(STAT, **{field: KNOWN.read_at_ns - before_read_ns})
    assert decide(stat, replace(KNOWN, stat=stat), rules="rules", same_rules=True) == decision


def test_f026_a_file_from_the_future_is_read_again() -> None:
    stat = replace(STAT, mtime_ns=KNOWN.read_at_ns + 86_400 * SECOND)
    assert is_racy(stat, KNOWN.read_at_ns)


@pytest.mark.parametrize(
    ("known", "same_rules"),
    [
        (None, True),
        (KNOWN, False),
        (replace(KNOWN, extractor=EXTRACTOR_VERSION + 1), True),
        (replace(KNOWN, cutter="syntax-0"), True),
        (replace(EXCLUDED, rules="others"), True),
    ],
)
def test_what_was_decided_by_other_rules_or_versions_is_read_again(known: KnownFile | None, same_rules: bool) -> None:
    assert decide(STAT, known, rules="rules", same_rules=same_rules) == "read"


def test_a_fallback_to_windows_is_kept() -> None:
    assert decide(STAT, replace(KNOWN, cutter=FALLBACK_CUTTER), rules="rules", same_rules=True) == "unchanged"


@pytest.mark.parametrize(
    ("presence", "uncertain", "fate"),
    [
        ("absent", False, "gone"),
        ("absent", True, "gone"),
        ("present", False, "excluded"),
        ("present", True, "keep"),
        ("unknown", False, "keep"),
        ("unknown", True, "keep"),
    ],
)
def test_f060_f073_only_what_is_surely_absent_or_excluded_goes(presence: str, uncertain: bool, fate: str) -> None:
    assert fate_of_missing(presence, ignores_uncertain=uncertain) == fate  # type: ignore[arg-type]

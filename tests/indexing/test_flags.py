"""Flags: kept in ``registry.json`` beside what else is there, over restarts, until they are unset."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from indexing.flags import KEPT_CHANGES, Flags, UnknownFlag
from indexing.runtime import Owner, open_owner
from storage import DataDirectoryUnsuitable, FlagChange, Registry, load_registry
from tests.faults import state
from tests.faults.driver import settings_for

if TYPE_CHECKING:
    from tests.conftest import TreeFactory

ON = {"indexing.enable_parallel": True, "indexing.concurrent_workers": 3}
OFF = {"indexing.enable_parallel": False, "indexing.concurrent_workers": 3}


def is_on(owner: Owner) -> bool:
    return owner.flags.enable_parallel


def registry(data_dir: Path) -> Any:
    return json.loads((data_dir / "registry.json").read_text())


def rewrite(data_dir: Path, **changed: object) -> None:
    (data_dir / "registry.json").write_text(json.dumps(registry(data_dir) | changed))


async def test_a_flag_follows_the_settings_until_it_is_set_and_again_when_it_is_unset(data_dir: Path) -> None:
    async with open_owner(settings_for(data_dir, OFF)) as owner:
        assert not is_on(owner)
        assert owner.flags.overrides == {}
        await owner.flags.set("enable_parallel", True)
        assert is_on(owner)
        assert owner.flags.overrides == {"enable_parallel": True}
        assert registry(data_dir)["flags"] == {"enable_parallel": True}
    async with open_owner(settings_for(data_dir, OFF)) as owner:
        assert is_on(owner)
        await owner.flags.unset("enable_parallel")
        assert not is_on(owner)
        assert registry(data_dir)["flags"] == {}
        await owner.flags.unset("enable_parallel")
    async with open_owner(settings_for(data_dir, ON)) as owner:
        assert is_on(owner)


async def test_a_flag_that_is_off_wins_over_settings_that_say_on(data_dir: Path) -> None:
    async with open_owner(settings_for(data_dir, ON)) as owner:
        await owner.flags.set("enable_parallel", False)
    async with open_owner(settings_for(data_dir, ON)) as owner:
        assert not is_on(owner)
        assert owner.pool.permits.limit == 1


async def test_a_change_takes_effect_at_once(data_dir: Path) -> None:
    async with open_owner(settings_for(data_dir, OFF)) as owner:
        limits = [owner.pool.permits.limit]
        for value in (True, False):
            await owner.flags.set("enable_parallel", value)
            limits.append(owner.pool.permits.limit)
    assert limits == [1, 3, 1]


async def test_an_unknown_flag_is_named_with_those_there_are_and_nothing_is_stored(data_dir: Path) -> None:
    async with open_owner(settings_for(data_dir)) as owner:
        before = registry(data_dir)
        with pytest.raises(UnknownFlag, match=r"'enable_paralel'.*enable_parallel"):
            await owner.flags.set("enable_paralel", True)
        with pytest.raises(UnknownFlag, match="there is no flag ''"):
            await owner.flags.unset("")
        assert registry(data_dir) == before


@pytest.mark.parametrize("damaged", ["yes", 1, None, [True], {"value": True}])
async def test_a_damaged_value_is_passed_over_and_replaced_by_the_next_change(data_dir: Path, damaged: object) -> None:
    async with open_owner(settings_for(data_dir, OFF)):
        pass
    rewrite(data_dir, flags={"enable_parallel": damaged})
    async with open_owner(settings_for(data_dir, OFF)) as owner:
        assert not is_on(owner)
        assert owner.flags.overrides == {}
        await owner.flags.set("enable_parallel", True)
    assert registry(data_dir)["flags"] == {"enable_parallel": True}


async def test_what_else_the_registry_holds_stays(tree: TreeFactory, data_dir: Path) -> None:
    async with open_owner(settings_for(data_dir)) as owner:
        await owner.register(tree(state.small_tree(2)))
    rewrite(data_dir, flags={"of_a_later_version": [1, 2]}, token_hashes=["0f0f"])
    before = registry(data_dir)
    async with open_owner(settings_for(data_dir)) as owner:
        await owner.flags.set("enable_parallel", True)
        assert owner.flags.overrides == {"enable_parallel": True}
        await owner.register(tree(state.small_tree(2), name="other"))
        await owner.flags.set("enable_parallel", False)
    after = registry(data_dir)
    assert after["flags"] == {"of_a_later_version": [1, 2], "enable_parallel": False}
    assert {key: after[key] for key in ("schema", "installation", "tokens")} == {
        key: before[key] for key in ("schema", "installation", "tokens")
    }
    assert before["repositories"].items() < after["repositories"].items()


async def test_changes_at_the_same_time_are_stored_one_after_the_other(data_dir: Path) -> None:
    async with open_owner(settings_for(data_dir)) as owner:
        seen: list[bool] = []

        async def look(_: str) -> None:
            stored = await asyncio.to_thread(load_registry, data_dir)
            seen.append(stored.flags.get("enable_parallel") == owner.flags.enable_parallel)

        owner.flags.on_change(look)
        await asyncio.gather(*(owner.flags.set("enable_parallel", number % 2 == 0) for number in range(12)))
        assert registry(data_dir)["flags"] == {"enable_parallel": False}
    assert seen == [True] * 12


async def test_a_change_that_cannot_be_stored_has_not_happened(data_dir: Path, tmp_path: Path) -> None:
    told: list[str] = []
    async with open_owner(settings_for(data_dir, OFF)) as owner:

        async def tell(flag: str) -> None:
            told.append(flag)

        flags = Flags(settings_for(data_dir, OFF), tmp_path / "no such directory", Registry(installation="i"))
        flags.on_change(tell)
        with pytest.raises(DataDirectoryUnsuitable):
            await flags.set("enable_parallel", True)
        assert not flags.enable_parallel
        assert owner.flags.overrides == {}
    assert told == []


async def test_each_change_is_kept_with_its_time_and_caller_over_restarts(data_dir: Path) -> None:
    async with open_owner(settings_for(data_dir, OFF)) as owner:
        before = {each.name: each for each in owner.flags.describe()}
        assert list(before) == ["enable_parallel", "auto_reindex", "hybrid_search"]
        assert (before["enable_parallel"].changed_at, before["enable_parallel"].changed_by) == (None, "")
        await owner.flags.set("enable_parallel", True, by="ada")
        await owner.flags.change({"hybrid_search": False, "auto_reindex": False}, by="page")
        await owner.flags.unset("enable_parallel", by="bob")
    async with open_owner(settings_for(data_dir, OFF)) as owner:
        states = {each.name: each for each in owner.flags.describe()}
        assert [(each.flag, each.value, each.by) for each in owner.flags.changes] == [
            ("enable_parallel", True, "ada"),
            ("hybrid_search", False, "page"),
            ("auto_reindex", False, "page"),
            ("enable_parallel", None, "bob"),
        ]
        assert (states["enable_parallel"].stored, states["enable_parallel"].changed_by) == (False, "bob")
        assert (states["hybrid_search"].value, states["hybrid_search"].stored) == (False, True)
        assert states["hybrid_search"].changed_at == owner.flags.changes[1].at_ms / 1000
        assert not owner.flags.auto_reindex
        assert all(state.description for state in states.values())


async def test_several_flags_change_together_or_not_at_all(data_dir: Path) -> None:
    async with open_owner(settings_for(data_dir, OFF)) as owner:
        with pytest.raises(UnknownFlag, match="'enable_paralell'"):
            await owner.flags.change({"auto_reindex": False, "enable_paralell": True}, by="ada")
        assert owner.flags.overrides == {}
        assert owner.flags.changes == ()


def test_the_oldest_changes_are_forgotten(data_dir: Path) -> None:
    data_dir.mkdir()
    many = tuple(FlagChange("enable_parallel", True, at, "ada") for at in range(KEPT_CHANGES))

    async def change() -> tuple[FlagChange, ...]:
        flags = Flags(settings_for(data_dir, OFF), data_dir, Registry(installation="i", flag_changes=many))
        await flags.unset("enable_parallel")
        return flags.changes

    kept = asyncio.run(change())
    assert len(kept) == KEPT_CHANGES
    assert kept[:-1] == many[1:]

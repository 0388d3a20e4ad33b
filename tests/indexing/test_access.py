"""Rights, and the tokens that carry them."""

from __future__ import annotations

import asyncio
import hmac
import json
import os
import stat
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from indexing import tokens as module
from indexing.access import LOCAL, SCOPES, Principal, Scope
from indexing.tokens import (
    LOOK_SECONDS,
    TokenError,
    Tokens,
    create_token,
    first_token,
    revoke_token,
)
from storage import DataDirectoryUnsuitable, change_registry, load_registry
from tests.clock import Clock

ONE, TWO = "5f9f1d54-7f4d-4a0c-9d8e-3c6c1c0f0a01", "5f9f1d54-7f4d-4a0c-9d8e-3c6c1c0f0a02"


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    (tmp_path / "data").mkdir(mode=0o700)
    return tmp_path / "data"


@given(held=st.sampled_from(SCOPES), asked=st.sampled_from(SCOPES))
def test_a_scope_includes_those_below_it_and_none_above(held: Scope, asked: Scope) -> None:
    assert Principal("p", frozenset({held})).may(asked) == (SCOPES.index(held) >= SCOPES.index(asked))


def test_nobody_without_a_scope_may_anything_and_the_local_user_may_all() -> None:
    assert not any(Principal("p", frozenset()).may(scope) for scope in SCOPES)
    assert all(LOCAL.may(scope) for scope in SCOPES)
    assert LOCAL.sees(ONE)


def test_f096_a_principal_sees_its_repositories_alone() -> None:
    limited = Principal("p", frozenset({"admin"}), frozenset({ONE}))
    assert limited.visible([ONE, TWO]) == {ONE}
    assert not Principal("p", frozenset({"admin"}), frozenset()).sees(ONE), "an empty set is not all"
    assert Principal("p", frozenset({"read"})).visible([ONE, TWO]) == {ONE, TWO}


async def test_a_running_service_takes_up_a_new_token_at_once_and_a_revoked_one_soon(directory: Path) -> None:
    clock = Clock(50.0)
    live = Tokens(directory, clock=clock)
    assert await live.held("codetrove_x") is None
    record, token = await asyncio.to_thread(create_token, directory, "editor", "read", [ONE])
    held = await live.held(token)
    assert held is not None
    assert held.principal == Principal("editor", frozenset({"read"}), frozenset({ONE}))
    assert await live.by_id(record.id) == held
    await asyncio.to_thread(revoke_token, directory, "editor")
    assert await live.held(token) is not None
    clock.now += LOOK_SECONDS
    assert await live.held(token) is None
    assert await live.by_id(record.id) is None


async def test_without_a_look_an_unknown_token_reads_nothing(directory: Path) -> None:
    clock = Clock(50.0)
    live = Tokens(directory, clock=clock)
    assert await live.held("codetrove_x") is None
    _, token = await asyncio.to_thread(create_token, directory, "editor", "read")
    assert await live.held(token, look=False) is None
    assert await live.held(token) is not None


async def test_the_registry_is_read_again_only_when_it_has_changed(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads: list[Path] = []

    def counted(path: Path) -> Any:
        reads.append(path)
        return load_registry(path)

    monkeypatch.setattr(module, "load_registry", counted)
    _, token = await asyncio.to_thread(create_token, directory, "editor", "read")
    clock = Clock(50.0)
    live = Tokens(directory, clock=clock)
    for _ in range(5):
        clock.now += 1
        await asyncio.gather(*(live.held(token) for _ in range(10)))
    assert len(reads) == 1


async def test_what_is_known_stays_good_while_the_registry_cannot_be_read(directory: Path) -> None:
    _, token = await asyncio.to_thread(create_token, directory, "editor", "read")
    clock = Clock(50.0)
    live = Tokens(directory, clock=clock)
    assert await live.held(token) is not None
    (directory / "registry.json").write_text("{", encoding="ascii")
    clock.now += 1
    assert await live.held(token) is not None


async def test_with_the_registry_gone_no_token_is_good(directory: Path) -> None:
    _, token = await asyncio.to_thread(create_token, directory, "editor", "read")
    clock = Clock(50.0)
    live = Tokens(directory, clock=clock)
    assert await live.held(token) is not None
    (directory / "registry.json").unlink()
    clock.now += 1
    assert await live.held(token) is None


async def test_f077_every_record_is_compared_in_constant_time_by_hashes_of_one_length(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = [await asyncio.to_thread(create_token, directory, f"t{number}", "read") for number in range(4)]
    compared: list[tuple[int, int]] = []
    compare = hmac.compare_digest

    def watched(known: bytes, given: bytes) -> bool:
        compared.append((len(known), len(given)))
        return compare(known, given)

    live = Tokens(directory, clock=Clock(50.0))
    await live.held("")
    monkeypatch.setattr(hmac, "compare_digest", watched)
    for token in (made[0][1], made[3][1]):
        compared.clear()
        assert await live.held(token) is not None
        assert compared == [(32, 32)] * 4
    compared.clear()
    assert await live.held("x", look=False) is None
    assert compared == [(32, 32)] * 4


def test_a_token_has_256_random_bits_and_only_its_hash_is_kept(directory: Path) -> None:
    record, token = create_token(directory, "editor", "index")
    other = create_token(directory, "other", "index")[1]
    assert token != other
    assert len(token.removeprefix("codetrove_")) == 43, "32 bytes in base64"
    stored = (directory / "registry.json").read_text("ascii")
    assert token not in stored
    assert record.sha256 in stored


@pytest.mark.parametrize("name", ["", "local", "-x", "a b", "a\n", "é", "x" * 65, "../x"])
def test_a_name_that_cannot_be_used_is_refused(directory: Path, name: str) -> None:
    with pytest.raises(TokenError, match="cannot be called"):
        create_token(directory, name, "read")


def test_two_tokens_of_one_name_are_refused_and_one_that_is_not_there_cannot_be_revoked(directory: Path) -> None:
    record, _ = create_token(directory, "editor", "read")
    with pytest.raises(TokenError, match="already"):
        create_token(directory, "editor", "admin")
    assert revoke_token(directory, record.id) == record
    with pytest.raises(TokenError, match="there is no token 'editor'"):
        revoke_token(directory, "editor")


def test_a_scope_of_a_later_version_gives_no_rights(directory: Path) -> None:
    create_token(directory, "editor", "read")

    def later(registry: Any) -> Any:
        return replace(registry, tokens=(replace(registry.tokens[0], scopes=("everything",)),))

    record = change_registry(directory, later).tokens[0]
    assert not module.principal_of(record).may("read")


def test_the_first_token_is_in_a_file_of_its_owner_and_stays_the_same(directory: Path) -> None:
    before = os.umask(0)
    try:
        made = first_token(directory)
    finally:
        os.umask(before)
    token = made.path.read_text("ascii").strip()
    assert made.path == directory / "token"
    assert stat.S_IMODE(made.path.stat().st_mode) == 0o600
    assert first_token(directory) == replace(made, made=False)
    assert made.path.read_text("ascii").strip() == token
    assert load_registry(directory).tokens[0].scopes == ("admin",)


@pytest.mark.parametrize("mode", [0o604, 0o640, 0o644, 0o666, 0o610])
def test_f100_a_token_file_that_is_open_to_others_is_refused(directory: Path, mode: int) -> None:
    path = first_token(directory).path
    path.chmod(mode)
    with pytest.raises(DataDirectoryUnsuitable, match=f"has mode {mode:04o}, open to others"):
        first_token(directory)


def test_f100_a_token_file_that_is_a_link_a_pipe_or_a_directory_is_refused(directory: Path, tmp_path: Path) -> None:
    path = directory / "token"
    path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(DataDirectoryUnsuitable, match="cannot be read"):
        first_token(directory)
    path.unlink()
    os.mkfifo(path, 0o600)
    with pytest.raises(DataDirectoryUnsuitable, match="no plain file"):
        first_token(directory)
    path.unlink()
    path.mkdir(mode=0o700)
    with pytest.raises(DataDirectoryUnsuitable, match="no plain file"):
        first_token(directory)


def test_a_first_token_that_was_revoked_is_made_anew(directory: Path) -> None:
    made = first_token(directory)
    revoke_token(directory, made.id)
    again = first_token(directory)
    assert again.made
    assert again.id != made.id
    again.path.unlink()
    third = first_token(directory)
    assert [each.name for each in load_registry(directory).tokens] == ["first", "first-2"]
    assert third.made


def test_a_token_file_that_holds_another_kind_of_token_is_written_anew(directory: Path) -> None:
    token = create_token(directory, "reader", "read")[1]
    (directory / "token").write_text(token, encoding="ascii")
    (directory / "token").chmod(0o600)
    made = first_token(directory)
    assert made.made
    assert made.path.read_text("ascii").strip() != token


def test_a_registry_of_an_earlier_version_loads_and_a_damaged_token_is_told(directory: Path) -> None:
    old = {"schema": 1, "installation": ONE, "repositories": {}, "flags": {}, "token_hashes": []}
    path = directory / "registry.json"
    path.write_text(json.dumps(old), encoding="ascii")
    assert load_registry(directory).tokens == ()
    record, _ = create_token(directory, "editor", "read", [TWO])
    assert load_registry(directory).tokens == (record,)
    value = json.loads(path.read_text("ascii"))
    value["tokens"][0]["sha256"] = "none"
    path.write_text(json.dumps(value), encoding="ascii")
    with pytest.raises(DataDirectoryUnsuitable, match="is damaged"):
        load_registry(directory)

"""Plain values are taken as typer takes them, with pydantic or without."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias

import pytest
import typer
from typer.testing import CliRunner

from indexing.cli import plain_values

Kind: TypeAlias = Literal["one", "two"]
probe = typer.Typer(rich_markup_mode=None, pretty_exceptions_enable=False)


@probe.command()
def show(
    *,
    words: list[str],
    number: Annotated[int | None, typer.Option("-k", min=1, max=200)] = None,
    loose: int = 7,
    seconds: Annotated[float, typer.Option(min=0)] = 1.5,
    kind: Kind = "one",
    path: Path | None = None,
    paths: Annotated[list[Path], typer.Option(default_factory=list)],
) -> None:
    """Print what was given."""
    typer.echo(repr((words, number, loose, seconds, kind, path, paths)))


@pytest.mark.parametrize(
    "words",
    [
        ["a"],
        ["a", "b c", "ü"],
        [],
        [""],
        [os.fsdecode(b"\xff")],
        ["a", "-k", "5"],
        ["a", "-k", "0"],
        ["a", "-k", "201"],
        ["a", "-k", "007"],
        ["a", "-k", " 5"],
        ["a", "-k", "5.0"],
        ["a", "-k", "5.5"],
        ["a", "-k", "five"],
        ["a", "-k", "\u0665"],
        ["a", "--loose", "9" * 5000],
        ["a", "--loose", "-3"],
        ["a", "--seconds", "2"],
        ["a", "--seconds", "-1"],
        ["a", "--kind", "two"],
        ["a", "--kind", "Two"],
        ["a", "--kind", "three"],
        ["a", "--path", "/"],
        ["a", "--path", "/nowhere", "--paths", "."],
        ["a", "--path", ""],
        ["a", "--paths", "/", "--paths", os.fsdecode(b"/\xff")],
    ],
    ids=lambda words: " ".join(words)[:20].encode("ascii", "replace").decode(),
)
def test_a_value_is_taken_or_refused_as_by_typer(monkeypatch: pytest.MonkeyPatch, words: list[str]) -> None:
    def outcome() -> tuple[int, str, str]:
        ran = CliRunner().invoke(probe, words)
        return ran.exit_code, ran.stdout, ran.stderr

    ours = outcome()

    def nothing_is_plain(*_: Any) -> tuple[bool, None]:
        return False, None

    monkeypatch.setattr(plain_values, "_taken", nothing_is_plain)
    assert ours == outcome()

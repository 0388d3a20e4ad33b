"""Definitions by name."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from indexing.search import BadRequest

if TYPE_CHECKING:
    from tests.indexing.search.conftest import Build

FILES = {
    "shapes.py": (
        "class Shape:\n    def area(self):\n        return 0\n\n\n"
        "class Circle(Shape):\n    def area(self):\n        return 3\n"
    ),
    "tests/test_shapes.py": "def area():\n    pass\n\n\ndef shape():\n    pass\n",
    "main.go": "package main\n\nfunc Area(x int) int {\n\treturn x\n}\n",
    "use.py": "from shapes import Shape\n\nShape().area()\n",
}


async def test_every_definition_of_a_name_is_found_with_its_own_lines(world: Build) -> None:
    built = await world(FILES)
    found = (await built.symbols("area")).definitions
    assert [(each.path, each.start_line, each.scope) for each in found] == [
        ("shapes.py", 2, "Shape"),
        ("shapes.py", 7, "Circle"),
        ("tests/test_shapes.py", 1, ""),
        ("main.go", 3, ""),
    ]
    assert found[0].signature.startswith("def area(self)")
    assert found[0].to_json()["end_line"] == 3


async def test_exact_case_comes_before_other_cases(world: Build) -> None:
    built = await world(FILES)
    assert [each.name for each in (await built.symbols("Shape")).definitions] == ["Shape", "shape"]
    assert [each.name for each in (await built.symbols("shape")).definitions] == ["shape", "Shape"]


@pytest.mark.parametrize("name", ["Circle.area", "Circle::area", "shapes.Circle.area"])
async def test_a_qualified_name_is_looked_up_in_its_scope(world: Build, name: str) -> None:
    built = await world(FILES)
    assert [(each.scope, each.start_line) for each in (await built.symbols(name)).definitions] == [("Circle", 7)]


async def test_a_prefix_finds_longer_names_after_the_name_itself(world: Build) -> None:
    built = await world({"a.py": "def load(): pass\ndef load_all(): pass\ndef Loader(): pass\ndef unload(): pass\n"})
    found = (await built.symbols("load", matching="prefix")).definitions
    assert [each.name for each in found] == ["load", "load_all", "Loader"]
    assert [each.name for each in (await built.symbols("load")).definitions] == ["load"]


async def test_languages_and_k_limit_what_is_found(world: Build) -> None:
    built = await world(FILES)
    assert [each.path for each in (await built.symbols("area", languages=frozenset({"go"}))).definitions] == ["main.go"]
    assert len((await built.symbols("area", k=1)).definitions) == 1


@pytest.mark.parametrize("name", ["", "   ", "()", "x" * 501])
async def test_what_is_no_name_is_refused(world: Build, name: str) -> None:
    built = await world(FILES)
    with pytest.raises(BadRequest, match="is no name"):
        await built.symbols(name)

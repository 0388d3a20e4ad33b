"""docs/http-api.md names every route, with its scope."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from indexing.http.security import scopes_of

if TYPE_CHECKING:
    from fastapi import FastAPI

DOCUMENT = Path(__file__).parents[3] / "docs/http-api.md"


def documented() -> dict[tuple[str, str], str]:
    """{(method, path): scope}; ``/jobs/{id}/pause`` stands for its two siblings."""
    found: dict[tuple[str, str], str] = {}
    text = DOCUMENT.read_text(encoding="utf-8")
    for names, scopes in re.findall(r"^\| (`[^|]+) \| ([a-z, ]+) \|", text, re.MULTILINE):
        each_scope = scopes.split(", ")
        directory = ""
        methods = ""
        for number, name in enumerate(re.findall(r"`([^`]+)`", names)):
            head, _, path = name.rpartition(" ")
            methods = head or (name if name.isupper() else methods)
            if not path.startswith("/"):
                continue
            path = path if head else directory + path
            directory = path.rpartition("/")[0]
            found[methods, path] = each_scope[min(number, len(each_scope) - 1)]
    return found


def shown(path: str) -> str:
    return re.sub(r"\{job_id\}", "{id}", path)


def test_every_route_is_documented_with_its_scope(app: FastAPI) -> None:
    there = {(method, shown(path)): scope for method, path, scope in scopes_of(app) if scope is not None}
    written = {key: scope for key, scope in documented().items() if scope != "none"}
    assert written == there

"""Names of imported modules, as written, from the piece of source that an import query captured."""

from __future__ import annotations

import re
from typing import Final

MAX_IMPORT_CHARS: Final = 200

_LEADING_WORDS = re.compile(
    r"^(?:(?:import|use|using|package|global|static|inline|typealias|public|pub(?:\([^)]*\))?|typedef|struct|class|enum"
    r"|protocol|let|var|func|function|const|open|include|extern|crate(?=\s)|@\w+)\s+)+",
)
_ALIAS = re.compile(r"\s+(?:as|=>)\s+[\w.*]+$")
_USING_ALIAS = re.compile(r"^\w+\s*=\s*")


def import_names(source: bytes, language: str) -> tuple[str, ...]:
    """The module names or paths in one captured piece: quotes, keywords and aliases removed, white space collapsed."""
    line = " ".join(source.decode("utf-8", "replace").split()).rstrip(";").strip()
    line = _LEADING_WORDS.sub("", line)
    if language == "csharp":
        line = _USING_ALIAS.sub("", line)
    line = _ALIAS.sub("", line).strip("\"'`<> ")
    return (line[:MAX_IMPORT_CHARS],) if line else ()

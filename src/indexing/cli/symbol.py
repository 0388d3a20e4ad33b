"""``codetrove symbol``."""
from __future__ import annotations
import typer
def symbol(context: typer.Context) -> None:
    """TODO."""

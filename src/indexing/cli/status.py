"""``codetrove status``."""
from __future__ import annotations
import typer
def status(context: typer.Context) -> None:
    """TODO."""

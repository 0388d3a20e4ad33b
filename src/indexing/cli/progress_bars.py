"""A snapshot of a job's progress as rich draws it. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Group
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from indexing.cli.progress_view import Bar, bars, figures

if TYPE_CHECKING:
    from rich.console import RenderableType

    from indexing.ingest.progress import Progress

BAR_WIDTH = 40


def render(progress: Progress, title: str) -> RenderableType:
    """Return the bars under the title, with the figures below."""
    grid = Table.grid(padding=(0, 1))
    for bar in bars(progress):
        drawn = ProgressBar(
            total=None if bar.total is None else max(bar.total, 1),
            completed=bar.done if bar.total != 0 else 1,
            pulse=bar.total is None,
            animation_time=progress.seconds,
            width=BAR_WIDTH,
        )
        grid.add_row(Text(bar.name), drawn, Text(_share(bar)))
    return Group(
        Text(title, style="bold", no_wrap=True, overflow="ellipsis"), grid, Text(figures(progress), no_wrap=True)
    )


def _share(bar: Bar) -> str:
    if bar.total is None:
        return f"{bar.done:,} {bar.unit}"
    return f"{100 * bar.done // max(bar.total, 1) if bar.total else 100} %"

"""When the local store rewrites a repository's base, and into which shape. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

Shape: TypeAlias = Literal["no_graph", "keep_graph", "extend_graph", "new_graph"]


@dataclass(frozen=True, slots=True)
class LocalOptions:
    """Sizes at which the local store changes its ways. Rows, where nothing else is said."""

    graph_from: int = 50_000
    """Fewer rows are scanned: 2 ms for 50,000 half-precision rows of 384 dimensions on one core, nothing to build, and
    no neighbour is ever missed."""
    least_delta: int = 8_192
    """A delta below this is never merged by itself."""
    most_delta: int = 65_536
    """A delta of this size is always merged."""
    full_delta: int = 262_144
    """An upsert that finds so many unmerged rows waits for the merge."""
    max_allowed_ids: int = 65_536
    coarse_from: int = 4_096
    """Fewer flat rows are scanned as they are; of more a copy in a byte a number is made in memory."""
    coarse_bytes: int = 256 << 20
    """Memory for such copies in all of a collection. What has no room is scanned as it is."""


@dataclass(frozen=True, slots=True)
class Sizes:
    """What a repository's part of a collection holds."""

    graph_rows: int = 0
    """rows in the graph, dead ones included"""
    graph_alive: int = 0
    flat_alive: int = 0
    """living rows beside the graph, in the base"""
    delta_alive: int = 0
    delta_rows: int = 0
    """rows in the delta, dead ones included"""
    unsaved_deaths: int = 0
    """rows that are alive in the base's files and dead in memory"""

    @property
    def alive(self) -> int:
        """All living rows."""
        return self.graph_alive + self.flat_alive + self.delta_alive


def shape_for(sizes: Sizes, options: LocalOptions) -> Shape:
    """The shape that the next base should have.

    A graph keeps its dead until they are a quarter of it: rows cannot be taken out of one that is mapped, and
    building it anew is the most expensive thing the store does. Rows join it in lots, for every new graph file is a
    whole one.
    """
    if sizes.alive < options.graph_from:
        return "no_graph"
    if not sizes.graph_rows or sizes.graph_alive * 4 < sizes.graph_rows * 3:
        return "new_graph"
    return "extend_graph" if (sizes.flat_alive + sizes.delta_alive) * 4 >= options.graph_from else "keep_graph"


def is_unsaved(sizes: Sizes) -> bool:
    """Whether files and memory differ."""
    return sizes.delta_rows > 0 or sizes.unsaved_deaths > 0


def should_merge(sizes: Sizes, options: LocalOptions) -> bool:
    """Whether a repository's delta has become so large that merging it pays."""
    due = min(max(sizes.alive // 4, options.least_delta), options.most_delta)
    return sizes.delta_rows >= due or sizes.unsaved_deaths >= due or sizes.flat_alive >= 2 * options.graph_from

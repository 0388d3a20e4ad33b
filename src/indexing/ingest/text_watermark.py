"""What the text index says of how far it has followed the catalog, and whether that can be believed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from storage import TEXT_SCHEMA_VERSION, Watermark, judge_mark

if TYPE_CHECKING:
    from storage import Incarnation, Reader


def watermark_of(incarnation: Incarnation, chunk_id: int, deletion: int) -> Watermark:
    """What a commit of the text index says, which holds everything up to this chunk and this deletion."""
    return Watermark(
        catalog=incarnation.catalog,
        incarnation=incarnation.uuid,
        chunk_id=chunk_id,
        deletion=deletion,
        schema=TEXT_SCHEMA_VERSION,
    )


async def judged(mark: Watermark | None, reader: Reader, incarnation: Incarnation) -> tuple[Watermark | None, str]:
    """Return the watermark if everything past it can be applied, else why not (empty where that is no news)."""
    if mark is None:
        return None, "" if incarnation.is_first else "it is without a watermark"
    if mark.schema != TEXT_SCHEMA_VERSION:
        return None, "it is of another layout"
    verdict = await reader.run(
        lambda connection: judge_mark(
            connection,
            catalog=mark.catalog,
            incarnation=mark.incarnation,
            chunk_id=mark.chunk_id,
            deletion=mark.deletion,
        )
    )
    return (mark, "") if verdict == "ours" else (None, f"it is {verdict}")

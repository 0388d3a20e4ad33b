"""The files of the text index's segments, beneath tantivy."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from time import monotonic, sleep
from typing import Any, Final

_FOOTER_END: Final = (1337).to_bytes(4, "little")
"""With this every file of a segment ends (``FOOTER_MAGIC_NUMBER`` in tantivy's ``footer.rs``)."""

_PUBLISHED_WITHIN_S: Final = 1.0
"""A publication syncs one small file; segments written whole but never committed are not waited for longer."""

_LOOK_AGAIN_S: Final = 0.005

_SEGMENT_FILE: Final = re.compile(r"[0-9a-f]{32}\..+")


def published_segments(path: Path) -> list[dict[str, Any]]:
    """What tantivy says of each segment of the last commit."""
    segments: list[dict[str, Any]] = json.loads((path / "meta.json").read_bytes())["segments"]
    return segments


def settle_merges(path: Path) -> None:
    """Wait for a merge that is being published, and remove the files of those that were given up half way.

    Only for whoever holds the lock and has rolled back: from then on no merge that ends is published, but one that had
    ended before may be in the middle of it, and would go on beside the next writer. The others can be a quarter of all
    bytes; tantivy would remove them when the index is opened the next time, as it does with what is whole and stays.
    """
    deadline = monotonic() + _PUBLISHED_WITHIN_S
    in_hand = {store for store in _unpublished(path, ".store") if _is_whole(store)}
    while in_hand.intersection(_unpublished(path, ".store")) and monotonic() < deadline:
        sleep(_LOOK_AGAIN_S)
    for file in _unpublished(path):
        if not _is_whole(file.with_name(file.name.partition(".")[0] + ".store")):
            file.unlink(missing_ok=True)


def _unpublished(path: Path, ending: str = "") -> list[Path]:
    """Files of segments that the last commit does not name."""
    published = {each["segment_id"].replace("-", "") for each in published_segments(path)}
    return [
        file
        for file in path.iterdir()
        if _SEGMENT_FILE.fullmatch(file.name) and file.name.endswith(ending) and file.stem[:32] not in published
    ]


def _is_whole(store: Path) -> bool:
    """Whether tantivy wrote its footer at the end of this file, the last of a segment to be closed."""
    try:
        with store.open("rb") as file:
            file.seek(-len(_FOOTER_END), os.SEEK_END)
            return file.read() == _FOOTER_END
    except OSError:
        return False

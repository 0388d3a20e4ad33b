"""One file's turn in a worker process: open it safely, read it once, decide, decode, cut, compress."""

from __future__ import annotations

import errno
import hashlib
from typing import TYPE_CHECKING

from indexing.cutting import (
    EXTRACTOR_VERSION,
    FALLBACK_CUTTER,
    cut,
    cut_windows,
    cutter_version,
    extract,
    identifier_parts,
    language_of,
)
from indexing.ingest.finish import finished
from indexing.ingest.messages import FileReport
from indexing.ingest.path_words import path_words
from indexing.sources import (
    FileChanging,
    NotBeneathRoot,
    NotRegularFile,
    TooLarge,
    inspect_content,
    read_stable,
)
from storage import Exclusion, Failure, FileVersion, NewText, pack_outline, reach

if TYPE_CHECKING:
    from indexing.ingest.messages import CutMode, FileTask
    from indexing.sources import DirectoryHandles, ReadFile, Rules
    from storage import FailReason, KnownCuts

_HEAD_BYTES = 4096
_GONE = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP})


def prepare_file(
    task: FileTask,
    handles: DirectoryHandles,
    *,
    rules: Rules,
    repository_id: int,
    known: KnownCuts,
    mode: CutMode,
    zstd_level: int,
    finish: bool = False,
) -> FileReport:
    """Return what the file at the task's place is now; never raises for what a file can be or do.

    Unless it is to ``finish``, compressing a new text and finding its words is left to whoever gets the report.
    """
    path = task.place.path
    try:
        read = read_stable(handles, path, rules.max_file_bytes)
    except FileChanging as error:
        return _failure(task, "changing", str(error))
    except (NotRegularFile, NotBeneathRoot):
        return FileReport(gone=True)
    except OSError as error:
        if error.errno in _GONE:
            return FileReport(gone=True)
        reason: FailReason = "denied" if error.errno in {errno.EACCES, errno.EPERM} else "io_error"
        return _failure(task, reason, error.strerror or str(error))
    if isinstance(read, TooLarge):
        detail = f"more than {read.limit} bytes"
        return FileReport(exclusion=Exclusion(task.place, task.stat, 0, "too_large", detail, rules.fingerprint()))
    reach("worker.read", path)
    verdict = inspect_content(path, read.data, tracked=task.tracked, rules=rules)
    if verdict.skip is not None:
        return FileReport(
            exclusion=Exclusion(
                task.place, read.stat, read.read_at_ns, verdict.skip, verdict.detail, rules.fingerprint()
            )
        )
    version, text = _version(task, read, verdict.flags, repository_id, known, mode=mode, zstd_level=zstd_level)
    if finish and text is not None:
        return FileReport(version=finished(version, text, zstd_level))
    return FileReport(version=version, text=text)


def _version(
    task: FileTask,
    read: ReadFile,
    content_flags: frozenset[str],
    repository_id: int,
    known: KnownCuts,
    *,
    mode: CutMode,
    zstd_level: int,
) -> tuple[FileVersion, bytes | None]:
    """Return what is known of the file, and its text where the catalog may lack it."""
    path = task.place.path
    language = language_of(path, read.data[:_HEAD_BYTES])
    cutter = cutter_version(language) if mode == "syntax" else FALLBACK_CUTTER
    sha256 = hashlib.sha256(read.data).digest()
    flags = set(task.flags) | content_flags
    text = new = made = None
    outline = b""
    if not known.has(repository_id, sha256, extractor=EXTRACTOR_VERSION, language=language, cutter=cutter):
        extracted = extract(read.data, language)
        if extracted.replaced:
            flags.add("replaced_bytes")
        if mode == "syntax":
            reach("worker.parse", path)
            made = cut(extracted.text, language, extracted.sections)
        else:
            made = cut_windows(extracted.text, language)
        outline = pack_outline(made.chunks, zstd_level)
        text = extracted.text
        new = NewText(extracted.encoding, len(text), b"", extracted.sections)
    version = FileVersion(
        place=task.place,
        stat=read.stat,
        read_at_ns=read.read_at_ns,
        sha256=sha256,
        language=language,
        cutter=cutter,
        extractor=EXTRACTOR_VERSION,
        flags=tuple(sorted(flags)),
        path_words=path_words(path, identifier_parts),
        text=new,
        cut=made,
        outline=outline,
    )
    return version, text


def _failure(task: FileTask, reason: FailReason, detail: str) -> FileReport:
    return FileReport(failure=Failure(task.place, reason, detail))

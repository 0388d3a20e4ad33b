"""Source trees: which of their files are to be indexed, and how to read them safely."""

from indexing.sources.classify import Verdict, classify
from indexing.sources.errors import (
    BadGlob,
    FileChanging,
    NotBeneathRoot,
    NotRegularFile,
    RootError,
    RootMissing,
    RootNotDirectory,
    RootUnreadable,
    RootVanished,
    SourceError,
)
from indexing.sources.extent import Extent
from indexing.sources.findings import Finding, Found, Skipped, Unreadable
from indexing.sources.gitview import GitRefused, git_common_dir, tracked_files
from indexing.sources.identity import Presence, RootIdentity, identify, same_root, still_there
from indexing.sources.inspect import inspect_content
from indexing.sources.paths import display, path_b64
from indexing.sources.rules import Policy, Rules, check_globs
from indexing.sources.safe_open import (
    DirectoryHandles,
    ReadFile,
    TooLarge,
    open_beneath,
    read_bounded,
    read_stable,
    stat_of,
)
from indexing.sources.walk import Scan, scan

__all__ = [
    "BadGlob",
    "DirectoryHandles",
    "Extent",
    "FileChanging",
    "Finding",
    "Found",
    "GitRefused",
    "NotBeneathRoot",
    "NotRegularFile",
    "Policy",
    "Presence",
    "ReadFile",
    "RootError",
    "RootIdentity",
    "RootMissing",
    "RootNotDirectory",
    "RootUnreadable",
    "RootVanished",
    "Rules",
    "Scan",
    "Skipped",
    "SourceError",
    "TooLarge",
    "Unreadable",
    "Verdict",
    "check_globs",
    "classify",
    "display",
    "git_common_dir",
    "identify",
    "inspect_content",
    "open_beneath",
    "path_b64",
    "read_bounded",
    "read_stable",
    "same_root",
    "scan",
    "stat_of",
    "still_there",
    "tracked_files",
]

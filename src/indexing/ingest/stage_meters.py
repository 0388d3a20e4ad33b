"""What the stages of ingest have done and waited for, over all jobs: seconds of the owner's clock, and counts."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class IngestMeter:
    """The tasks that take batches to worker processes, added up."""

    work_wait_seconds: float = 0.0
    """without a batch: the scan of the tree, or its planning, is slower than the workers"""
    worker_wait_seconds: float = 0.0
    """with a batch there, for a permit or for a process to start"""
    writer_wait_seconds: float = 0.0
    """with a batch cut, for the commit of the one before it"""
    retries: int = 0
    """files that were tried again after their worker had died"""
    read_again: int = 0
    """files that were read once more because their entry had changed meanwhile"""


@dataclass(slots=True)
class FeedMeter:
    """The task that feeds the text index."""

    hand_in_wait_seconds: float = 0.0
    """that commits of the catalog were held up because the index lagged behind"""
    apply_seconds: float = 0.0
    commit_seconds: float = 0.0
    commits: int = 0
    chunks: int = 0
    """added"""
    deletions: int = 0
    retries: int = 0
    """times that the index was opened again after an error"""
    errors: int = 0

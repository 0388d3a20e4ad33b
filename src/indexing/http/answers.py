"""What the routes answer with, as models: they check nothing, they are what the OpenAPI document says."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field

Time: TypeAlias = Annotated[str, Field(json_schema_extra={"format": "date-time"}, description="RFC 3339, in UTC.")]
JobStateName: TypeAlias = Literal[
    "queued", "running", "paused", "cancelling", "succeeded", "partial", "failed", "cancelled"
]


class Answer(BaseModel):
    """Base of all answers."""

    model_config = ConfigDict(frozen=True)


class TallyAnswer(Answer):
    """How many files came to what."""

    seen: int
    indexed: int
    unchanged: int
    skipped: int
    failed: int
    removed: int


class ProgressAnswer(Answer):
    """How far a job has come; counts are of files but for chunks and bytes."""

    stage: Literal["recovering", "indexing", "finishing", "done"]
    to_read: int
    read: int
    scanned: bool = Field(description="Whether the scan is complete, so that to_read is final.")
    chunks: int
    bytes_read: int
    searchable_chunks: int
    seconds: float
    waiting: str = Field(description="Why nothing moves; empty while it does.")
    skipped: dict[str, int] = Field(description="Files by the reason for which they were left out.")
    failed: dict[str, int] = Field(description="Files by the reason for which they failed.")


class VectorsAnswer(Answer):
    """How far the vectors of the whole index are, not of one job alone."""

    model: str
    state: str
    detail: str
    pending: int
    stored: int
    failed: int
    encoded: int
    from_cache: int
    seconds: float
    per_second: float | None = Field(description="Vectors made lately, half a minute long; null before the first.")


class FlagsInForce(Answer):
    """Flags that bear on a job."""

    enable_parallel: bool


class WorkersAnswer(Answer):
    """Worker processes."""

    allowed: int
    busy: int


class JobAnswer(Answer):
    """A job that brings a repository, or some paths of it, up to date."""

    id: str
    repository: str
    root: str = Field(description="Printable.")
    state: JobStateName
    reason: str
    origin: Literal["request", "watch", "scan", "start"] = Field(description="Who asked for it.")
    paths: list[str] | None = Field(description="What it is about, the first 100; null is the whole tree.")
    paths_total: int | None = Field(description="How many paths there are; null for the whole tree.")
    created_at: Time | None
    started_at: Time | None
    ended_at: Time | None
    tally: TallyAnswer
    unreached: int = Field(description="Files that a cancelled job did not come to.")
    warnings: list[str]
    progress: ProgressAnswer | None = Field(description="Null before the job has begun, and of earlier processes.")
    vectors: VectorsAnswer | None = Field(description="Null without vectors, and for who does not see everything.")
    flags: FlagsInForce
    workers: WorkersAnswer


class JobsAnswer(Answer):
    """Jobs, the newest first."""

    jobs: list[JobAnswer]


class FileOutcome(Answer):
    """What a job did about a file; unchanged files have no outcome."""

    path: str = Field(description="Printable, relative to the root.")
    path_b64: str | None = Field(None, description="The exact bytes, where they are not what is printed.")
    outcome: Literal["indexed", "skipped", "failed", "removed"]
    reason: str
    detail: str


class FilesAnswer(Answer):
    """A page of outcomes in the order of their paths."""

    files: list[FileOutcome]
    next: str | None = Field(description="For 'after' of the next page; null at the end.")


class LastJob(Answer):
    """The job that runs, else the last one."""

    id: str
    state: JobStateName
    reason: str


class WatchAnswer(Answer):
    """How changes are noticed."""

    mode: Literal["events", "scan", "off"]
    dirty: int = Field(description="Changed paths or subtrees that no job has yet.")
    problem: str


class RepositoryAnswer(Answer):
    """A source tree that is indexed."""

    uuid: str
    root: str = Field(description="Printable.")
    root_b64: str | None = Field(None, description="The exact bytes, where they are not what is printed.")
    name: str = Field(description="Last part of the root.")
    files: int
    chunks: int
    source_bytes: int
    scanned_at: Time | None = Field(description="End of the last complete scan.")
    job: LastJob | None
    watching: WatchAnswer
    problems: list[str]


class RepositoriesAnswer(Answer):
    """What the caller sees."""

    repositories: list[RepositoryAnswer]


class AddedRepository(Answer):
    """A tree that was taken in, or was there."""

    repository: RepositoryAnswer
    job: JobAnswer | None


class FlagAnswer(Answer):
    """A setting that can be changed while the service runs."""

    name: str
    value: bool
    stored: bool = Field(description="Whether it overrides the settings.")
    description: str
    changed_at: Time | None
    changed_by: str = Field(description="Name of the token, or 'local'; empty where nobody changed it.")


class FlagsAnswer(Answer):
    """Every flag."""

    flags: list[FlagAnswer]


class PendingRepository(Answer):
    """What is not searchable yet."""

    repository: str
    job: str = Field(description="The job that brings it; empty where none could be begun.")
    state: JobStateName


class SyncAnswer(Answer):
    """Whether every change made before the call is searchable."""

    synced: bool
    pending: list[PendingRepository]


class ProbeAnswer(Answer):
    """How the process is."""

    status: str


class JobOverviewAnswer(Answer):
    """A job in a status; times in milliseconds since 1970."""

    id: str
    state: JobStateName
    reason: str
    started_at: int | None
    ended_at: int | None
    failed: int


class RepositoryStatusAnswer(Answer):
    """A repository in a status."""

    uuid: str
    root: str
    files: int
    source_bytes: int
    chunks: int
    stored_bytes: int
    scanned_seconds_ago: float | None
    job: JobOverviewAnswer | None
    pending_files: int
    problems: list[str]


class VectorStatusAnswer(Answer):
    """The vectors of one model."""

    model: str
    state: str
    stored: int
    pending: int
    failed: int


class ServiceAnswer(Answer):
    """The running process."""

    uptime_seconds: float
    workers: WorkersAnswer
    memory_percent: float | None
    queues: dict[str, int]
    held_up: int = Field(description="Times that the event loop gave no sign of life for a second.")
    vectors: VectorsAnswer | None


class StatusAnswer(Answer):
    """As 'codetrove status --json', of what the caller sees; null is what only one that sees everything is told."""

    schema_: int = Field(alias="schema")
    data_dir: str | None
    owner: str | None
    catalog_bytes: int | None
    text_bytes: int | None
    vector_bytes: int | None
    other_bytes: int | None
    pending_chunks: int | None
    vectors: list[VectorStatusAnswer]
    repositories: list[RepositoryStatusAnswer]
    problems: list[str]
    service: ServiceAnswer

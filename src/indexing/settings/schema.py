"""Every key that can be set: its type, unit, limits, default and meaning.

``config.yaml`` and ``docs/configuration.md`` say the same; tests hold them against these classes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Self

from platformdirs import user_data_path
from pydantic import BaseModel, Field, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from indexing.settings.kinds import MIB, AbsolutePath, Count, FilePolicy, Glob, Group
from indexing.settings.service_schema import ServiceSettings, WatchSettings, WeaviateSettings

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

NO_MODEL = "none"
"""The value of ``embeddings.model`` that means text search only."""

TANTIVY_HEAP_BYTES_PER_THREAD = 15_000_000
"""The least memory that tantivy's writer accepts for each of its threads."""


class StorageSettings(Group):
    """Where the index lies and what is kept in it."""

    data_dir: AbsolutePath = Field(
        default_factory=lambda: user_data_path("codetrove"),
        description="Directory of the index of all repositories; absolute, or beginning with ~.",
    )
    garbage_grace_days: Count = Field(
        14,
        ge=0,
        le=3650,
        description="Days for which content that no file shows any more is kept, so that it can come back at no cost.",
    )
    zstd_level: Count = Field(3, ge=1, le=19, description="zstd compression level of the stored texts.")
    backend: Literal["local", "weaviate"] = Field(
        "local", description="Where vectors are kept: local is in the data directory, weaviate in a server."
    )


class IndexingSettings(Group):
    """How files are read and cut."""

    enable_parallel: bool = Field(
        default=False,
        description="Whether several worker processes cut files at the same time; false is one process, one batch.",
    )
    concurrent_workers: Count = Field(2, ge=1, le=64, description="Worker processes while enable_parallel is true.")
    worker_batch_size: Count = Field(64, ge=1, le=1024, description="Most files that a worker is given at once.")
    worker_batch_bytes: Count = Field(
        MIB // 4, ge=64 * 1024, le=256 * MIB, description="Most bytes of files that a worker is given at once."
    )
    queue_batches: Count = Field(
        16, ge=1, le=256, description="Batches that wait for a worker before discovery has to wait."
    )
    parse_cpu_seconds: Count = Field(
        10, ge=1, le=600, description="CPU seconds after which a file is cut into plain windows instead of parsed."
    )
    worker_wall_seconds: Count = Field(
        120, ge=10, le=3600, description="Seconds without an answer after which a worker is killed and replaced."
    )
    recycle_files: Count = Field(
        50_000, ge=1, le=1_000_000, description="Files after which a worker process is replaced by a new one."
    )


class DiscoverySettings(Group):
    """Which files of a tree are indexed."""

    max_file_bytes: Count = Field(MIB, ge=1, le=64 * MIB, description="Largest file that is indexed, bytes.")
    include: tuple[Glob, ...] = Field(
        (),
        max_length=256,
        description="Globs in .gitignore syntax; unless empty, only files that match one are indexed.",
    )
    exclude: tuple[Glob, ...] = Field(
        (), max_length=256, description="Globs in .gitignore syntax; files that match one are left out."
    )
    vendored: FilePolicy = Field("auto", description="Copies of other projects.")
    generated: FilePolicy = Field("auto", description="Files written by a program.")
    hidden: FilePolicy = Field("auto", description="Files and directories whose name begins with a dot.")
    minified: FilePolicy = Field("auto", description="Scripts and style sheets without line breaks.")
    secrets: FilePolicy = Field("auto", description="Files that hold keys or credentials by their name or content.")
    use_git: bool = Field(default=True, description="Whether git is asked which files it tracks.")


class TextSettings(Group):
    """The text index."""

    commit_interval_ms: Count = Field(
        600,
        ge=1,
        le=60_000,
        description="Milliseconds that files wait to be committed, and findable, together while many are indexed.",
    )
    heap_bytes: Count = Field(
        64 * MIB,
        ge=TANTIVY_HEAP_BYTES_PER_THREAD,
        le=4096 * MIB,
        description="Bytes that the index writer may fill before it writes a segment.",
    )
    threads: Count = Field(1, ge=1, le=8, description="Threads of the index writer.")

    @model_validator(mode="after")
    def _heap_fits_threads(self) -> Self:
        needed = self.threads * TANTIVY_HEAP_BYTES_PER_THREAD
        if self.heap_bytes < needed:
            raise ValueError(
                f"text.heap_bytes = {self.heap_bytes} is too little for text.threads = {self.threads}:"
                f" give at least {needed} or fewer threads"
            )
        return self


class EmbeddingsSettings(Group):
    """The model that turns code into vectors."""

    model: str = Field(
        "auto",
        min_length=1,
        max_length=4096,
        description="Name or directory of a model, auto for the best that can be had, or none for text search only.",
    )
    download: bool = Field(
        default=True, description="Whether auto may fetch a model from the Hugging Face hub (about 500 MB, once)."
    )
    threads: Count = Field(0, ge=0, le=256, description="CPU threads of the encoder; 0 is one for each core.")
    batch_chunks: Count = Field(512, ge=1, le=8192, description="Most chunks that are encoded and stored at once.")
    max_parallel_batches: Count = Field(
        2, ge=1, le=64, description="Batches that are encoded at the same time where the encoder can take several."
    )
    replicas: Count = Field(
        0, ge=0, le=64, description="Encoder processes, each with its own model; 0 is one encoder in this process."
    )
    devices: tuple[str, ...] = Field(
        (),
        max_length=64,
        description="Devices of the replicas in turn, such as cuda:0 and cuda:1; empty is what the machine has.",
    )
    deadline_seconds: Count = Field(
        300, ge=1, le=86_400, description="Seconds after which a replica that does not answer is killed and replaced."
    )
    cache_max_bytes: Count = Field(
        8192 * MIB,
        ge=MIB,
        le=1024 * 1024 * MIB,
        description="Bytes of cached vectors above which those of models no longer in use are dropped.",
    )


class MemorySettings(Group):
    """How much memory indexing may use."""

    max_percent: Count = Field(
        80, ge=10, le=99, description="Percent of the memory there is above which fewer workers are let run."
    )
    max_memory_per_worker: Count = Field(
        512, ge=64, le=1_048_576, description="MiB that a worker process may hold; one that holds more is replaced."
    )
    check_seconds: Count = Field(2, ge=1, le=600, description="Seconds between two looks at the memory.")


class SearchSettings(Group):
    """How answers are made."""

    hybrid_search: bool = Field(
        default=True, description="Whether searches use vectors where there are any; false is words alone."
    )

    default_k: Count = Field(10, ge=1, le=10_000, description="Hits of an answer whose size is not asked for.")
    max_k: Count = Field(200, ge=1, le=10_000, description="Most hits that can be asked for.")
    max_hits_per_file: Count = Field(3, ge=1, le=1000, description="Most hits of one file in an answer.")
    max_allowed_ids: Count = Field(
        20_000, ge=100, le=1_000_000, description="Most files that a narrow filter hands to an index as a list."
    )

    @model_validator(mode="after")
    def _default_within_bound(self) -> Self:
        if self.default_k > self.max_k:
            raise ValueError(f"search.default_k = {self.default_k} is above search.max_k = {self.max_k}")
        return self


class RecoverySettings(Group):
    """What is done about a process that keeps dying."""

    crash_loop_starts: Count = Field(
        3, ge=2, le=100, description="Starts that did not end cleanly, in the window, that count as a crash loop."
    )
    crash_loop_window_seconds: Count = Field(
        60, ge=1, le=86_400, description="Seconds over which such starts are counted."
    )


class LogSettings(Group):
    """What is written about the work, to standard error."""

    level: Literal["debug", "info", "warning", "error"] = Field("info", description="Least severity that is written.")
    format: Literal["console", "json"] = Field("console", description="console for people, json for programs.")


class Settings(BaseSettings):
    """All settings; made by `indexing.settings.load_settings`."""

    model_config = SettingsConfigDict(
        frozen=True,
        extra="forbid",
        env_prefix="CODETROVE_",
        env_nested_delimiter="__",
        env_nested_max_split=1,
        hide_input_in_errors=True,
    )

    storage: StorageSettings = Field(default_factory=StorageSettings)
    weaviate: WeaviateSettings = Field(default_factory=WeaviateSettings)
    indexing: IndexingSettings = Field(default_factory=IndexingSettings)
    discovery: DiscoverySettings = Field(default_factory=DiscoverySettings)
    text: TextSettings = Field(default_factory=TextSettings)
    embeddings: EmbeddingsSettings = Field(default_factory=EmbeddingsSettings)
    memory: MemorySettings = Field(default_factory=MemorySettings)
    watch: WatchSettings = Field(default_factory=WatchSettings)
    search: SearchSettings = Field(default_factory=SearchSettings)
    service: ServiceSettings = Field(default_factory=ServiceSettings)
    recovery: RecoverySettings = Field(default_factory=RecoverySettings)
    log: LogSettings = Field(default_factory=LogSettings)


def key_fields() -> dict[str, FieldInfo]:
    """Every key by its dotted path, such as ``storage.data_dir``, in the order in which they are declared."""
    fields: dict[str, FieldInfo] = {}
    for group, info in Settings.model_fields.items():
        if not (isinstance(info.annotation, type) and issubclass(info.annotation, BaseModel)):
            raise TypeError(f"{group!r} is not a group of settings")
        fields |= {f"{group}.{key}": field for key, field in info.annotation.model_fields.items()}
    return fields

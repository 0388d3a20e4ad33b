"""The keys of a running service: its HTTP edge, its watcher, and the Weaviate server that it may use."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, SecretStr

from indexing.settings.kinds import MIB, AbsolutePath, Count, Group, HostName


class WatchSettings(Group):
    """How a running service notices that files have changed."""

    auto_reindex: bool = Field(
        default=True, description="Whether changed files are indexed by themselves while a service runs."
    )
    debounce_ms: Count = Field(
        50, ge=1, le=10_000, description="Milliseconds for which a change waits for others before it is indexed."
    )
    scan_seconds: Count = Field(
        60, ge=1, le=86_400, description="Seconds between two scans of a whole tree, which find what no event told."
    )
    most_paths: Count = Field(
        1_000, ge=1, le=10_000, description="Changed paths above which the whole tree is scanned instead."
    )


class ServiceSettings(Group):
    """The HTTP service: ``codetrove serve``."""

    host: str = Field("127.0.0.1", min_length=1, max_length=253, description="Address that is listened on.")
    port: Count = Field(7878, ge=0, le=65_535, description="TCP port; 0 is any that is free.")
    allowed_hosts: tuple[HostName, ...] = Field(
        (),
        max_length=64,
        description="Host names, beside those of this machine's loopback, by which the service may be called.",
    )
    allowed_roots: tuple[AbsolutePath, ...] = Field(
        (),
        max_length=64,
        description="Directories below which repositories may be added over HTTP; empty is the home directory.",
    )
    max_body_bytes: Count = Field(
        4 * MIB, ge=1024, le=64 * MIB, description="Most bytes of a request's body; more is refused."
    )
    requests_per_second: Count = Field(
        200, ge=1, le=100_000, description="Requests a second that one token may make; twice that in a burst."
    )
    max_concurrent_requests: Count = Field(
        64, ge=1, le=10_000, description="Requests that are answered at the same time; more are told to come back."
    )
    max_event_streams: Count = Field(
        2_000, ge=1, le=100_000, description="Streams of job events that may be open at the same time."
    )
    read_seconds: Count = Field(30, ge=1, le=3_600, description="Seconds that a client may take to send a request.")
    drain_seconds: Count = Field(
        10, ge=0, le=600, description="Seconds that requests and jobs in hand may take after a stop was asked for."
    )
    page_process: bool = Field(
        default=True,
        description="Whether searches are ranked in a process of their own while the daemon has other work.",
    )
    wait_ms_most: Count = Field(
        30_000, ge=0, le=600_000, description="Most milliseconds that a search or a sync may be asked to wait."
    )


class WeaviateSettings(Group):
    """The Weaviate server that keeps the vectors while storage.backend is weaviate."""

    url: str = Field(
        "http://127.0.0.1:8080", min_length=8, max_length=1024, description="Address of the server's REST interface."
    )
    grpc_port: Count = Field(50_051, ge=1, le=65_535, description="Port of its gRPC interface, on the same host.")
    api_key: SecretStr = Field(
        SecretStr(""), max_length=1024, description="Key that the server asks for; empty where it asks for none."
    )
    allow_anonymous_remote: bool = Field(
        default=False, description="Whether a server on another machine may be used without a key."
    )
    insert_mode: Literal["lock", "pool"] = Field(
        "lock", description="One call that inserts at a time (lock), or one for each client of a pool (pool)."
    )
    pool_size: Count = Field(2, ge=1, le=32, description="Clients of the pool.")
    batch_objects: Count = Field(512, ge=1, le=10_000, description="Most objects that are inserted with one call.")
    batch_bytes: Count = Field(
        8 * MIB, ge=64 * 1024, le=64 * MIB, description="Most bytes that are inserted with one call."
    )
    deadline_seconds: Count = Field(
        60, ge=1, le=3_600, description="Seconds after which a call without an answer is given up."
    )
    search_seconds: Count = Field(
        3, ge=1, le=600, description="Seconds after which a search without an answer goes on without vectors."
    )
    replication_factor: Count = Field(1, ge=1, le=9, description="Nodes that keep each vector.")
    consistency: Literal["one", "quorum", "all"] = Field(
        "quorum", description="Nodes that have to answer where there are several: one, most of them, or all."
    )
    index: Literal["hnsw", "flat"] = Field("hnsw", description="Vector index of new collections.")
    quantizer: Literal["none", "rq", "sq", "bq", "pq"] = Field(
        "none", description="How new collections shorten vectors in memory."
    )

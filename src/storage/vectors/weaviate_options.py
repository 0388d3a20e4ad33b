"""How a Weaviate server is reached and used."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

InsertMode: TypeAlias = Literal["lock", "pool"]
Consistency: TypeAlias = Literal["one", "quorum", "all"]
IndexKind: TypeAlias = Literal["hnsw", "flat"]
Quantizer: TypeAlias = Literal["none", "rq", "sq", "bq", "pq"]


@dataclass(frozen=True, slots=True)
class WeaviateOptions:
    """Where the server is, and how much is asked of it at once."""

    url: str = "http://127.0.0.1:8080"
    """of its REST interface; gRPC is expected on the same host, encrypted like REST"""
    grpc_port: int = 50051
    api_key: str = ""
    """empty: the server is used without one"""
    insert_mode: InsertMode = "lock"
    """``lock``: one call that inserts at a time; ``pool``: as many as there are clients"""
    pool_size: int = 2
    """clients that insert side by side in the mode ``pool``"""
    batch_objects: int = 512
    """most objects of a call"""
    batch_bytes: int = 8 << 20
    """most bytes of a call, beside one object that is larger by itself"""
    deadline_seconds: float = 60.0
    """for one call; what has no answer by then is in doubt"""
    search_seconds: float = 3.0
    """for one search; what has no answer by then is searched without vectors"""
    replication_factor: int = 1
    consistency: Consistency = "quorum"
    """replicas that have to answer; of no meaning with a replication factor of 1"""
    index: IndexKind = "hnsw"
    quantizer: Quantizer = "none"

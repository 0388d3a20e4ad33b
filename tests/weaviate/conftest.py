"""A real server for tests of the whole program."""

from __future__ import annotations

from tests.weaviate.fixtures import one_grpc_thread, weaviate_server  # noqa: F401  (fixtures)

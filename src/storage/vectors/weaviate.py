"""``WeaviateStore``: vectors in a Weaviate server or cluster (https://weaviate.io), through its async client."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from weaviate.exceptions import UnexpectedStatusCodeError

from storage.errors import VectorStoreUnavailable
from storage.vectors.names import checked_name
from storage.vectors.weaviate_client import Clients
from storage.vectors.weaviate_collection import WeaviateCollection
from storage.vectors.weaviate_errors import translated
from storage.vectors.weaviate_insert import Pace
from storage.vectors.weaviate_schema import alias_of, check_schema, class_of, creation_of, name_of

if TYPE_CHECKING:
    from storage.vectors.records import CollectionSpec
    from storage.vectors.weaviate_options import WeaviateOptions

_EXISTS = 422
"""What the server answers to a second creation of a class."""


class WeaviateStore:
    """See ``VectorStore``. Only classes that are named as codetrove names its own are ever seen, let alone changed."""

    def __init__(self, options: WeaviateOptions, *, reading: bool = False) -> None:
        """Prepare; the server is asked when the first collection is. With ``reading`` no class is ever made.

        Raises ``VectorsRefused`` for an address that is none.
        """
        self._options = options
        self._reading = reading
        self._clients = Clients(options)
        self._pace = Pace(options)
        self._open: dict[str, list[WeaviateCollection]] = {}
        self._opening = asyncio.Lock()

    async def open(self, spec: CollectionSpec) -> WeaviateCollection:
        """See ``VectorStore.open``. Raises ``VectorsRefused`` where the class there has another schema."""
        name = checked_name(spec.name)
        async with self._opening:
            client = await self._clients.first()
            with translated(f"the collection {name!r} was to be opened", self._options.url):
                if not await client.collections.exists(class_of(name)):
                    if self._reading:
                        raise VectorStoreUnavailable(f"the collection {name!r} is not in Weaviate yet")
                    await self._create(client, spec)
                found = await client.collections.use(class_of(name)).config.get()
            check_schema(found.to_dict(), spec, self._options)
            collection = WeaviateCollection(spec, self._clients, self._options, self._pace)
            self._open.setdefault(name, []).append(collection)
            return collection

    async def drop(self, name: str) -> None:
        """See ``VectorStore.drop``."""
        checked_name(name)
        async with self._opening:
            client = await self._clients.first()
            with translated(f"the collection {name!r} was to be dropped", self._options.url):
                await client.collections.delete(class_of(name))
            for each in self._open.pop(name, ()):
                each.end()

    async def collections(self) -> tuple[str, ...]:
        """See ``VectorStore.collections``."""
        client = await self._clients.first()
        with translated("the collections were to be listed", self._options.url):
            classes = await client.collections.list_all(simple=True)
        return tuple(sorted(name for each in classes if (name := name_of(each)) is not None))

    async def point_alias(self, prefix: str, name: str) -> str:
        """Let the alias made from ``prefix`` stand for a collection; returns it. A courtesy: nothing here relies on it.

        Raises ``VectorStoreUnavailable``, also where the server is too old for aliases (before 1.32).
        """
        alias, target = alias_of(prefix), class_of(name)
        client = await self._clients.first()
        with translated(f"the alias {alias!r} was to be set", self._options.url):
            if await client.alias.exists(alias_name=alias):
                await client.alias.update(alias_name=alias, new_target_collection=target)
            else:
                await client.alias.create(alias_name=alias, target_collection=target)
        return alias

    async def aclose(self) -> None:
        """See ``VectorStore.aclose``."""
        for each in [handle for handles in self._open.values() for handle in handles]:
            each.end()
        self._open.clear()
        with suppress(VectorStoreUnavailable):
            await self._clients.aclose()

    async def _create(self, client: Any, spec: CollectionSpec) -> None:
        try:
            await client.collections.create(**creation_of(spec, self._options))
        except UnexpectedStatusCodeError as error:
            # Another process, or an earlier call whose answer was lost, made it meanwhile.
            if error.status_code != _EXISTS or "already exists" not in str(error):
                raise

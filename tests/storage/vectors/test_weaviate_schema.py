"""Names of classes, and what the client raises; no server is needed for either."""

from __future__ import annotations

import inspect
import re

import grpc
import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from weaviate import exceptions as foreign

from storage.errors import (
    DimensionMismatch,
    VectorsRefused,
    VectorStoreDamaged,
    VectorStoreError,
    VectorStoreUnavailable,
)
from storage.vectors import WeaviateOptions
from storage.vectors.weaviate_client import Clients
from storage.vectors.weaviate_errors import REFUSED, MessageTooLarge, Pressure, kind_of, translated
from storage.vectors.weaviate_schema import alias_of, class_of, name_of

NAMES = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}", fullmatch=True)
UNAVAILABLE = (
    foreign.WeaviateConnectionError,
    foreign.WeaviateTimeoutError,
    foreign.WeaviateRetryError,
    foreign.WeaviateGRPCUnavailableError,
    foreign.WeaviateStartUpError,
    foreign.WeaviateClosedClientError,
    foreign.EmptyResponseError,
    foreign.ResponseCannotBeDecodedError,
)
"""Nothing is known of what the call did: what `kind_of` says of anything that it cannot place otherwise."""
NOT_RAISED_BY_WHAT_WE_CALL = {
    "AdditionalPropertiesError",
    "BackupCanceledError",
    "BackupFailedError",
    "ExportCanceledError",
    "ExportFailedError",
    "ObjectAlreadyExistsError",
    "UnexpectedStatusCodeError",
    "WeaviateAddInvalidPropertyError",
    "WeaviateAgentsNotInstalledError",
    "WeaviateBaseError",
    "WeaviateBatchError",
    "WeaviateBatchFailedToReestablishStreamError",
    "WeaviateBatchSendError",
    "WeaviateBatchStreamError",
    "WeaviateBatchValidationError",
    "WeaviateDeleteManyError",
    "WeaviateEmbeddedInvalidVersionError",
    "WeaviateInsertManyAllFailedError",
    "WeaviateQueryError",
    "WeaviateTenantGetError",
}
"""Or told apart by their message; whatever they are, they become ``VectorStoreUnavailable``."""


@given(NAMES)
def test_a_name_becomes_a_class_and_comes_back(name: str) -> None:
    assert re.fullmatch(r"[A-Z][A-Za-z0-9_]*", class_of(name))
    assert name_of(class_of(name)) == name


@given(NAMES, NAMES)
def test_two_names_never_become_one_class(one: str, other: str) -> None:
    assert (class_of(one) == class_of(other)) == (one == other)


@given(st.one_of(st.text(max_size=30), NAMES.map(lambda name: f"Trove_{name}_v1"), NAMES.map(str.capitalize)))
def test_only_classes_that_we_named_are_ours(class_name: str) -> None:
    name = name_of(class_name)
    assert name is None or class_of(name) == class_name


def test_another_version_of_the_schema_is_another_class() -> None:
    assert name_of(class_of("c1").replace("_v1", "_v2")) is None


def test_the_alias_of_an_installation_is_a_name_of_its_own() -> None:
    assert alias_of("codetrove_1a2b3c4d_") == "Codetrove_1a2b3c4d"
    assert name_of("Codetrove_1a2b3c4d") is None


def test_every_exception_of_the_client_has_its_place() -> None:
    there = {
        each.__name__
        for each in vars(foreign).values()
        if inspect.isclass(each) and issubclass(each, foreign.WeaviateBaseError)
    }
    placed = {each.__name__ for each in (*UNAVAILABLE, *REFUSED)} | NOT_RAISED_BY_WHAT_WE_CALL
    assert there - placed == set()


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (foreign.WeaviateTimeoutError("t"), VectorStoreUnavailable),
        (foreign.WeaviateQueryError("store is read-only", "GRPC"), Pressure),
        (foreign.WeaviateQueryError("grpc: received message larger than max (9 vs. 8)", "GRPC"), MessageTooLarge),
        (foreign.WeaviateQueryError("vector dimensions do not match the index dimensions", "GRPC"), DimensionMismatch),
        (foreign.WeaviateQueryError("could not find class Trove_c1_v1 in schema", "GRPC"), VectorStoreDamaged),
        (foreign.WeaviateQueryError("something broke", "GRPC"), VectorStoreUnavailable),
        (foreign.WeaviateInvalidInputError("no"), VectorsRefused),
        (httpx.ConnectError("refused"), VectorStoreUnavailable),
        (ConnectionResetError("reset"), VectorStoreUnavailable),
        (grpc.RpcError("broken"), VectorStoreUnavailable),
    ],
)
def test_what_the_client_raises_becomes_ours(error: Exception, kind: type[VectorStoreError]) -> None:
    assert kind_of(error) is kind
    with pytest.raises(kind, match="it was tried: Weaviate at there said: "), translated("it was tried", "there"):
        raise error


def test_errors_of_ours_and_of_no_one_pass_untouched() -> None:
    with pytest.raises(DimensionMismatch, match="mine"), translated("x", "y"):
        raise DimensionMismatch("mine")
    with pytest.raises(KeyError), translated("x", "y"):
        raise KeyError("defect")


@pytest.mark.parametrize(
    "url", ["", "localhost:8080", "ftp://x", "http://", "http://x:port", "http://x/path", "http://[x"]
)
def test_an_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(VectorsRefused, match="no address of a Weaviate server; give one like"):
        Clients(WeaviateOptions(url))

"""What requests may carry: strict types, a bound on every field, and nothing that is not named here."""

from __future__ import annotations

import base64
import binascii
from typing import Annotated, Final, TypeAlias
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, create_model, model_validator

from indexing.flags import FLAGS

MOST_PATHS: Final = 10_000
MOST_PATH_BYTES: Final = 4096
MOST_SYNCED: Final = 1000
KEY_PATTERN: Final = r"^[\x20-\x7e]{1,200}$"


def _uuid(text: str) -> str:
    try:
        return str(UUID(text))
    except ValueError:
        raise ValueError("the uuid of a repository is expected, as GET /repositories gives it") from None


def _not_nul(text: str) -> str:
    if "\0" in text:
        raise ValueError("a path has no NUL character")
    return text


def _b64_path(text: str) -> str:
    try:
        path = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("standard base64 of the bytes of a path is expected") from None
    if not path or b"\0" in path:
        raise ValueError("a path has at least one byte and no NUL")
    return text


RepositoryId: TypeAlias = Annotated[
    str,
    StringConstraints(min_length=32, max_length=36, pattern=r"^[0-9a-fA-F-]+$"),
    AfterValidator(_uuid),
    Field(json_schema_extra={"format": "uuid"}, description="Uuid of a repository."),
]
PathText: TypeAlias = Annotated[
    str, StringConstraints(min_length=1, max_length=MOST_PATH_BYTES), AfterValidator(_not_nul)
]
PathBase64: TypeAlias = Annotated[
    str,
    StringConstraints(min_length=4, max_length=2 * MOST_PATH_BYTES, pattern=r"^[A-Za-z0-9+/]+={0,2}$"),
    AfterValidator(_b64_path),
]


class Body(BaseModel):
    """Base of all bodies: no conversions, no unknown fields."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class IndexBody(Body):
    """What to index: a repository by its uuid or its root, all of it or what lies at some paths."""

    repository: RepositoryId | None = None
    root: PathText | None = Field(None, description="Absolute path of a registered root.")
    root_b64: PathBase64 | None = Field(None, description="The same in base64, for a path that is not UTF-8.")
    paths: list[PathText] | None = Field(
        None, max_length=MOST_PATHS, description="Files and directories relative to the root; without any, the tree."
    )
    paths_b64: list[PathBase64] | None = Field(
        None, max_length=MOST_PATHS, description="The same in base64, for paths that are not UTF-8."
    )

    @model_validator(mode="after")
    def _one_place(self) -> IndexBody:
        if sum(each is not None for each in (self.repository, self.root, self.root_b64)) != 1:
            raise ValueError("exactly one of 'repository', 'root' and 'root_b64' is expected")
        if (self.paths is not None or self.paths_b64 is not None) and not (self.paths or self.paths_b64):
            raise ValueError("no path is named; name one, or leave 'paths' out for the whole tree")
        return self

    def wanted_paths(self) -> tuple[bytes, ...] | None:
        """Return the paths as bytes; None is the whole tree."""
        if self.paths is None and self.paths_b64 is None:
            return None
        named = [path.encode() for path in self.paths or ()]
        return (*named, *(base64.b64decode(path) for path in self.paths_b64 or ()))


class NewRepository(Body):
    """A tree to take in."""

    root: PathText | None = Field(None, description="Absolute path of its directory.")
    root_b64: PathBase64 | None = Field(None, description="The same in base64, for a path that is not UTF-8.")
    index: bool = Field(default=True, description="Whether a job that indexes it is begun.")

    @model_validator(mode="after")
    def _one_place(self) -> NewRepository:
        if (self.root is None) == (self.root_b64 is None):
            raise ValueError("exactly one of 'root' and 'root_b64' is expected")
        return self


class SyncBody(Body):
    """What to bring up to date and wait for."""

    repositories: list[RepositoryId] = Field(
        default_factory=list, max_length=MOST_SYNCED, description="Uuids; none: all that the caller sees."
    )
    timeout_ms: int = Field(10_000, ge=0, le=600_000, description="Most milliseconds to wait, within the settings.")


class Nothing(Body):
    """An empty object; the body may be left out."""


FlagsBody: type[Body] = create_model(
    "FlagsBody",
    __base__=Body,
    __doc__="The flags to change; null follows the settings again.",
    **{name: (bool | None, Field(default=None)) for name in FLAGS},  # type: ignore[call-overload]
)


def path_of(text: str | None, in_base64: str | None) -> bytes:
    """Return the bytes of a path that is given in one of two ways."""
    return base64.b64decode(in_base64) if in_base64 is not None else (text or "").encode()

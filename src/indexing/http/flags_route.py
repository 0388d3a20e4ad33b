"""Flags: settings that are changed while the service runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter

from indexing.access import Principal
from indexing.http.answers import FlagAnswer, FlagsAnswer
from indexing.http.bodies import FlagsBody
from indexing.http.context import Context
from indexing.http.security import needs
from indexing.http.strict_json import StrictRoute
from indexing.http.times import rfc3339

if TYPE_CHECKING:
    from indexing.flags import Flags

router = APIRouter(tags=["flags"], route_class=StrictRoute)


@router.get("/flags", summary="Every flag and who changed it last")
async def flags(context: Context, caller: Annotated[Principal, needs("read")]) -> FlagsAnswer:  # noqa: ARG001
    """Return the flags as they are now."""
    return _answer(context.owner.flags)


@router.patch("/flags", summary="Change flags")
async def change_flags(
    context: Context,
    caller: Annotated[Principal, needs("admin", all_repositories=True)],
    body: FlagsBody,
) -> FlagsAnswer:
    """Set the named flags, or have them follow the settings again (null); the others stay as they are."""
    wanted = {name: getattr(body, name) for name in sorted(body.model_fields_set)}
    if wanted:
        await context.owner.flags.change(wanted, by=caller.name)
    return _answer(context.owner.flags)


def _answer(flags: Flags) -> FlagsAnswer:
    return FlagsAnswer(
        flags=[
            FlagAnswer(
                name=each.name,
                value=each.value,
                stored=each.stored,
                description=each.description,
                changed_at=None if each.changed_at is None else rfc3339(round(each.changed_at * 1000)),
                changed_by=each.changed_by,
            )
            for each in flags.describe()
        ]
    )

"""Taking storage servers away, and what happened to them."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from reelstore.domain.change import ChangeAction, ServerChange
from reelstore.domain.errors import InvalidInput
from reelstore.domain.event import SERVER_EVENTS
from reelstore.services.events import EventFilter
from reelstore.web import schemas, schemas_events, schemas_removal, schemas_ring
from reelstore.web.application import Changes, Events, Forcing, RemovalChecks, Servers
from reelstore.web.leaving import while_client_stays
from reelstore.web.limits import PAGE_SIZE_DEFAULT
from reelstore.web.openapi import problems
from reelstore.web.routes.servers import AcceptWarnings, Stage, changed_server
from reelstore.web.routes.videos import Cursor, PageSize

router = APIRouter(prefix="/api/v1", tags=["servers"])

Force = Annotated[bool, Query(description="Take out a server that does not answer: the answer is 200, and it is gone.")]
AcceptLoss = Annotated[
    str | None,
    Query(description="With `force`: the server's name once more, to take it out though data may be lost with it."),
]


@router.delete(
    "/servers/{name}",
    operation_id="removeServer",
    summary="Remove a storage server",
    status_code=202,
    response_model=schemas_ring.ChangedServer | schemas_ring.Plan | schemas_removal.RemovedServer,
    responses=problems(404, 409),
)
async def remove_server(
    response: Response,
    servers: Servers,
    changes: Changes,
    forcing: Forcing,
    name: str,
    *,
    stage: Stage = False,
    accept_warnings: AcceptWarnings = False,
    force: Force = False,
    accept_loss: AcceptLoss = None,
) -> schemas_ring.ChangedServer | schemas_ring.Plan | schemas_removal.RemovedServer:
    """Drain a server, and remove it when a listing has proved that it is empty: the answer is 202 and the server."""
    if force:
        if stage:
            raise InvalidInput("stage plans a drain; before force, ask for the removal-check", field="stage")
        forced = await forcing.remove(name, accept_loss=accept_loss, accept_warnings=accept_warnings)
        response.status_code = 200
        return schemas_removal.RemovedServer.of(forced)
    if accept_loss is not None:
        raise InvalidInput("a loss is accepted only with force", field="accept_loss")
    change = ServerChange(ChangeAction.REMOVE, name)
    return await changed_server(response, servers, changes, change, stage=stage, accept_warnings=accept_warnings)


@router.get(
    "/servers/{name}/removal-check",
    operation_id="checkRemoval",
    summary="Is it safe to power a storage server off?",
    response_model=schemas_removal.RemovalCheck,
    responses=problems(404),
)
async def check_removal(request: Request, removals: RemovalChecks, name: str) -> schemas_removal.RemovalCheck:
    """Say what is in the way, with evidence. Lists the server, and all others unless it is empty: it takes a while."""
    return schemas_removal.RemovalCheck.of(await while_client_stays(request, removals.check(name)))


@router.get(
    "/servers/{name}/history",
    operation_id="listServerHistory",
    summary="What happened to a storage server",
    response_model=schemas.Listing[schemas_events.Event],
    responses=problems(404),
)
async def list_server_history(
    servers: Servers, events: Events, name: str, limit: PageSize = PAGE_SIZE_DEFAULT, cursor: Cursor = None
) -> schemas.Listing[schemas_events.Event]:
    """Return one page of its events, the newest first; also of a server that is removed."""
    page = await events.latest(limit=limit, cursor=cursor, wanted=EventFilter(SERVER_EVENTS, name))
    if not page.items and cursor is None:
        await servers.get(name)
    items = [schemas_events.Event.model_validate(event) for event in page.items]
    return schemas.Listing(items=items, next_cursor=page.next_cursor)

"""The storage servers."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Response

from reelstore.domain.change import ChangeAction, ServerChange
from reelstore.domain.server import ServerState
from reelstore.services.server_changes import patch
from reelstore.services.video_requests import VideoList
from reelstore.web import schemas, schemas_ring
from reelstore.web.application import Changes, Servers, Videos
from reelstore.web.bodies import json_body, json_request_body
from reelstore.web.limits import PAGE_SIZE_DEFAULT
from reelstore.web.openapi import problems
from reelstore.web.routes.ring import PLANNED, planned
from reelstore.web.routes.videos import Cursor, PageSize

router = APIRouter(prefix="/api/v1", tags=["servers"])

Stage = Annotated[bool, Query(description="Plan it, and do not apply it: the answer is 201 with the plan.")]
AcceptWarnings = Annotated[bool, Query(description="Do it in spite of warnings that must be accepted.")]


@router.get(
    "/servers",
    operation_id="listServers",
    summary="List the storage servers",
    response_model=schemas.Listing[schemas.Server],
    responses=problems(),
)
async def list_servers(servers: Servers) -> schemas.Listing[schemas.Server]:
    """Return all servers, on one page."""
    return schemas.Listing(items=[schemas.Server.of(view) for view in await servers.list()], next_cursor=None)


@router.post(
    "/servers",
    operation_id="addServer",
    summary="Add a storage server",
    status_code=201,
    response_model=schemas_ring.ChangedServer | schemas_ring.Plan,
    responses=problems(409, 413, 415, 507),
    openapi_extra=json_request_body(schemas.NewServer, {"name": "disk4", "url": "file:///srv/disk4"}),
)
async def add_server(
    response: Response,
    servers: Servers,
    changes: Changes,
    new: Annotated[schemas.NewServer, json_body(schemas.NewServer)],
    *,
    stage: Stage = False,
    accept_warnings: AcceptWarnings = False,
) -> schemas_ring.ChangedServer | schemas_ring.Plan:
    """Register a server and compute the next ring with it. New videos use it at once."""
    change = ServerChange(ChangeAction.ADD, new.name, new.url, new.zone, new.capacity_bytes)
    answer = await changed_server(response, servers, changes, change, stage=stage, accept_warnings=accept_warnings)
    if not stage:
        response.headers["location"] = f"/api/v1/servers/{new.name}"
    return answer


@router.get(
    "/servers/{name}",
    operation_id="describeServer",
    summary="Describe a storage server",
    response_model=schemas.Server,
    responses=problems(404),
)
async def describe_server(servers: Servers, name: str) -> schemas.Server:
    """Return the server with its health and its share of the ring."""
    return schemas.Server.of(await servers.get(name))


@router.patch(
    "/servers/{name}",
    operation_id="changeServer",
    summary="Change a storage server's zone, capacity or state",
    response_model=schemas_ring.ChangedServer | schemas_ring.Plan,
    responses=PLANNED | problems(404, 409, 413, 415),
    openapi_extra=json_request_body(schemas_ring.ServerPatch, {"capacity_bytes": 2 * 10**12}),
)
async def change_server(
    response: Response,
    servers: Servers,
    changes: Changes,
    name: str,
    given: Annotated[schemas_ring.ServerPatch, json_body(schemas_ring.ServerPatch)],
    *,
    stage: Stage = False,
    accept_warnings: AcceptWarnings = False,
) -> schemas_ring.ChangedServer | schemas_ring.Plan:
    """Change it, compute the next ring, and move what belongs elsewhere; or with `stage` only plan that (201)."""
    server = (await servers.get(name)).server
    state = None if given.state is None else ServerState(given.state)
    change = patch(server, zone=given.zone, capacity_bytes=given.capacity_bytes, state=state)
    return await changed_server(response, servers, changes, change, stage=stage, accept_warnings=accept_warnings)


async def changed_server(
    response: Response,
    servers: Servers,
    changes: Changes,
    change: ServerChange,
    *,
    stage: bool,
    accept_warnings: bool,
) -> schemas_ring.ChangedServer | schemas_ring.Plan:
    """Make a change and return the server, or plan it and return the plan."""
    if stage:
        return planned(response, await changes.plan([change]))
    plan = await changes.change([change], accept_warnings=accept_warnings)
    return schemas_ring.ChangedServer.after(await servers.get(change.name), plan)


@router.get(
    "/servers/{name}/videos",
    operation_id="listVideosOnServer",
    summary="Which videos have chunks on a server",
    response_model=schemas.Listing[schemas.Video],
    responses=problems(404),
)
async def list_videos_on_server(
    videos: Videos, name: str, limit: PageSize = PAGE_SIZE_DEFAULT, cursor: Cursor = None
) -> schemas.Listing[schemas.Video]:
    """Return one page of the videos of which the ring places a chunk on the server, the newest first."""
    page = await videos.list(VideoList(server=name, limit=limit, cursor=cursor))
    return schemas.Listing(items=[schemas.Video.of(video) for video in page.items], next_cursor=page.next_cursor)

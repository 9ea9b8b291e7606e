"""The storage servers."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Response

from reelstore.services.video_requests import VideoList
from reelstore.web import schemas
from reelstore.web.application import Servers, Videos
from reelstore.web.bodies import json_body, json_request_body
from reelstore.web.limits import PAGE_SIZE_DEFAULT
from reelstore.web.openapi import problems
from reelstore.web.routes.videos import Cursor, PageSize

router = APIRouter(prefix="/api/v1", tags=["servers"])


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
    response_model=schemas.Server,
    responses=problems(409, 413, 415),
    openapi_extra=json_request_body(schemas.NewServer, {"name": "disk4", "url": "file:///srv/disk4"}),
)
async def add_server(
    response: Response, servers: Servers, new: Annotated[schemas.NewServer, json_body(schemas.NewServer)]
) -> schemas.Server:
    """Register a server and compute the next ring with it. New videos use it at once."""
    view = await servers.add(name=new.name, url=new.url, zone=new.zone, capacity_bytes=new.capacity_bytes)
    response.headers["location"] = f"/api/v1/servers/{view.server.name}"
    return schemas.Server.of(view)


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

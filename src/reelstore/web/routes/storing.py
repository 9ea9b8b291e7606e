"""`POST /videos`: a raw body, or a form with a file."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any

from fastapi import APIRouter, Header, Query, Request, Response

from reelstore.chunkstore.body import PiecedBody
from reelstore.domain.errors import InvalidInput
from reelstore.services.video_requests import Stored, StoreRequest, VideoEdit
from reelstore.services.videos import VideoService
from reelstore.web import schemas
from reelstore.web.application import Videos
from reelstore.web.bodies import RequestBody, announced_length_bytes, body_pieces, refuse_encoded_body
from reelstore.web.disposition import parse_disposition
from reelstore.web.errors import UnsupportedMediaType
from reelstore.web.etags import description_etag
from reelstore.web.forms import UploadForm
from reelstore.web.media_types import essence, media_type
from reelstore.web.openapi import problems

router = APIRouter(prefix="/api/v1", tags=["videos"])

_FORM = "multipart/form-data"
_NAME_MISSING = (
    "the video needs a name: give ?name=holiday.mp4, or the header Content-Disposition: attachment; "
    'filename="holiday.mp4", or send a form with a file, as `curl -F file=@holiday.mp4` does'
)

_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "description": "The video's bytes as they are, or a form with exactly one file part.",
        "content": {
            "application/octet-stream": {"schema": {"type": "string", "format": "binary"}},
            _FORM: {
                "schema": {
                    "type": "object",
                    "required": ["file"],
                    "properties": {
                        "name": {"type": "string", "description": "The file part's filename if absent."},
                        "title": {"type": "string"},
                        "description": {"type": "string"},
                        "tag": {"type": "array", "items": {"type": "string"}, "description": "One field for each."},
                        "tags": {"type": "string", "description": "Several, with commas between them."},
                        "policy": {"type": "string", "description": "Before the file."},
                        "file": {"type": "string", "format": "binary"},
                    },
                }
            },
        },
    }
}


@dataclass(frozen=True, slots=True)
class _Described:
    """How a request describes its video, wherever it says so; None is what it does not say."""

    name: str | None
    title: str | None
    description: str | None
    tags: tuple[str, ...]
    policy: str | None

    def updated(self, fields: Mapping[str, Sequence[str]]) -> _Described:
        """Return the description with a form's fields, which win over the query; of a repeated one the last wins.

        An empty field says nothing: browsers send one for each input that was left empty.
        """

        def last(field: str, present: str | None) -> str | None:
            return (fields[field][-1] if field in fields else None) or present

        tags = [tag for tag in fields.get("tag", ()) if tag]
        for line in fields.get("tags", ()):
            tags += [tag for tag in line.split(",") if tag.strip()]
        return _Described(
            name=last("name", self.name),
            title=last("title", self.title),
            description=last("description", self.description),
            tags=tuple(tags) or self.tags,
            policy=last("policy", self.policy),
        )


@router.post(
    "/videos",
    operation_id="storeVideo",
    summary="Store a video",
    status_code=201,
    response_model=schemas.Video,
    responses={
        200: {"model": schemas.Video, "description": "The `Idempotency-Key` is known: the video that it made."},
        **problems(404, 409, 413, 415, 507),
    },
    openapi_extra=_BODY,
)
async def store_video(
    request: Request,
    response: Response,
    videos: Videos,
    *,
    name: Annotated[str | None, Query(description="The file's name: any Unicode text.", examples=["a.mp4"])] = None,
    title: Annotated[str | None, Query(description="For people; the name if absent.")] = None,
    description: Annotated[str | None, Query(description="Free text.")] = None,
    tag: Annotated[list[str] | None, Query(description="May be given several times.")] = None,
    policy: Annotated[str | None, Query(description="How to make it redundant; the cluster's default.")] = None,
    idempotency_key: Annotated[
        str | None, Header(description="The same key again gives the same video instead of a second one.")
    ] = None,
) -> schemas.Video:
    """Keep a video. When the answer is here, its bytes are durable on several servers.

    The body is streamed, of any length. With `Expect: 100-continue` a request that is refused costs no byte of it.
    """
    refuse_encoded_body(request)
    told = _Described(name=name, title=title, description=description, tags=tuple(tag or ()), policy=policy)
    kind = essence(request.headers.get("content-type", ""))
    if kind == _FORM:
        stored = await _store_form(request, videos, told, idempotency_key)
    elif kind.startswith("multipart/"):
        raise UnsupportedMediaType(f"of forms only {_FORM} is read, not {kind}", accept=["*/*", _FORM])
    else:
        stored = await _store_raw(request, videos, told, idempotency_key)
    response.status_code = 201 if stored.created else 200
    response.headers["location"] = f"/api/v1/videos/{stored.video.id}"
    response.headers["etag"] = description_etag(stored.video)
    return schemas.Video.of(stored.video)


async def _store_raw(request: Request, videos: VideoService, told: _Described, key: str | None) -> Stored:
    disposition = request.headers.get("content-disposition", "").encode("latin-1")
    name = told.name if told.name is not None else parse_disposition(disposition).filename
    asked = _store_request(
        replace(told, name=name),
        content_type=request.headers.get("content-type"),
        length_bytes=announced_length_bytes(request),
        key=key,
    )
    return await videos.store(asked, RequestBody(request))


async def _store_form(request: Request, videos: VideoService, told: _Described, key: str | None) -> Stored:
    """Store a form's file. Fields behind the file are checked before the video exists, and applied afterwards."""
    form = UploadForm(body_pieces(request), content_type=request.headers["content-type"])
    await form.open()

    def asked() -> StoreRequest:
        described = told.updated(form.fields)
        name = form.filename if described.name is None else described.name
        return _store_request(replace(described, name=name), content_type=form.content_type, key=key)

    early = asked()
    edit: VideoEdit | None = None

    async def body() -> AsyncGenerator[memoryview, None]:
        nonlocal edit
        async for piece in form.file():
            yield piece
        edit = _late_edit(early, asked())

    stored = await videos.store(early, PiecedBody(body()))
    if edit is not None and stored.created:
        return replace(stored, video=await videos.edit(stored.video.id, edit, expected_version=None))
    return stored


def _store_request(
    told: _Described, *, content_type: str | None, key: str | None, length_bytes: int | None = None
) -> StoreRequest:
    """Return what the service is asked for.

    Raises:
        InvalidInput: there is no name, or something is not valid; a retry does not help.
        TooLarge: the announced length is beyond the limit; a retry does not help.
    """
    if not told.name:
        raise InvalidInput(_NAME_MISSING, field="name")
    return StoreRequest(
        name=told.name,
        title=told.title,
        description=told.description or "",
        tags=told.tags,
        policy=told.policy,
        content_type=media_type(content_type, name=told.name),
        length_bytes=length_bytes,
        idempotency_key=key,
    )


def _late_edit(early: StoreRequest, late: StoreRequest) -> VideoEdit | None:
    """Return what fields behind the file change, None if nothing.

    Raises:
        InvalidInput: a field comes too late; a retry does not help.
    """
    if late.policy != early.policy:
        raise InvalidInput("the form's field `policy` must come before the file", field="policy")
    if late == early:
        return None
    return VideoEdit(name=late.name, title=late.title or late.name, description=late.description, tags=late.tags)

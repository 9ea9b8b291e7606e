"""The OpenAPI document: what every route has in common."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute

from reelstore.web.problems import MEDIA_TYPE

DESCRIPTION = """\
Keep videos on a changing set of storage servers, and play them back.

Errors are [problems](/problems) (RFC 9457). Lists come in pages: give `next_cursor` as `cursor`. Descriptions carry
an `ETag`; with `If-Match` a change happens only to the version that was read. Times are RFC 3339 in UTC, sizes are
bytes, durations are seconds. Unknown query parameters are ignored, unknown fields of a JSON body refused.
"""

TAGS = [
    {"name": "videos", "description": "Store, find, describe and remove videos."},
    {"name": "content", "description": "Read a video's bytes, and check where they lie."},
    {"name": "servers", "description": "The storage servers."},
    {"name": "cluster", "description": "The ring, the policies, rebalancing, and the cluster's health."},
    {"name": "operations", "description": "For probes and people."},
]


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Document the problems that a route may answer with, besides those that any route may."""
    return {
        status: {
            "description": HTTPStatus(status).phrase,
            "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
        }
        for status in sorted({400, 403, 414, 421, 431, 500, 503, *statuses})
    }


def operation_id(route: APIRoute) -> str:
    """Name an operation after its function."""
    return route.name


def install_openapi(app: FastAPI, problem_schema: dict[str, Any]) -> None:
    """Make the app describe itself without the framework's own shape of errors, which is never sent."""

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            document = get_openapi(
                title=app.title,
                version=app.version,
                description=app.description,
                routes=app.routes,
                tags=app.openapi_tags,
            )
            for path in document["paths"].values():
                for operation in path.values():
                    operation["responses"].pop("422", None)
            schemas = document["components"]["schemas"]
            for name in ("HTTPValidationError", "ValidationError"):
                schemas.pop(name, None)
            schemas["Problem"] = problem_schema
            app.openapi_schema = document
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI's documented way to extend the document

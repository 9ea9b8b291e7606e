"""Figures for Prometheus."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import Response

from reelstore.web.application import application_of
from reelstore.web.metrics import scrape
from reelstore.web.openapi import problems

MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"

router = APIRouter(tags=["operations"])


@router.get(
    "/metrics",
    operation_id="readMetrics",
    summary="Figures for Prometheus",
    response_class=Response,
    responses={
        200: {"content": {"text/plain": {"schema": {"type": "string"}}}, "description": "Prometheus's text format."},
        **problems(),
    },
)
async def read_metrics(request: Request) -> Response:
    """Return what this gateway has counted, and how the cluster is."""
    text = await scrape(application_of(request), request.app.state.request_metrics)
    return Response(text, media_type=MEDIA_TYPE, headers={"cache-control": "no-store"})

"""For probes and people: is it alive, is it ready, what is here, what does a problem mean."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import HTMLResponse, PlainTextResponse

from reelstore import __version__
from reelstore.web.application import application_of
from reelstore.web.errors import NotReady, RouteNotFound
from reelstore.web.openapi import problems
from reelstore.web.problem_pages import problem_page, problem_slugs

router = APIRouter(tags=["operations"])

_LANDING_PAGE = f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Reelstore</title>
<style>
body {{ font: 1rem/1.6 system-ui, sans-serif; max-width: 42rem; margin: 4rem auto; padding: 0 1rem; }}
pre {{ background: #8882; padding: 1rem; overflow-x: auto; border-radius: 0.4rem; }}
</style>
</head>
<body>
<h1>Reelstore {__version__}</h1>
<p>This gateway keeps videos on a ring of storage servers.</p>
<pre>curl -F file=@holiday.mp4 ORIGIN/api/v1/videos
curl ORIGIN/api/v1/videos</pre>
<ul>
<li><a href="/docs">The API, to read and to try</a> (<a href="/openapi.json">OpenAPI</a>)</li>
<li><a href="/api/v1/videos">Videos</a>, <a href="/api/v1/servers">servers</a>,
<a href="/api/v1/ring">the ring</a>, <a href="/api/v1/health">health</a></li>
<li><a href="/problems">What problems mean</a></li>
</ul>
<script>
for (const node of document.querySelectorAll("pre"))
  node.textContent = node.textContent.replaceAll("ORIGIN", location.origin);</script>
</body>
</html>
"""

_TEXT: dict[int | str, dict[str, Any]] = {
    200: {"content": {"text/plain": {"schema": {"type": "string"}}}, "description": "Text in Markdown."}
}


@router.get("/", include_in_schema=False)
async def show_landing_page() -> HTMLResponse:
    """Show people where they are."""
    return HTMLResponse(_LANDING_PAGE)


@router.get("/api/v1", operation_id="describeApi", summary="What is here", responses=problems())
async def describe_api() -> dict[str, str]:
    """Return the version and the places to go on from."""
    return {
        "name": "reelstore",
        "version": __version__,
        "documentation": "/docs",
        "openapi": "/openapi.json",
        "problems": "/problems",
        "videos": "/api/v1/videos",
        "servers": "/api/v1/servers",
        "ring": "/api/v1/ring",
        "rebalance": "/api/v1/rebalance",
        "health": "/api/v1/health",
        "capacity": "/api/v1/capacity",
        "events": "/api/v1/events",
        "metrics": "/metrics",
    }


@router.get("/healthz", operation_id="isAlive", summary="Is the process alive", responses=problems())
async def is_alive() -> dict[str, str]:
    """Answer as long as the process can answer at all. A failure means: start it again."""
    return {"status": "ok"}


@router.get("/readyz", operation_id="isReady", summary="Can requests be served", responses=problems())
async def is_ready(request: Request) -> dict[str, str]:
    """Answer 200 when requests can be served, else 503 with the reason. A failure means: send no requests."""
    ready, reason = await application_of(request).ready()
    if not ready:
        raise NotReady(reason)
    return {"status": "ready"}


@router.get(
    "/problems",
    operation_id="listProblems",
    summary="List the types of problems",
    response_class=PlainTextResponse,
    responses={**problems(), **_TEXT},
)
async def list_problems() -> PlainTextResponse:
    """Return the paths of the pages, one on each line."""
    return PlainTextResponse("".join(f"/problems/{slug}\n" for slug in problem_slugs()))


@router.get(
    "/problems/{slug}",
    operation_id="explainProblem",
    summary="What a problem means, and what to do",
    response_class=PlainTextResponse,
    responses={**problems(404), **_TEXT},
)
async def explain_problem(slug: str) -> PlainTextResponse:
    """Return the page that a problem's `type` names, as text in Markdown."""
    page = problem_page(slug)
    if page is None:
        raise RouteNotFound(f"there is no type of problem called {slug!r}", key=slug)
    return PlainTextResponse(page)

"""Put the web layer together."""

from __future__ import annotations

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi_swagger import patch_fastapi
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import Match

from reelstore import __version__
from reelstore.domain.errors import ReelstoreError
from reelstore.web import openapi, schemas
from reelstore.web.application import Application, attach
from reelstore.web.errors import MalformedRequest, MethodNotAllowed, RouteNotFound
from reelstore.web.metrics import NotedRoute, RequestMetrics
from reelstore.web.middleware.canonical import CanonicalRequests
from reelstore.web.middleware.envelope import Envelope
from reelstore.web.middleware.origins import Origins, allowed_hosts
from reelstore.web.problems import answer_error, answer_validation_error, problem_response
from reelstore.web.routes import (
    cluster,
    content,
    events,
    metrics,
    operations,
    policies,
    rebalance,
    removal,
    ring,
    servers,
    storing,
    verification,
    videos,
)

_METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")


def create_app(application: Application) -> FastAPI:
    """Make the ASGI app over a started application, which the caller stops when the app is no longer served.

    Args:
        application: the services; `settings.allowed_hosts` says which `Host` is answered.
    """
    app = FastAPI(
        title="Reelstore",
        version=__version__,
        description=openapi.DESCRIPTION,
        openapi_tags=openapi.TAGS,
        docs_url=None,
        redoc_url=None,
        swagger_ui_oauth2_redirect_url=None,
        redirect_slashes=False,
        generate_unique_id_function=openapi.operation_id,
    )
    attach(app, application)
    app.state.request_metrics = RequestMetrics()
    for module in (
        storing,
        videos,
        content,
        verification,
        servers,
        removal,
        ring,
        policies,
        rebalance,
        cluster,
        events,
        operations,
        metrics,
    ):
        app.include_router(module.router)
    patch_fastapi(app, redirect_from_root_to_docs=False)  # /docs, from files of the package
    openapi.install_openapi(app, schemas.Problem.model_json_schema())
    app.add_exception_handler(ReelstoreError, answer_error)
    app.add_exception_handler(RequestValidationError, answer_validation_error)
    app.add_exception_handler(HTTPException, _answer_router)
    # The one added last is the outermost.
    app.add_middleware(NotedRoute)
    app.add_middleware(CanonicalRequests)
    app.add_middleware(
        Origins, allowed_hosts=allowed_hosts(application.settings.host, application.settings.allowed_hosts)
    )
    app.add_middleware(Envelope, metrics=app.state.request_metrics)
    return app


async def _answer_router(request: Request, error: Exception) -> Response:
    """Answer for the router: no such path, no such method, or OPTIONS."""
    assert isinstance(error, HTTPException)
    if error.status_code == 404:
        return problem_response(RouteNotFound(f"nothing is served at {request.url.path}"), request.scope)
    if error.status_code == 405:
        allow = _allowed_methods(request)
        if request.method == "OPTIONS":
            return Response(status_code=204, headers={"allow": ", ".join(allow)})
        return problem_response(
            MethodNotAllowed(f"{request.method} is not one of {', '.join(allow)}", allow=allow), request.scope
        )
    return problem_response(MalformedRequest(str(error.detail)), request.scope)


def _allowed_methods(request: Request) -> list[str]:
    """Return every method that some route has for the path; the router itself only knows of one route's."""
    allowed = ["OPTIONS"]
    for method in _METHODS:
        scope = {
            "type": "http",
            "method": method,
            "path": request.scope["path"],
            "root_path": request.scope.get("root_path", ""),
            "headers": [],
            "path_params": {},
        }
        if any(route.matches(scope)[0] is Match.FULL for route in request.app.router.routes):
            allowed += ["GET", "HEAD"] if method == "GET" else [method]
    return sorted(allowed)

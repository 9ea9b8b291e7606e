"""The node's ASGI app.

| Request | Does |
| --- | --- |
| `PUT /v1/shards/{policy}/{leaf}` | store a shard while it arrives |
| `GET /v1/shards/{policy}/{leaf}?start=&stop=` | give bytes `[start, stop)` of a shard |
| `GET /v1/shards/{policy}?start=&stop=` | list the shards whose digest is in `[start, stop)` |
| `POST /v1/calls/{operation}` | do what `reelstore.node.operations` lists |
| `GET /healthz` | say that the program runs; the only one that need not be signed |
"""

from __future__ import annotations

from urllib.parse import parse_qsl

from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import Receive, Scope, Send

from reelstore.chunkstore.budget import MemoryBudget
from reelstore.domain.chunk import ShardName
from reelstore.domain.errors import InvalidInput, ReelstoreError, ServerUnauthorized
from reelstore.node.answers import Answering
from reelstore.node.bodies import document, proved_pieces
from reelstore.node.folder import NodeFolder
from reelstore.node.gate import Admitted, Gate
from reelstore.node.limits import READ_MEMORY_BYTES
from reelstore.node.operations import OPERATIONS
from reelstore.storage.checks import SHARD_SIZE_BYTES_MAX
from reelstore.storage.node import wire


class NodeApp:
    """Serve a folder to who knows the cluster secret.

    Args:
        folder: what is served.
        gate: proves requests, and holds the secret that answers are signed with.
    """

    def __init__(self, folder: NodeFolder, gate: Gate) -> None:
        self._folder = folder
        self._gate = gate
        self._reading = MemoryBudget(READ_MEMORY_BYTES)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, as ASGI asks."""
        request = Request(scope, receive)
        path = request.url.path
        if path == "/healthz":
            await JSONResponse({"status": "ok"})(scope, receive, send)
            return
        if not path.startswith((wire.SHARDS, wire.CALLS)):
            body = {"message": "this is a storage node of Reelstore; gateways speak to it, and people to them"}
            await JSONResponse(body, status_code=404)(scope, receive, send)
            return
        try:
            admitted = self._gate.admit(request.method, _target(scope), request.headers)
        except ServerUnauthorized as error:
            # The connection ends with it: what follows may be the body of a stranger.
            refusal = JSONResponse(wire.dump_error(error), status_code=401, headers={"connection": "close"})
            await refusal(scope, receive, send)
            return
        answer = Answering(self._gate.secret, admitted.nonce, send)
        try:
            await self._do(request, path, admitted, answer)
        except ReelstoreError as error:
            await answer.error(error)

    async def _do(self, request: Request, path: str, admitted: Admitted, answer: Answering) -> None:
        receive = request.receive
        if path.startswith(wire.CALLS):
            await self._call(path.removeprefix(wire.CALLS), receive, admitted, answer)
            return
        directory, name = self._folder.served(admitted), path.removeprefix(wire.SHARDS)
        options = dict(parse_qsl(request.url.query, keep_blank_values=True))
        if request.method == "PUT":
            await directory.receive(ShardName.parse(name), admitted.length_bytes, proved_pieces(receive, admitted))
            await answer.document({})
        elif request.method == "GET" and "/" in name:
            await self._give(ShardName.parse(name), options, admitted, answer)
        elif request.method == "GET":
            start, stop = _digest(options.get("start", "")), options.get("stop")
            listing = directory.list(name, start, None if stop is None else _digest(stop))
            await answer.listing(listing, receive)
        else:
            raise InvalidInput(f"a node knows no {request.method} there")

    async def _call(self, operation: str, receive: Receive, admitted: Admitted, answer: Answering) -> None:
        if operation not in OPERATIONS:
            raise InvalidInput(f"a node knows no operation {operation!r}: is the gateway of a later version?")
        given = await document(receive, admitted)
        try:
            result = await OPERATIONS[operation](self._folder, admitted, given)
        except (KeyError, ValueError, TypeError) as error:
            raise InvalidInput(f"the operation {operation} does not understand its arguments: {error}") from error
        await answer.document(result)

    async def _give(self, name: ShardName, options: dict[str, str], admitted: Admitted, answer: Answering) -> None:
        directory = self._folder.served(admitted)
        start = _number(options.get("start", "0"))
        stop = _number(options["stop"]) if "stop" in options else None
        end = stop
        if end is None:
            entry = await directory.stat(name)
            end = 0 if entry is None else entry.size_bytes
        size_bytes = max(0, min(end - start, SHARD_SIZE_BYTES_MAX))
        await self._reading.acquire(size_bytes)
        try:
            await answer.shard(await directory.get(name, start, stop))
        finally:
            self._reading.release(size_bytes)


def _target(scope: Scope) -> str:
    """Return the target of the request's line, as it was sent."""
    path, query = scope["raw_path"].decode("latin-1"), scope["query_string"].decode("latin-1")
    return f"{path}?{query}" if query else path


def _digest(text: str) -> bytes:
    try:
        return bytes.fromhex(text)
    except ValueError:
        raise InvalidInput("not a digest", field="digest") from None


def _number(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 18):
        raise InvalidInput(f"not an offset: {text!r}", field="range")
    return int(text)

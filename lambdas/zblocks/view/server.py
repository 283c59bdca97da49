"""A read-only HTTP server of one volume, on the loopback, for browsers that know its token.

It serves a folder, with `.gz` and `.br` files under the names that viewers request, or a bucket
that only the user's keys open; and the Neuroglancer client, if there is to be no other host.
"""

from __future__ import annotations

import asyncio
import hmac
import re
import secrets
import socket
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import uvicorn
from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Receive, Scope, Send

from zblocks.errors import InvalidConfig, StorageError, ZblocksError
from zblocks.neuroglancer import EXPOSED_HEADERS, HOSTED
from zblocks.storage import Store
from zblocks.view.responses import object_response

Say = Callable[[str], None]

HOST = "127.0.0.1"
CLIENT = "/v/client"
"""Path of the client. The one that PyPI's `neuroglancer` bundles looks for `/v/` in its URL and
replaces it by `/events/` for a stream of events from its own Python server."""
EVENTS = "/events/client"
PULSE_SECONDS = 10
"""Seconds between two messages that keep the stream of events open."""
TOLD = 5
"""Most problems that are printed; the viewer requests thousands of chunks."""
HEADERS = {
    "Cache-Control": "no-store",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
"""Of every response: nothing is kept, embedded elsewhere, or guessed at."""

UVICORN: dict[str, Any] = {"loop": "asyncio", "http": "h11", "ws": "none", "lifespan": "off",
                           "log_config": None, "log_level": "critical",
                           "timeout_graceful_shutdown": 0}  # fmt: skip
"""The same server whatever else is installed, silent; the end waits for no response."""

_PATH = re.compile(r"/(?P<token>[^/]*)(?P<path>/[^\\]*)")
_ENCODED = re.compile(r"%(2f|5c|00)", re.IGNORECASE)
"""A slash, a backslash or a zero byte, none of which a viewer encodes."""


@dataclass(frozen=True, slots=True)
class VolumeServer:
    """Where a volume is served."""

    port: int
    name: str
    """The volume's in the URL, which the viewer shows as the layer's."""
    has_client: bool
    token: str = field(default_factory=lambda: secrets.token_urlsafe(24))

    @property
    def address(self) -> str:
        """`http://127.0.0.1:PORT/TOKEN`."""
        return f"http://{HOST}:{self.port}/{self.token}"

    @property
    def source(self) -> str:
        """The volume's URL."""
        return f"{self.address}/{quote(self.name)}"

    @property
    def viewer(self) -> str:
        """The client's URL: the hosted one, if none is served."""
        return f"{self.address}{CLIENT}" if self.has_client else HOSTED

    @property
    def hosts(self) -> tuple[str, ...]:
        """What a browser on this machine calls the server."""
        return f"{HOST}:{self.port}", f"localhost:{self.port}"


@contextmanager
def serve(
    store: Store, client: Path | None = None, port: int = 0, say: Say = print
) -> Iterator[VolumeServer]:
    """Serve a volume from another thread until the block ends.

    Args:
        store: the volume.
        client: folder of a Neuroglancer to serve, too.
        port: 0 for any that is free.
        say: told what goes wrong.

    Raises:
        InvalidConfig: the port is taken.
    """
    try:
        listener = socket.create_server((HOST, port), backlog=64)
    except OSError as error:
        msg = f"port {port} is not available ({error.strerror}); choose another --port"
        raise InvalidConfig(msg) from error
    name = unquote(store.url).rstrip("/").rsplit("/", 1)[-1]
    name = "volume" if name in ("", "v", "events") or name.startswith(".") else name
    served = VolumeServer(listener.getsockname()[1], name, client is not None)
    app = _Gate(_Application(served, store, say).build(client), served)
    server = uvicorn.Server(uvicorn.Config(app, headers=list(HEADERS.items()), **UVICORN))
    # Daemonic, as are the threads that it makes: a store that hangs doesn't delay the end.
    thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
    thread.start()
    try:
        yield served
    finally:
        server.should_exit = True
        thread.join()
        listener.close()


class _Gate:
    """Lets requests through that know the token and address the server by its own name."""

    def __init__(self, app: ASGIApp, server: VolumeServer) -> None:
        self._app, self._server = app, server

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        host, path = Headers(scope=scope).get("Host"), self._path(scope["raw_path"].decode())
        # A page elsewhere can have its own name resolve to the loopback.
        if host not in self._server.hosts or path is None:
            await Response(status_code=404)(scope, receive, send)
        else:
            await self._app({**scope, "path": path}, receive, send)

    def _path(self, raw: str) -> str | None:
        """Return the path below the token, decoded; None for what nobody may request."""
        match, token = _PATH.fullmatch(raw), self._server.token.encode()
        if match is None or not hmac.compare_digest(match["token"].encode(), token):
            return None
        path = unquote(match["path"])
        # Viewers need no hidden names, and .zblocks has the job's config.
        return None if _ENCODED.search(match["path"]) or "/." in path else path


class _Application:
    """The application behind the gate: the objects of the volume, and the client."""

    def __init__(self, server: VolumeServer, store: Store, say: Say) -> None:
        self._server, self._store, self._say, self._told = server, store, say, 0

    def build(self, client: Path | None) -> Starlette:
        """Return the ASGI application."""
        routes: list[BaseRoute] = []
        if client:
            files = StaticFiles(directory=client, html=True)
            routes += [Route(EVENTS, _pulse), Mount(CLIENT, files)]
        cors = Middleware(
            CORSMiddleware,
            allow_origins=(HOSTED, *(f"http://{host}" for host in self._server.hosts)),
            allow_methods=("GET", "HEAD"),
            allow_headers=("Range", "If-Range"),
            allow_private_network=True,
            expose_headers=EXPOSED_HEADERS,
        )
        app = Starlette(
            routes=[*routes, Route("/{name}/{key:path}", self._object)],
            middleware=[cors],
            exception_handlers={ZblocksError: self._fail, Exception: self._fail},
        )
        app.router.redirect_slashes = False
        return app

    def _object(self, request: Request) -> Response:
        """Return an object; in a thread, since stores block."""
        name, key = request.path_params["name"], request.path_params["key"]
        if name != self._server.name or "" in key.split("/"):
            return Response(status_code=404)
        try:
            return object_response(self._store, key, request)
        except FileNotFoundError:
            return Response(status_code=404)

    async def _fail(self, _request: Request, error: Exception) -> Response:
        """Tell the user of an error, the first few times."""
        known = isinstance(error, ZblocksError)
        self._told += 1
        if self._told <= TOLD:
            self._say(str(error) if known else f"{type(error).__name__}: {error}")
        if self._told == TOLD:
            self._say("further problems are not shown")
        status = 503 if isinstance(error, StorageError) else 403 if known else 500
        return Response(status_code=status)


async def _pulse(_request: Request) -> Response:
    """Keep the stream of events open: without it the client reports a lost connection."""

    async def beats() -> AsyncIterator[bytes]:
        while True:
            yield b":\n\n"
            await asyncio.sleep(PULSE_SECONDS)

    return StreamingResponse(beats(), media_type="text/event-stream")


def client_folder() -> Path:
    """Return the folder of the client that PyPI's `neuroglancer` bundles.

    Raises:
        InvalidConfig: it isn't installed.
    """
    spec = find_spec("neuroglancer")  # found, not imported: only its files are wanted
    for folder in (spec and spec.submodule_search_locations) or ():
        client = Path(folder) / "static" / "client"
        if (client / "index.html").is_file():
            return client
    msg = "--offline needs the client in the Python package neuroglancer: pip install neuroglancer"
    raise InvalidConfig(msg)

"""A volume on the loopback, for the one browser that knows the token in its url.

Read-only, one prefix only, whatever its store: a folder, with `.gz` and `.br` files under the names
that viewers ask for, or a bucket that only the user's keys open. It can serve a Neuroglancer, too.
"""

from __future__ import annotations

import hmac
import re
import secrets
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from socketserver import TCPServer
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from zblocks.errors import InvalidConfig, StorageError, ZblocksError
from zblocks.neuroglancer import HOSTED
from zblocks.storage import Store
from zblocks.view.responses import Answer, Wish, client_answer, object_answer, parse_range

Say = Callable[[str], None]

HOST = "127.0.0.1"
CLIENT = "v/client"
"""Where the client is: the one that PyPI's `neuroglancer` bundles looks for `/v/` in its url, and
beside that for a stream of events from its own Python server."""
EVENTS = "events/client"
IDLE_SECONDS = 60
"""After which a connection that asks nothing is closed."""
PULSE_SECONDS = 10
"""Between two signs of life on the stream of events."""
TOLD = 5
"""Problems that are told; the viewer asks for thousands of chunks."""
EXPOSED = "Accept-Ranges, Content-Encoding, Content-Length, Content-Range, ETag"

_ENCODED = re.compile(r"%(2f|5c|00)", re.IGNORECASE)


class VolumeServer(ThreadingHTTPServer):
    """Serves one store, and perhaps a client, under a token."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, store: Store, client: Path | None, port: int, say: Say) -> None:
        """Bind the loopback.

        Args:
            store: the volume.
            client: folder of a Neuroglancer to serve, too.
            port: 0: any that is free.
            say: told what goes wrong.

        Raises:
            InvalidConfig: the port is taken.
        """
        self.store, self.client, self.stopping = store, client, threading.Event()
        self._say, self._told = say, 0
        self.token = secrets.token_urlsafe(24)
        name = unquote(store.url).rstrip("/").rsplit("/", 1)[-1]
        self.name = "volume" if name in ("", "v", "events") or name.startswith(".") else name
        """The volume's in the url, which the viewer shows as the layer's."""
        self._root = Path(unquote(urlsplit(store.url).path)).resolve() if store.local else None
        try:
            super().__init__((HOST, port), Handler)
        except OSError as error:
            msg = f"port {port} can't be listened at ({error.strerror}); choose another --port"
            raise InvalidConfig(msg) from error

    def server_bind(self) -> None:
        """Bind without asking a name server who the loopback is."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = HOST, self.server_address[1]

    @property
    def address(self) -> str:
        """`http://127.0.0.1:PORT/TOKEN`."""
        return f"http://{HOST}:{self.server_port}/{self.token}"

    @property
    def source(self) -> str:
        """The volume's url."""
        return f"{self.address}/{quote(self.name)}"

    @property
    def viewer(self) -> str:
        """The client's url: the hosted one, if none is served."""
        return f"{self.address}/{CLIENT}" if self.client else HOSTED

    def tell(self, problem: str) -> None:
        """Say what went wrong, the first few times."""
        self._told += 1
        if self._told <= TOLD:
            self._say(problem)
        if self._told == TOLD:
            self._say("what goes wrong from here on isn't told")

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002 - the base's
        """Say what a handler stumbled over; a browser that hangs up is none of it."""
        error = sys.exc_info()[1]
        if not isinstance(error, ConnectionError | TimeoutError):
            self.tell(f"{type(error).__name__}: {error}")

    def contains(self, key: str) -> bool:
        """Tell whether a key is of this prefix, links in a folder followed."""
        return self._root is None or (self._root / key).resolve().is_relative_to(self._root)


class Handler(BaseHTTPRequestHandler):
    """One connection of the browser."""

    server: VolumeServer
    protocol_version = "HTTP/1.1"
    server_version = "zblocks"
    sys_version = ""
    timeout = IDLE_SECONDS

    def do_GET(self) -> None:
        """Answer with an object, a file of the client, or the stream of events."""
        path = self._path()
        if path == EVENTS and self.server.client:
            self._pulse()
            return
        span = parse_range(self.headers.get("Range", ""))
        self._send(self._answer(path, Wish(True, span, self.headers.get("If-Range", ""))))

    def do_HEAD(self) -> None:
        """Answer with the headers that GET would have."""
        self._send(self._answer(self._path(), Wish(body=False)))

    def do_OPTIONS(self) -> None:
        """Answer a preflight."""
        if self._path() is None:
            self._send(Answer(HTTPStatus.NOT_FOUND))
            return
        allowed = [
            ("Access-Control-Allow-Methods", "GET, HEAD"),
            ("Access-Control-Allow-Headers", "Range, If-Range"),
            ("Access-Control-Max-Age", "600"),
        ]
        if self._origin() and self.headers.get("Access-Control-Request-Private-Network"):
            allowed.append(("Access-Control-Allow-Private-Network", "true"))
        self._send(Answer(HTTPStatus.NO_CONTENT, headers=tuple(allowed)))

    def _path(self) -> str | None:
        """Return what is asked for below the token; None for what nobody may ask.

        The Host is checked because a page elsewhere can have its own name resolve to the loopback.
        """
        path = self.path.partition("?")[0]
        if self.headers.get("Host") not in self._hosts() or not path.startswith("/"):
            return None
        token, _, rest = path[1:].partition("/")
        if not hmac.compare_digest(token.encode(), self.server.token.encode()):
            return None
        if _ENCODED.search(rest) or "\\" in rest:
            return None
        parts = unquote(rest).split("/")
        # Hidden names, too: viewers need none, and .zblocks has the job's config.
        return None if any(p.startswith(".") for p in parts) else "/".join(parts)

    def _hosts(self) -> set[str]:
        """Return the names of this server."""
        return {f"{name}:{self.server.server_port}" for name in (HOST, "localhost")}

    def _origin(self) -> str:
        """Return the page that asks, if it is one that may."""
        origin = self.headers.get("Origin", "")
        return origin if origin in {HOSTED, *(f"http://{host}" for host in self._hosts())} else ""

    def _answer(self, path: str | None, wish: Wish) -> Answer:
        """Return the answer for a path."""
        name, _, key = (path or "").partition("/")
        if path and path.startswith(f"{CLIENT}/") and self.server.client:
            return client_answer(self.server.client, path[len(CLIENT) + 1 :] or "index.html")
        if name != self.server.name or "" in key.split("/"):
            return Answer(HTTPStatus.NOT_FOUND)
        if not self.server.contains(key):
            self.server.tell(f"{self.server.store.url}/{key}: a link leads out of the folder")
            return Answer(HTTPStatus.FORBIDDEN)
        try:
            return object_answer(self.server.store, key, wish)
        except FileNotFoundError:
            return Answer(HTTPStatus.NOT_FOUND)
        except ZblocksError as error:
            self.server.tell(str(error))
            failed = isinstance(error, StorageError)
            return Answer(HTTPStatus.SERVICE_UNAVAILABLE if failed else HTTPStatus.FORBIDDEN)

    def _send(self, answer: Answer) -> None:
        """Send an answer."""
        self.send_response(answer.status)
        if answer.status != HTTPStatus.NO_CONTENT:
            self.send_header("Content-Length", str(answer.length or len(answer.body)))
        for name, value in answer.headers:
            self.send_header(name, value)
        self._send_rules()
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(answer.body)

    def _send_rules(self) -> None:
        """Send the headers that say who may read, and that nothing be kept."""
        if origin := self._origin():
            self.send_header("Access-Control-Allow-Origin", origin)
            self.send_header("Access-Control-Expose-Headers", EXPOSED)
        self.send_header("Vary", "Origin")
        self.send_header("Cache-Control", "no-store")
        self.send_header("Cross-Origin-Resource-Policy", "same-origin")
        self.send_header("Referrer-Policy", "no-referrer")
        self.send_header("X-Content-Type-Options", "nosniff")

    def _pulse(self) -> None:
        """Keep the stream of events open: without it the client says that it is disconnected."""
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self._send_rules()
        self.end_headers()
        with suppress(OSError):
            while not self.server.stopping.is_set():
                self.wfile.write(b":\n\n")
                self.server.stopping.wait(PULSE_SECONDS)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's name
        """Say nothing of single requests."""


@contextmanager
def serve(
    store: Store, client: Path | None = None, port: int = 0, say: Say = print
) -> Iterator[VolumeServer]:
    """Serve a volume from another thread until the block ends.

    Raises:
        InvalidConfig: the port is taken.
    """
    server = VolumeServer(store, client, port, say)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.1})
    thread.start()
    try:
        yield server
    finally:
        server.stopping.set()
        server.shutdown()
        thread.join()
        server.server_close()

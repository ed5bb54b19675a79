"""Serves the page of a sweep while it runs, to this machine unless another address is named. It only reads.

In: the folder of a sweep. Out: `/`, the page of the finished runs, and `/live.json`, the state of the others.
"""

import errno
import ipaddress
import json
import socket
import threading
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

from basis.files import file_state
from basis.text import printable, short
from capacity.report.page.data import page_data
from capacity.report.page.document import page, policy
from capacity.report.page.live import Watcher
from capacity.report.page.people import Asked

LOOPBACK, PORT = "127.0.0.1", 8765
_WAIT_SECONDS = 30.0
"""A client that sends nothing for this long is left."""


class Pages:
    """What the server shows of a folder; the page is made again when a run has ended."""

    def __init__(self, out: Path, asked: Asked) -> None:
        self._out, self._asked = out, asked
        self._watcher = Watcher(out)
        self._lock = threading.Lock()
        self._made: tuple[Any, bytes] | None = None

    def page(self) -> bytes:
        """The page as HTML."""
        with self._lock:
            state = [file_state(path) for path in sorted(self._out.glob("*/result.json"))]
            if self._made is None or self._made[0] != state:
                data = page_data([self._out], self._asked, on_bad=lambda line: None)
                self._made = state, page({**data, "finished": len(state)}, live=True).encode()
            return self._made[1]

    def live(self) -> bytes:
        """The state of the sweep as JSON."""
        with self._lock:
            return json.dumps(self._watcher.state(), allow_nan=False).encode()


def make_server(out: Path, host: str, port: int, asked: Asked) -> ThreadingHTTPServer:
    """A server that is bound to an address. Raises ValueError for an address that cannot be."""
    pages = Pages(out, asked)

    class Handler(_Handler):
        routes: ClassVar = {
            "/": ("text/html; charset=utf-8", pages.page),
            "/live.json": ("application/json", pages.live),
        }
        own_host = host

    try:
        return _Server((host, port), Handler)
    except (OSError, OverflowError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        elsewhere = isinstance(error, OSError) and error.errno == errno.EADDRNOTAVAIL
        name = "host" if elsewhere or isinstance(error, socket.gaierror | UnicodeError) else "port"
        value = host if name == "host" else port
        must = "an address of this machine" if name == "host" else f"a free port of {host}, from 0 to 65535"
        raise ValueError(f"{name}: {value} is not allowed ({printable(reason)}); must be {must}") from None


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, address: tuple[str, int], handler: type[BaseHTTPRequestHandler]) -> None:
        if ":" in address[0]:
            self.address_family = socket.AF_INET6
        super().__init__(address, handler)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is no news."""


class _Handler(BaseHTTPRequestHandler):
    """Answers GET for the routes, and nothing else."""

    routes: ClassVar[dict[str, tuple[str, Callable[[], bytes]]]] = {}
    own_host: ClassVar[str] = LOOPBACK
    server_version, sys_version = "capacity", ""
    timeout = _WAIT_SECONDS

    def do_GET(self) -> None:
        """Answer with a page, or a status."""
        if not self._is_named_right():
            self._refuse(HTTPStatus.FORBIDDEN, "This server answers by its own address alone.")
            return
        found = self.routes.get(self.path.partition("?")[0])
        if found is None:
            self._refuse(HTTPStatus.NOT_FOUND, "There is / and /live.json.")
            return
        kind, content = found
        try:
            self._answer(HTTPStatus.OK, kind, content())
        except (ValueError, OSError) as error:  # the folder was moved, or a client is gone
            if not isinstance(error, ConnectionError):
                self._refuse(HTTPStatus.SERVICE_UNAVAILABLE, short(printable(error)))

    def log_message(self, format: str, *args: Any) -> None:
        """Print nothing for each request."""

    def _is_named_right(self) -> bool:
        """Whether the address is a number or a name of this machine: no other site's name that was turned on us."""
        host = (self.headers.get("Host") or "").strip()
        name = host.partition("]")[0][1:] if host.startswith("[") else host.partition(":")[0]
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return name.lower() in {"localhost", self.own_host.lower(), socket.gethostname().lower()}
        return True

    def _refuse(self, status: HTTPStatus, text: str) -> None:
        self._answer(status, "text/plain; charset=utf-8", text.encode())

    def _answer(self, status: HTTPStatus, kind: str, content: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Cache-Control", "no-store")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Referrer-Policy", "no-referrer")
        self.send_header("Cross-Origin-Resource-Policy", "same-origin")
        if kind.startswith("text/html"):
            self.send_header("Content-Security-Policy", f"{policy(live=True)}; frame-ancestors 'none'")
        self.end_headers()
        self.wfile.write(content)

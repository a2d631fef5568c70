"""The web server of the page: read-only unless a token is set, on this machine alone unless told otherwise."""

from __future__ import annotations

import asyncio
import hmac
import importlib.resources
import ipaddress
import json
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

from aiohttp import WSMsgType, web

from astra.core.config import require
from astra.core.errors import AstraError, BadInputError
from astra.dash.board import Board

MAX_BODY = 4096
MIN_TOKEN = 8
MAX_WATCHERS = 16
WRONG_TOKEN_S = 0.5
LEFT = (WSMsgType.CLOSE, WSMsgType.CLOSING, WSMsgType.CLOSED, WSMsgType.ERROR)
OWN = "'self' 'unsafe-inline'"
HEADERS = {
    "Content-Security-Policy": f"default-src 'self'; script-src {OWN}; style-src {OWN}; img-src 'self' blob: data:; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}  # fmt: skip
Command = Callable[[str, str], str]  # what is to be done and its text → the answer; raises BadInputError


@dataclass(frozen=True, slots=True)
class ServerConfig:
    """Where the page is served and who may command."""

    host: str = field(default="127.0.0.1", metadata={"help": "address to listen on; 0.0.0.0 shows the page to the whole network"})
    port: int = field(default=8642, metadata={"help": "port; 0 takes a free one"})
    rate_hz: float = field(default=5.0, metadata={"help": "updates per second sent to each browser [Hz]"})
    hosts: tuple[str, ...] = field(default=(), metadata={"help": "further names by which browsers may call this machine, such as robot.local"})

    def __post_init__(self) -> None:
        require(0 <= self.port <= 65535, "port", self.port, "0 … 65535")
        require(0.1 <= self.rate_hz <= 30.0, "rate_hz", self.rate_hz, "0.1 … 30")
        try:
            ipaddress.ip_address(self.host)
        except ValueError:
            require(self.host == "localhost", "host", self.host, "an IP address or localhost")


class DashServer:
    """A context manager: the page of `board`, served from a thread of its own.

    Args:
        board: what is shown.
        command: called from the server's thread for each command of someone who knows the token.
        config: address and port.
        token: what a command must bring along; without one the page only shows. From the environment, never from a file or a parameter.

    Raises:
        BadInputError: a token of fewer than 8 characters.
        AstraError: on entering, if the port is taken.
    """

    def __init__(self, board: Board, command: Command, config: ServerConfig | None = None, token: str = "") -> None:
        if 0 < len(token) < MIN_TOKEN:
            raise BadInputError(f"the token has {len(token)} characters: at least {MIN_TOKEN} are needed")
        self._token = token
        self.config = config or ServerConfig()
        self.port = self.config.port
        self._board, self._command = board, command
        self._watchers: set[web.WebSocketResponse] = set()
        self._loop = asyncio.new_event_loop()
        self._started: threading.Event = threading.Event()
        self._failure: OSError | None = None
        self._thread = threading.Thread(target=self._serve, name="astra-dash", daemon=True)

    def __enter__(self) -> DashServer:
        self._thread.start()
        self._started.wait()
        if self._failure is not None:
            raise AstraError(f"cannot serve on {self.config.host}:{self.config.port}: {self._failure.strerror or self._failure}")
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    @property
    def url(self) -> str:
        """Where the page is."""
        host = "127.0.0.1" if self.config.host == "0.0.0.0" else self.config.host
        return f"http://[{host}]:{self.port}/" if ":" in host else f"http://{host}:{self.port}/"

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        runner = web.AppRunner(self._app(), access_log=None, shutdown_timeout=1.0)
        try:
            self._loop.run_until_complete(runner.setup())
            self._loop.run_until_complete(web.TCPSite(runner, self.config.host, self.config.port).start())
            self.port = runner.addresses[0][1]
        except OSError as error:
            self._failure = error
        self._started.set()
        if self._failure is None:
            self._loop.run_forever()
        for watcher in set(self._watchers):
            self._loop.run_until_complete(watcher.close())
        self._loop.run_until_complete(runner.cleanup())
        self._loop.close()

    def _app(self) -> web.Application:
        app = web.Application(client_max_size=MAX_BODY, middlewares=[self._guard])
        app.add_routes([
            web.get("/", self._page), web.get("/state", self._state), web.get("/live", self._live),
            web.get("/picture/{name}", self._picture), web.post("/command", self._order),
        ])  # fmt: skip
        return app

    @web.middleware
    async def _guard(self, request: web.Request, handler: Any) -> web.StreamResponse:
        """Refuse foreign names for this host (DNS rebinding) and pages of other origins; add the safety headers."""
        if not self._is_me(request.host):
            raise web.HTTPForbidden(text="unknown host name; use the robot's address")
        origin = request.headers.get("Origin")
        if origin is not None and origin.split("//", 1)[-1] != request.host:
            raise web.HTTPForbidden(text="foreign origin")
        answer: web.StreamResponse = await handler(request)
        if not answer.prepared:
            answer.headers.update(HEADERS)
        return answer

    def _is_me(self, host: str) -> bool:
        name = host.rsplit(":", 1)[0].strip("[]") if not host.endswith("]") else host.strip("[]")
        if name == "localhost" or name in self.config.hosts:
            return True
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return True

    async def _page(self, request: web.Request) -> web.Response:
        text = importlib.resources.files("astra.dash").joinpath("page.html").read_text(encoding="utf-8")
        return web.Response(text=text, content_type="text/html")

    async def _state(self, request: web.Request) -> web.Response:
        return web.Response(text=self._board.since(0)[1], content_type="application/json")

    async def _picture(self, request: web.Request) -> web.Response:
        found = self._board.picture(request.match_info["name"])
        if found is None:
            raise web.HTTPNotFound(text="no such picture")
        return web.Response(body=found[0], content_type=found[1])

    async def _live(self, request: web.Request) -> web.WebSocketResponse:
        """Send what has changed, again and again, until the browser leaves."""
        if len(self._watchers) >= MAX_WATCHERS:
            raise web.HTTPServiceUnavailable(text=f"{MAX_WATCHERS} browsers are watching already")
        socket = web.WebSocketResponse(heartbeat=10.0, max_msg_size=MAX_BODY)
        await socket.prepare(request)
        self._watchers.add(socket)
        version = 0
        try:
            while not socket.closed:
                version, text = self._board.since(version)
                if len(text) > 2:
                    await socket.send_str(text)
                try:  # whatever the browser says, only its leaving is heard
                    if (await socket.receive(timeout=1.0 / self.config.rate_hz)).type in LEFT:
                        break
                except TimeoutError:
                    continue
        except ConnectionError:
            pass
        finally:
            self._watchers.discard(socket)
        return socket

    async def _order(self, request: web.Request) -> web.Response:
        if not self._token:
            raise web.HTTPForbidden(text="commands are off: start the page with ASTRA_DASH_TOKEN set")
        given = request.headers.get("Authorization", "").removeprefix("Bearer ")
        if not hmac.compare_digest(given.encode(), self._token.encode()):
            await asyncio.sleep(WRONG_TOKEN_S)  # guessing shall take long
            raise web.HTTPUnauthorized(text="wrong token")
        try:
            order = json.loads(await request.text())
            do, text = order["do"], order.get("text", "")
            if not isinstance(do, str) or not isinstance(text, str):
                raise TypeError
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise web.HTTPBadRequest(text='send {"do": "go" or "stop", "text": "..."}') from error
        try:
            return web.json_response({"answer": self._command(do, text)})
        except BadInputError as error:
            raise web.HTTPBadRequest(text=str(error)) from error

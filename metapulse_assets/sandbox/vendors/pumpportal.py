"""PumpPortal: launches, migrations and trades over a WebSocket, simulated or as recorded.

A recorded session goes on where it stopped when the last listener left, so that a lost connection loses no frame of it; the
vendor itself repeats nothing. Faults of requests strike frames here: ``cut`` ends the connection without a word.
"""

import asyncio
import json
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from metapulse_assets.sandbox.request_log import LoggedRequest
from metapulse_assets.sandbox.standin import Backstage, Vendor
from metapulse_assets.sandbox.synthetic.launches import frames_of_slot, slot_of

NAME: Final = "pumpportal"
PATH: Final = "/pumpportal/api/data"
_SESSIONS: Final = ("payloads", NAME)
_ACKNOWLEDGEMENTS: Final = {
    "subscribeNewToken": "Successfully subscribed to token creation events.",
    "subscribeMigration": "Subscribed to 'migration' events.",
    "subscribeTokenTrade": "Successfully subscribed to keys.",
    "unsubscribeTokenTrade": "Successfully unsubscribed from keys.",
    "unsubscribeNewToken": "Successfully unsubscribed from token creation events.",
    "unsubscribeMigration": "Unsubscribed from 'migration' events.",
}
_NEEDS_KEY: Final = (
    "'subscribeTokenTrade' and 'subscribeAccountTrade' methods are only available when connecting with an API key funded "
    "with at least 0.02 SOL."
)
_UNKNOWN: Final = "Invalid message, missing or unknown method."
_HTML: Final = "<html><body>502 Bad Gateway</body></html>"
_STEP_SECONDS: Final = 0.05
_SETTLE_SECONDS: Final = 0.1
# After a pause no more of the past is told than this; the vendor tells nothing of it.
_MOST_SLOTS: Final = 20


@dataclass
class _Listener:
    """What one connection has asked for."""

    has_key: bool
    launches: bool = False
    migrations: bool = False
    mints: set[str] = field(default_factory=set)
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    def wants(self, frame: object) -> bool:
        """Whether a frame is of a kind that was subscribed to."""
        if not isinstance(frame, dict):
            return False
        kind = frame.get("txType")
        if kind == "create":
            return self.launches
        if kind == "migrate":
            return self.migrations
        return kind in ("buy", "sell") and frame.get("mint") in self.mints

    def answer(self, text: str) -> dict[str, str]:
        """Take in a message of the client; returns what it is told."""
        try:
            message = json.loads(text)
            method, keys = message["method"], message.get("keys", [])
        except (ValueError, KeyError, TypeError, AttributeError):
            return {"errors": _UNKNOWN}
        if method not in _ACKNOWLEDGEMENTS:
            return {"errors": _UNKNOWN}
        begins = not method.startswith("un")
        if method.endswith("NewToken"):
            self.launches = begins
        elif method.endswith("Migration"):
            self.migrations = begins
        elif not self.has_key:
            return {"message": _NEEDS_KEY}
        elif begins:
            self.mints |= set(keys)
        else:
            self.mints -= set(keys)
        self.changed.set()
        return {"message": _ACKNOWLEDGEMENTS[method]}


class _Session:
    """Recorded frames, told once, in their order and with their pauses."""

    def __init__(self, folder: Path) -> None:
        self._frames = list(_recorded(folder))
        self._place = 0

    async def tell(self, backstage: Backstage, listener: _Listener, send: "_Sender") -> None:
        while self._place < len(self._frames):
            at, text = self._frames[self._place]
            before = self._frames[self._place - 1][0] if self._place else at
            await _pause(backstage, (at - before) / max(backstage.clock.speed, 1e-9))
            if backstage.stopping.is_set():
                return
            if listener.wants(_object(text)):
                await send.frame(text)
            self._place += 1
        await send.held_back()
        await _pause(backstage, float("inf"))


class _Sender:
    """Sends frames of one connection, with the faults that are switched on."""

    def __init__(self, backstage: Backstage, socket: WebSocket) -> None:
        self._backstage, self._socket = backstage, socket
        self._held: str | None = None

    async def frame(self, text: str) -> None:
        """Send a frame. Raises ``_CutError`` where the connection is to end without it."""
        fault = self._backstage.faults.draw_request()
        if fault == "cut":
            await self.held_back()
            raise _CutError
        if fault == "slow":
            await _pause(self._backstage, self._backstage.slow_seconds)
        elif fault == "out-of-order" and self._held is None:
            self._held = text
            return
        elif fault in ("cut-json", "html", "empty", "server-error"):
            # What should have come comes after it: the vendor's feed would be as good as lost otherwise.
            spoilt = {"cut-json": text[: len(text) // 2], "html": _HTML, "empty": ""}
            await self._socket.send_text(spoilt.get(fault, '{"errors":"Internal error"}'))
        await self._socket.send_text(text)
        if fault == "duplicate":
            await self._socket.send_text(text)
        await self.held_back()

    async def held_back(self) -> None:
        """Send what was kept to come later than its turn."""
        if self._held is not None:
            held, self._held = self._held, None
            await self._socket.send_text(held)


class _CutError(Exception):
    """The connection is to end here."""


def _sockets(backstage: Backstage) -> Sequence[BaseRoute]:
    folder = getattr(backstage.market, "data", None)
    recorded = Path(folder, *_SESSIONS) if folder else None
    session = _Session(recorded) if recorded and recorded.is_dir() else None

    async def serve(socket: WebSocket) -> None:
        entry = LoggedRequest(time.time(), NAME, NAME, "WS", PATH)
        backstage.log.add(entry)
        if backstage.faults.rates.get("rate-limit") == 1.0:
            entry.status = 429
            await socket.send_denial_response(PlainTextResponse("Too Many Requests", 429))
            return
        await socket.accept()
        entry.status = 101
        listener = _Listener(has_key=bool(socket.query_params.get("api-key")))
        telling = asyncio.create_task(_tell(backstage, session, listener, _Sender(backstage, socket)))
        asking = asyncio.create_task(_listen(socket, listener))
        done, _ = await asyncio.wait([telling, asking], return_when=asyncio.FIRST_COMPLETED)
        for task in (telling, asking):
            task.cancel()
        await asyncio.gather(telling, asking, return_exceptions=True)
        with suppress(RuntimeError, WebSocketDisconnect):
            if telling in done:
                await socket.close(1011 if isinstance(telling.exception(), _CutError) else 1001)

    return [WebSocketRoute(PATH, serve)]


async def _listen(socket: WebSocket, listener: _Listener) -> None:
    with suppress(WebSocketDisconnect):
        while True:
            text = await socket.receive_text()
            await socket.send_text(_compact(listener.answer(text)))


async def _tell(backstage: Backstage, session: _Session | None, listener: _Listener, send: _Sender) -> None:
    await listener.changed.wait()
    slot = slot_of(backstage.clock.now())
    # A client asks for one thing after the other, and what is told before it has asked for is gone for it.
    await _pause(backstage, _SETTLE_SECONDS)
    if session is not None:
        await session.tell(backstage, listener, send)
        return
    while not backstage.stopping.is_set():
        await _pause(backstage, _STEP_SECONDS)
        now = slot_of(backstage.clock.now())
        for told in range(max(slot, now - _MOST_SLOTS), now):
            for frame in frames_of_slot(backstage.market, told, listener.mints):
                if listener.wants(frame):
                    await send.frame(_compact(frame))
        slot = max(slot, now)


def _recorded(folder: Path) -> Iterator[tuple[float, str]]:
    """Frames of all sessions of a folder with their times; raises ValueError naming the file that cannot be read."""
    for path in sorted(folder.glob("*.jsonl")):
        try:
            lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
            yield from ((float(line["t_wall"]), str(line["raw"])) for line in lines)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{path}: not a readable session: {error!r}") from error


def _object(text: str) -> object:
    try:
        return json.loads(text)
    except ValueError:
        return None


async def _pause(backstage: Backstage, seconds: float) -> None:
    """Wait, but not longer than until the server is asked to stop."""
    end = time.monotonic() + seconds
    while (rest := end - time.monotonic()) > 0 and not backstage.stopping.is_set():
        await asyncio.sleep(min(rest, _STEP_SECONDS))


def _compact(value: object) -> str:
    return json.dumps(value, separators=(",", ":"))


def _refuse(status: int) -> Response:
    return PlainTextResponse({404: "Not Found", 429: "Too Many Requests", 500: "Internal Server Error"}[status], status)


def _spoil(item: object, fault: str) -> bool:
    # Items are those of HTTP answers, which this vendor has none of.
    return False


VENDOR: Final = Vendor(name=NAME, limits={NAME: 60}, endpoints=(), refuse=_refuse, spoil=_spoil, sockets=_sockets)

"""The service as a process: its ports, its server, its stop."""

import errno
import signal
import socket
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from metapulse_assets.platform.settings import Settings, variables_of
from metapulse_assets.service.access.callers import bracketed

if TYPE_CHECKING:
    from fastapi import FastAPI

# What requests that are under way get to end.
STOP_SECONDS = 5
KEEP_ALIVE_SECONDS = 65
BACKLOG = 2048
_PORT_FIELDS = ("port", "metrics_port", "health_port")
LARGEST_PORT = 65_535


class PortError(Exception):
    """A port cannot be listened on; the message names it and the setting that chose it."""


def chosen_ports(settings: Settings, port: int | None = None) -> dict[int, str]:
    """The ports to listen on, each with the name of what chose it. `port`: in the place of PORT.

    Raises `PortError` for one that is none.
    """
    ports: dict[int, str] = {}
    if port is not None:
        ports[port] = "--port"
    for field in _PORT_FIELDS:
        if field != "port" or port is None:
            ports.setdefault(getattr(settings, field), variables_of(field)[0])
    for number in settings.service_more_ports:
        ports.setdefault(number, variables_of("service_more_ports")[0])
    for number, name in ports.items():
        if not 1 <= number <= LARGEST_PORT:
            raise PortError(f"{name}: {number} is not a port (1 to {LARGEST_PORT})")
    return ports


def listen(host: str, ports: dict[int, str]) -> list[socket.socket]:
    """Sockets on these ports, all or none; raises `PortError`."""
    sockets: list[socket.socket] = []
    try:
        for port, name in ports.items():
            sockets.append(_listening(host, port, name))
    except PortError:
        close_all(sockets)
        raise
    return sockets


def close_all(sockets: Iterable[socket.socket]) -> None:
    """Close sockets."""
    for each in sockets:
        each.close()


def serve(app: "FastAPI", sockets: Sequence[socket.socket]) -> None:
    """Answer on these sockets until SIGINT or SIGTERM; what is under way is answered first."""
    import uvicorn

    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        server_header=False,
        # Nobody's word on where a request comes from is taken: the address decides who may ask without a token.
        proxy_headers=False,
        lifespan="on",
        ws="none",
        timeout_graceful_shutdown=STOP_SECONDS,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
    )
    # Uvicorn raises the signal that stopped it once more at its end; that is not to kill us.
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.signal(number, lambda *_: None) for number in numbers}
    try:
        uvicorn.Server(config).run(list(sockets))
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def base_url(host: str, port: int) -> str:
    """Where a program on this machine reaches the service."""
    return f"http://{bracketed({'0.0.0.0': '127.0.0.1', '::': '::1'}.get(host, host))}:{port}"  # noqa: S104 - read, not bound


def _listening(host: str, port: int, name: str) -> socket.socket:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        found = socket.socket(family, kind, protocol)
    except (OSError, UnicodeError) as error:
        raise PortError(f"METAPULSE_SERVICE_HOST: {host!r} is no address of this machine ({_reason(error)})") from None
    try:
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.bind(address)
        found.listen(BACKLOG)
        found.setblocking(False)
    except OSError as error:
        found.close()
        if error.errno == errno.EADDRINUSE:
            raise PortError(f"port {port} ({name}) is taken by another process; choose another: {name}=…") from None
        raise PortError(f"port {port} ({name}) on {host}: {_reason(error)}") from None
    return found


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or type(error).__name__

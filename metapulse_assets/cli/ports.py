"""The ports of a whole installation: which setting chose each, and whether all can be listened on."""

import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING

from metapulse_assets.cli.failures import CommandError

if TYPE_CHECKING:
    from metapulse_assets.platform.settings import Settings

LOCAL = "127.0.0.1"


@dataclass(frozen=True)
class Port:
    """A port of ours: where, which setting chose it, and what is there."""

    host: str
    number: int
    setting: str
    use: str


def webserver_port(settings: "Settings") -> Port:
    """Where Dagster's pages are."""
    return Port(LOCAL, settings.webserver_port, "METAPULSE_WEBSERVER_PORT", "Dagster's pages")


def all_ports(settings: "Settings") -> list[Port]:
    """Every port that `metapulse up` listens on; raises `CommandError` for one that is none."""
    from metapulse_assets.sandbox.on_demand import is_answering
    from metapulse_assets.service.serving import PortError, chosen_ports

    try:
        of_service = chosen_ports(settings)
    except PortError as error:
        raise CommandError(str(error)) from None
    ports = [webserver_port(settings)]
    # A sandbox that runs already is used.
    if settings.needs_sandbox and not is_answering(settings):
        ports.append(Port(LOCAL, settings.sandbox_port, "METAPULSE_SANDBOX_PORT", "the sandbox"))
    return [*ports, *(Port(settings.service_host, number, name, "the service") for number, name in of_service.items())]


def require_free(*ports: Port) -> None:
    """Raise `CommandError` naming the setting if two of these are the same or somebody listens on one."""
    chosen: dict[int, Port] = {}
    for port in ports:
        other = chosen.setdefault(port.number, port)
        if other is not port:
            raise CommandError(
                f"port {port.number} is wanted twice: {other.setting} for {other.use} and {port.setting} for {port.use}; "
                "choose another for one of them"
            )
    for port in ports:
        reason = taken(port)
        if reason is not None:
            raise CommandError(
                f"{port.host}:{port.number} cannot be listened on for {port.use} ({reason}): "
                f"stop the program that does, or choose another {port.setting}"
            )


def taken(port: Port) -> str | None:
    """Why a port cannot be listened on; None: it can."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            port.host, port.number, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        return error.strerror or type(error).__name__
    return None

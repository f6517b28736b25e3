"""The ports of a whole installation: each is named by its setting when it cannot be had."""

import socket
from collections.abc import Callable

import pytest

from metapulse_assets.cli.failures import CommandError
from metapulse_assets.cli.ports import LOCAL, Port, all_ports, require_free
from metapulse_assets.platform.settings import Settings

MakeSettings = Callable[..., Settings]


def test_every_port_is_named_by_what_chose_it(make_settings: MakeSettings) -> None:
    found = all_ports(make_settings(port=4001, service_more_ports="5000, 8000", sandbox_port=4899))
    assert [(port.setting, port.number) for port in found] == [
        ("METAPULSE_WEBSERVER_PORT", 3000),
        ("METAPULSE_SANDBOX_PORT", 4899),
        ("PORT", 4001),
        ("METRICS_PORT", 3002),
        ("HEALTH_PORT", 3003),
        ("METAPULSE_SERVICE_MORE_PORTS", 5000),
        ("METAPULSE_SERVICE_MORE_PORTS", 8000),
    ]
    # What asks no stand-in needs none.
    assert "METAPULSE_SANDBOX_PORT" not in {port.setting for port in all_ports(make_settings(mode="replay"))}


def test_two_of_ours_cannot_share_a_port(make_settings: MakeSettings) -> None:
    with pytest.raises(CommandError, match=r"port 4000 is wanted twice: METAPULSE_WEBSERVER_PORT .* and HEALTH_PORT"):
        require_free(*all_ports(make_settings(webserver_port=4000, health_port=4000)))
    with pytest.raises(CommandError, match="METAPULSE_SERVICE_MORE_PORTS: 0 is not a port"):
        all_ports(make_settings(service_more_ports="0"))


@pytest.mark.parametrize("host", [LOCAL, "0.0.0.0"])  # noqa: S104 - nothing listens there
def test_a_port_that_is_taken_is_named_with_its_setting(host: str) -> None:
    with socket.socket() as other:
        other.bind((LOCAL, 0))
        other.listen()
        port = Port(host, other.getsockname()[1], "METRICS_PORT", "the service")
        with pytest.raises(CommandError, match=rf"{port.number} cannot be listened on for the service .* another METRICS_PORT"):
            require_free(port)
    require_free(port)


def test_a_host_that_is_none_is_told() -> None:
    with pytest.raises(CommandError, match="cannot be listened on"):
        require_free(Port("192.0.2.1", 4000, "PORT", "the service"))

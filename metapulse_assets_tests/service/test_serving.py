"""The ports of the service."""

import socket

import pytest

from metapulse_assets.platform.settings import load_settings
from metapulse_assets.service.serving import PortError, base_url, chosen_ports, close_all, listen


def test_each_port_is_listened_on_once_and_knows_who_chose_it() -> None:
    settings = load_settings(port=3001, metrics_port=3002, health_port=3001, service_more_ports="5000,8000,3002")
    assert chosen_ports(settings) == {
        3001: "PORT",
        3002: "METRICS_PORT",
        5000: "METAPULSE_SERVICE_MORE_PORTS",
        8000: "METAPULSE_SERVICE_MORE_PORTS",
    }
    assert list(chosen_ports(settings, 9000)) == [9000, 3002, 3001, 5000, 8000]
    assert chosen_ports(settings, 9000)[9000] == "--port"


@pytest.mark.parametrize("port", [0, -1, 70_000])
def test_a_number_that_is_no_port_is_refused_by_name(port: int) -> None:
    with pytest.raises(PortError, match=rf"METAPULSE_SERVICE_MORE_PORTS: {port} is not a port"):
        chosen_ports(load_settings(service_more_ports=(port,)))


def test_a_taken_port_is_named_and_no_other_is_kept() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, socket.create_server(("127.0.0.1", 0)) as freed:
        free, busy = freed.getsockname()[1], taken.getsockname()[1]
        freed.close()
        with pytest.raises(PortError, match=rf"port {busy} \(HEALTH_PORT\) is taken.*HEALTH_PORT="):
            listen("127.0.0.1", {free: "PORT", busy: "HEALTH_PORT"})
        close_all(listen("127.0.0.1", {free: "PORT"}))


def test_a_host_that_is_none_is_named() -> None:
    for host in ("300.1.1.1", "no such host", "a" * 70):
        with pytest.raises(PortError, match="METAPULSE_SERVICE_HOST"):
            listen(host, {1: "PORT"})


def test_the_address_to_ask_is_one_that_can_be_asked() -> None:
    assert base_url("0.0.0.0", 1) == "http://127.0.0.1:1"  # noqa: S104
    assert base_url("::", 1) == base_url("::1", 1) == "http://[::1]:1"
    assert base_url("10.0.0.1", 3001) == "http://10.0.0.1:3001"

"""deploy/compose.yaml: its shape, its commands, its variables, its ports."""

import re
from typing import Any

import pytest

from metapulse_assets.platform.settings import load_settings
from metapulse_assets_tests.deploy.commands import trouble_with
from metapulse_assets_tests.deploy.delivered import DAGSTERS, DEPLOY, ROOT, SETTINGS, compose, interpolated, yaml

GIVEN = {"POSTGRES_PASSWORD": "postgres-password"}
SERVICES: dict[str, Any] = compose(GIVEN)["services"]
OURS = {name: service for name, service in SERVICES.items() if name != "postgres"}
STAYING = {name: service for name, service in OURS.items() if name != "migrate"}


def published(service: dict[str, Any]) -> list[tuple[str, int, int]]:
    """Address, port of the machine and port of the container."""
    found = (port.split(":") for port in service.get("ports", []))
    return [(address, int(outer), int(inner)) for address, outer, inner in found]


def test_it_has_every_process_and_one_of_those_that_must_be_alone() -> None:
    assert set(SERVICES) == {"postgres", "migrate", "code", "webserver", "daemon", "service", "worker", "stream"}
    replicas = {name: service.get("deploy", {}).get("replicas", 1) for name, service in SERVICES.items()}
    assert {name for name, count in replicas.items() if count != 1} == {"worker"}
    assert replicas["worker"] == 2
    programs = [" ".join(service.get("command", [])) for service in SERVICES.values()]
    assert sum("dagster-daemon run" in program for program in programs) == 1
    assert sum(program == "metapulse stream" for program in programs) == 1
    # A name of its own would keep a service from being there more than once.
    assert all("container_name" not in service for service in SERVICES.values())


@pytest.mark.parametrize("name", [*STAYING, "postgres"])
def test_what_stays_has_a_health_check_and_is_started_again(name: str) -> None:
    assert SERVICES[name]["healthcheck"]["test"][0] == "CMD"
    assert SERVICES[name]["restart"] == "unless-stopped"
    if name in STAYING:
        assert SERVICES[name]["depends_on"]["migrate"] == {"condition": "service_completed_successfully"}


def test_the_order_of_starting() -> None:
    assert SERVICES["migrate"]["restart"] == "no"
    assert SERVICES["migrate"]["depends_on"] == {"postgres": {"condition": "service_healthy"}}
    for name in ("webserver", "daemon"):
        assert SERVICES[name]["depends_on"]["code"] == {"condition": "service_healthy"}


@pytest.mark.parametrize("name", OURS)
def test_its_command_and_its_health_check_are_known(name: str) -> None:
    service = SERVICES[name]

    assert trouble_with(service["command"]) is None
    if "healthcheck" in service:
        assert trouble_with(service["healthcheck"]["test"][1:]) is None


def test_unknown_commands_would_be_found() -> None:
    assert trouble_with(["metapulse", "nonsense"]) == "metapulse nonsense: no such command"
    assert trouble_with(["metapulse", "db", "upgrade", "--hard"]) == "metapulse db upgrade: no such option --hard"
    assert trouble_with(["sh", "-c", "metapulse db upgrade && dagster nonsense"]) == "dagster nonsense: no such command"
    assert trouble_with(["dagster-dämon", "run"]) == "dagster-dämon: no such program"
    assert trouble_with(["python", "deploy/nothing.py"]) == "deploy/nothing.py: no such file"


@pytest.mark.parametrize("name", OURS)
def test_its_variables_are_settings_or_dagsters(name: str) -> None:
    assert set(OURS[name]["environment"]) <= SETTINGS | DAGSTERS
    assert OURS[name]["env_file"] == [".env"]


def test_variables_of_the_file_itself_are_known() -> None:
    named = set(re.findall(r"\$\{(\w+)", (DEPLOY / "compose.yaml").read_text()))

    assert named - SETTINGS == {"POSTGRES_PASSWORD", "METAPULSE_IMAGE"}


def test_the_environment_is_one_that_the_settings_accept(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in SERVICES["service"]["environment"].items():
        monkeypatch.setenv(name, value)
    settings = load_settings()

    assert settings.environment == "production"
    assert settings.enable_scheduled_jobs
    assert settings.database_url is not None
    assert settings.database_url.get_secret_value() == "postgresql://metapulse:postgres-password@postgres:5432/metapulse"


def test_without_a_password_compose_refuses() -> None:
    with pytest.raises(KeyError, match=r"POSTGRES_PASSWORD is missing in deploy/\.env"):
        compose({})


def test_a_database_elsewhere() -> None:
    elsewhere = compose({**GIVEN, "DATABASE_URL": "postgresql://elsewhere/metapulse"})["services"]["code"]

    assert elsewhere["environment"]["DATABASE_URL"] == "postgresql://elsewhere/metapulse"


def test_ports_are_the_defaults_and_this_machines_only() -> None:
    settings = load_settings()
    ports = {name: published(service) for name, service in SERVICES.items() if published(service)}

    assert set(ports) == {"webserver", "service"}
    assert {address for found in ports.values() for address, _, _ in found} == {"127.0.0.1"}
    assert ports["webserver"] == [("127.0.0.1", settings.webserver_port, 3000)]
    assert [inner for _, _, inner in ports["service"]] == [settings.port, settings.metrics_port, settings.health_port]
    moved = compose({**GIVEN, "PORT": "5000"})["services"]["service"]
    assert published(moved)[0] == ("127.0.0.1", 5000, 5000)


def test_who_asks_whom_where() -> None:
    environment = SERVICES["service"]["environment"]
    web, code = SERVICES["webserver"]["command"], SERVICES["code"]["command"]

    assert environment["METAPULSE_DAGSTER_URL"] == f"http://webserver:{web[web.index('-p') + 1]}"
    assert (environment["DAGSTER_GRPC_HOST"], environment["DAGSTER_GRPC_PORT"]) == ("code", code[code.index("-p") + 1])
    server = yaml.safe_load((DEPLOY / "workspace.yaml").read_text())["load_from"][0]["grpc_server"]
    assert server["host"] == {"env": "DAGSTER_GRPC_HOST"}
    assert server["port"] == {"env": "DAGSTER_GRPC_PORT"}
    local = yaml.safe_load((ROOT / "workspace.yaml").read_text())["load_from"][0]["python_module"]
    assert server["location_name"] == local["location_name"] == code[code.index("--location-name") + 1]
    assert local["module_name"] == code[code.index("-m") + 1]


def test_it_gets_as_long_to_stop_as_its_jobs_may_take() -> None:
    most = max(meta.le for meta in type(load_settings()).model_fields["worker_stop_seconds"].metadata if hasattr(meta, "le"))

    assert int(SERVICES["worker"]["stop_grace_period"].removesuffix("s")) > most + 3


def test_containers_may_do_little() -> None:
    for name, service in OURS.items():
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert service["volumes"] == ["home:/var/lib/metapulse"], name
    # PostgreSQL 18's image refuses a volume at the folder of earlier ones.
    assert SERVICES["postgres"]["volumes"] == ["database:/var/lib/postgresql"]


def test_the_example_of_its_env_names_settings_and_holds_no_secret() -> None:
    lines = re.findall(r"^#?([A-Z][A-Z0-9_]+)=(.*)$", (DEPLOY / "env.example").read_text(), re.MULTILINE)

    assert {name for name, _ in lines} - SETTINGS == {"POSTGRES_PASSWORD"}
    assert {value for name, value in lines if re.search(r"KEY|TOKEN|PASSWORD", name)} == {""}


def test_variables_are_filled_in_as_compose_does() -> None:
    assert interpolated("${A:-x${B:-y}z}", {}) == "xyz"
    assert interpolated("${A:-x${B:-y}z}", {"B": "2"}) == "x2z"
    assert interpolated("${A:-1}:${A:-1}", {"A": ""}) == "1:1"

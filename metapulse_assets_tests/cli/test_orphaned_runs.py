"""Runs whose process is gone: marked as failed at the next start, so that no tick waits for them."""

import json
import socket
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.storage.tags import GRPC_INFO_TAG

from metapulse_assets.cli.dagster_services import end_orphaned_runs
from metapulse_assets.platform.job_runs import still_running


@dg.op
def step() -> None:
    """Nothing."""


@dg.job
def tick() -> None:
    """A job."""
    step()


@pytest.fixture
def instance(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.local_temp(str(tmp_path), overrides={"telemetry": {"enabled": False}}) as instance:
        monkeypatch.setattr(dg.DagsterInstance, "get", lambda: instance)
        yield instance


def started(instance: dg.DagsterInstance, **server: str) -> str:
    tags = {GRPC_INFO_TAG: json.dumps({"host": "localhost", **server})} if server else {}
    return instance.create_run_for_job(tick, status=dg.DagsterRunStatus.STARTED, tags=tags).run_id


def test_a_run_whose_server_is_gone_fails_and_no_tick_waits_for_it(
    instance: dg.DagsterInstance, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    gone = started(instance, socket=str(tmp_path / "gone"))
    assert still_running(instance, "tick") == gone
    end_orphaned_runs()
    run = instance.get_run_by_id(gone)
    assert run is not None
    assert run.status is dg.DagsterRunStatus.FAILURE
    assert still_running(instance, "tick") is None
    assert f"run {gone} of tick: its process is gone" in capsys.readouterr().err


def test_runs_whose_process_lives_or_is_not_known_are_left(instance: dg.DagsterInstance, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as server:
        server.bind(str(tmp_path / "alive"))
        server.listen()
        runs = {started(instance, socket=str(tmp_path / "alive")), started(instance, port="4000"), started(instance)}
        end_orphaned_runs()
    found = instance.get_runs(dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED]))
    assert {run.run_id for run in found} == runs

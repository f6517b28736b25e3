"""Whether Dagster gets on: its daemon's signs of life, its webserver, the code that it has loaded."""

import time
from datetime import UTC, datetime, timedelta

import httpx2

from metapulse_assets.operations.health import HealthRow
from metapulse_assets.platform.settings import Settings
from metapulse_assets.platform.trust import tls_context
from metapulse_assets.platform.vendor_settings import is_loopback
from metapulse_assets.service import probes
from metapulse_assets.service.probes import connected, dagster_address, dagster_page, fetch, row_of

# The daemon gives a sign of life every 30 s; its end is to be known within a minute, with the seconds of the page's cache.
DAEMON_SILENT_SECONDS = 50.0
# One part of the daemon that is silent for so long hangs, though the others go on.
DAEMON_PART_SECONDS = 300.0
# A part that was not heard of in a day is none that this installation runs.
DAEMON_PART_SINCE = timedelta(days=1)
CODE_CURE = "see logs/webserver.log, and `dagster definitions validate`"
_CODE = """{ workspaceOrError { __typename ... on Workspace { locationEntries {
    name loadStatus locationOrLoadError { __typename } } } } }"""


async def daemon(settings: Settings, now: datetime) -> list[HealthRow]:
    """The newest sign of life of each part of Dagster's daemon, from its own tables: the webserver need not be up."""
    async with connected(dagster_address(settings)) as connection:
        found = await fetch(connection, "SELECT daemon_type, timestamp FROM daemon_heartbeats ORDER BY daemon_type")
    cure = "start it (`metapulse up`), its end is told in logs/daemon.log"
    ages = {name: (now - heard.replace(tzinfo=UTC)).total_seconds() for name, heard in found}
    if not ages:
        return [row_of("daemon", "heartbeat_age", None, "s", "fail", f"Dagster's daemon never gave a sign of life: {cure}")]
    newest = max(min(ages.values()), 0.0)
    dead = f"Dagster's daemon gave no sign of life for {newest:.0f} s, nothing is collected: {cure}"
    rows = [row_of("daemon", "heartbeat_age", newest, "s", "fail" if newest > DAEMON_SILENT_SECONDS else "ok", dead)]
    for name, age in ages.items():
        if age <= DAEMON_PART_SINCE.total_seconds():
            hangs = newest <= DAEMON_SILENT_SECONDS and age > DAEMON_PART_SECONDS
            reason = f"{name} gave no sign of life for {age:.0f} s while others do: it hangs; restart Dagster's daemon"
            rows.append(row_of("daemon", f"{name}.heartbeat_age", max(age, 0.0), "s", "warn" if hangs else "ok", reason))
    return rows


async def webserver(settings: Settings) -> list[HealthRow]:
    """Whether Dagster's pages are there."""
    url = dagster_page(settings)
    begun = time.perf_counter()
    async with _http(url) as client:
        answer = await client.get(f"{url}/server_info")
    if "dagster_webserver_version" not in answer.json():
        raise ValueError("not Dagster's webserver")
    return [row_of("webserver", "reachable", time.perf_counter() - begun, "s")]


async def code_server(settings: Settings) -> list[HealthRow]:
    """Whether the webserver has the code of each location loaded."""
    url = dagster_page(settings)
    async with _http(url) as client:
        answer = await client.post(f"{url}/graphql", json={"query": _CODE})
    locations = answer.json()["data"]["workspaceOrError"]["locationEntries"]
    loaded = [one["name"] for one in locations if (one["locationOrLoadError"] or {}).get("__typename") == "RepositoryLocation"]
    lacking = sorted({one["name"] for one in locations} - set(loaded))
    if lacking or not locations:
        missing = f"the code of {', '.join(lacking)} is not loaded" if lacking else "there is no code location"
        return [row_of("code_server", "loaded", float(len(loaded)), "count", "fail", f"{missing}: {CODE_CURE}")]
    return [row_of("code_server", "loaded", float(len(loaded)), "count")]


def _http(url: str) -> httpx2.AsyncClient:
    # A proxy of the environment would take what is meant for this machine out of it.
    return httpx2.AsyncClient(timeout=probes.PROBE_SECONDS, verify=tls_context(), trust_env=not is_loopback(url))

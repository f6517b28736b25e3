"""Starting one of Dagster's jobs now, through its webserver. For people who develop; what runs by itself has schedules."""

import asyncio
from dataclasses import dataclass
from datetime import date
from typing import Any
from urllib.parse import urlsplit

import httpx2

from metapulse_assets.platform.asset_policy import BACKFILL_TAG
from metapulse_assets.platform.trust import tls_context
from metapulse_assets.platform.vendor_settings import is_loopback

# What a question may take. The webserver loads the code of its locations before it answers the first one.
QUESTION_SECONDS = 20.0
# What each page starts (`automation.py`).
JOBS = {
    "token-data": "market_tick",
    "social-data": "social_tick",
    "ai-analysis": "ai_tick",
    "signals": "signals_tick",
    "cleanup": "cleanup",
}
# Their assets are not partitioned.
WITHOUT_PARTITIONS = ("cleanup",)
LAUNCHED_BY = {"metapulse/launched_by": "service"}
PARTITION_TAG = "dagster/partition"
# As the jobs' own configuration in `automation.py`: without it Dagster's console format takes the place of ours.
RUN_CONFIG: dict[str, Any] = {"loggers": {"console": {"config": {}}}}


class LaunchError(Exception):
    """The job was not started. The message is for the caller and holds no internals."""


class DagsterAway(LaunchError):  # noqa: N818 - what is so is in the name
    """The webserver does not answer, or not as Dagster's does."""


class StillRunning(LaunchError):  # noqa: N818 - what is so is in the name
    """A run of the job has not ended."""

    def __init__(self, job: str, run_id: str, status: str) -> None:
        """`status`: of that run."""
        super().__init__(f"A run of {job} has not ended yet ({status}): {run_id}.")
        self.job, self.run_id, self.status = job, run_id, status


@dataclass(frozen=True)
class Launched:
    """A run that Dagster has accepted. `status`: queued, starting, …"""

    run_id: str
    job: str
    status: str


class Launcher:
    """Asks one webserver. Two who ask at once are served one after the other: the second finds the run of the first."""

    def __init__(self, page: str) -> None:
        """`page`: where the webserver is."""
        self._page = page
        self._one_at_a_time = asyncio.Lock()

    async def launch(self, name: str, today: date) -> Launched:
        """Start what the page of this name starts, for today's partition. Raises `LaunchError`."""
        async with self._one_at_a_time, self._client() as client:
            selector = await self._find(client, JOBS[name])
            job = selector["jobName"]
            running = await self._running(client, job)
            if running is not None:
                raise StillRunning(job, *running)
            return await self._start(client, selector, today)

    def run_page(self, run_id: str) -> str:
        """Where people see the run; without the user and password that the webserver's address may hold."""
        parts = urlsplit(self._page)
        return f"{parts._replace(netloc=parts.netloc.rpartition('@')[2]).geturl()}/runs/{run_id}"

    def _client(self) -> httpx2.AsyncClient:
        # A proxy of the environment would take what is meant for this machine out of it.
        return httpx2.AsyncClient(timeout=QUESTION_SECONDS, verify=tls_context(), trust_env=not is_loopback(self._page))

    async def _find(self, client: httpx2.AsyncClient, job: str) -> dict[str, str]:
        found = (await self._ask(client, _JOBS))["repositoriesOrError"]
        if found["__typename"] != "RepositoryConnection":
            raise DagsterAway("Dagster has not loaded its code; its pages have the reason.")
        places = {
            known["name"]: {
                "repositoryLocationName": repository["location"]["name"],
                "repositoryName": repository["name"],
                "jobName": known["name"],
            }
            for repository in found["nodes"]
            for known in repository["jobs"]
        }
        if job not in places:
            raise DagsterAway(f"Dagster knows no job {job}: its code is not loaded; its pages have the reason.")
        return places[job]

    async def _running(self, client: httpx2.AsyncClient, job: str) -> tuple[str, str] | None:
        """Id and status of a run of the job that has not ended. A part of a backfill is none: it does other days."""
        found = (await self._ask(client, _RUNNING, {"job": job}))["runsOrError"]
        if found["__typename"] != "Runs":
            raise DagsterAway("Dagster does not say which runs there are; its pages have the reason.")
        for run in found["results"]:
            if BACKFILL_TAG not in {tag["key"] for tag in run["tags"]}:
                return run["runId"], run["status"].lower()
        return None

    async def _start(self, client: httpx2.AsyncClient, selector: dict[str, str], today: date) -> Launched:
        job = selector["jobName"]
        tags = {**LAUNCHED_BY, **({} if job in WITHOUT_PARTITIONS else {PARTITION_TAG: today.isoformat()})}
        parameters = {
            "selector": selector,
            "runConfigData": RUN_CONFIG,
            "executionMetadata": {"tags": [{"key": key, "value": value} for key, value in tags.items()]},
        }
        answer = (await self._ask(client, _LAUNCH, {"parameters": parameters}))["launchRun"]
        if answer["__typename"] != "LaunchRunSuccess":
            raise LaunchError(f"Dagster did not start {job} ({answer['__typename']}); the webserver's log has the reason.")
        return Launched(answer["run"]["runId"], job, answer["run"]["status"].lower())

    async def _ask(self, client: httpx2.AsyncClient, query: str, variables: dict[str, Any] | None = None) -> dict[str, Any]:
        try:
            answer = await client.post(f"{self._page}/graphql", json={"query": query, "variables": variables or {}})
            answer.raise_for_status()
            data = answer.json()["data"]
        except httpx2.TimeoutException:
            raise DagsterAway(
                f"Dagster's webserver did not answer within {QUESTION_SECONDS:g} s; a run may have been queued all the same."
            ) from None
        except (httpx2.HTTPError, httpx2.InvalidURL):
            raise DagsterAway("Dagster's webserver does not answer: start it (`metapulse up`).") from None
        except (ValueError, LookupError, TypeError):
            data = None
        if not isinstance(data, dict):
            raise DagsterAway("What listens at Dagster's address does not answer as its webserver does.")
        return data


_JOBS = """query { repositoriesOrError { __typename ... on RepositoryConnection {
    nodes { name location { name } jobs { name } } } } }"""
_RUNNING = """query ($job: String!) { runsOrError(
    filter: {pipelineName: $job, statuses: [QUEUED, NOT_STARTED, STARTING, STARTED, CANCELING]}, limit: 50
) { __typename ... on Runs { results { runId status tags { key } } } } }"""
_LAUNCH = """mutation ($parameters: ExecutionParams!) { launchRun(executionParams: $parameters) {
    __typename ... on LaunchRunSuccess { run { runId status } } } }"""

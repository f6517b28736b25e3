"""Everything materialised once, for now, through Dagster and in this process."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from metapulse_assets.cli.terminal import say

if TYPE_CHECKING:
    import dagster as dg

JOB = "everything"


@dataclass(frozen=True)
class FailedStep:
    """What went wrong where, in one line."""

    step: str
    reason: str


def materialise_now() -> list[FailedStep]:
    """Run the job over all assets for today's partition; returns what failed, nothing if all went well.

    Raises `KeyboardInterrupt` for a run that was interrupted, which Dagster itself takes for a failure like any other.
    """
    say("Dagster: loading …")
    import dagster as dg

    from metapulse_assets.definitions import defs

    definitions = defs()
    with dg.DagsterInstance.get() as instance:
        say(f"Dagster: everything, for {datetime.now(UTC):%Y-%m-%d} (UTC)")
        result = definitions.resolve_job_def(JOB).execute_in_process(
            instance=instance, partition_key=f"{datetime.now(UTC):%Y-%m-%d}", raise_on_error=False
        )
    if result.success:
        return []
    if _was_interrupted(result):
        raise KeyboardInterrupt
    return list(failed_steps(result)) or [FailedStep(JOB, "the run failed")]


def failed_steps(result: "dg.ExecuteInProcessResult") -> Iterator[FailedStep]:
    """What failed in a run, and why."""
    failures = [event for event in result.all_events if event.is_step_failure]
    for event in failures:
        yield FailedStep(event.step_key or "?", _reason(event.step_failure_data))
    if not failures:
        for event in result.all_events:
            if event.is_job_failure:
                yield FailedStep(event.job_name, _reason(event.job_failure_data))


def _was_interrupted(result: "dg.ExecuteInProcessResult") -> bool:
    errors = [event.step_failure_data.error for event in result.all_events if event.is_step_failure]
    errors += [event.job_failure_data.error for event in result.all_events if event.is_job_failure]
    return any(error.cls_name == "DagsterExecutionInterruptedError" for error in errors if error is not None)


def _reason(data: Any) -> str:
    from metapulse_assets.platform.redaction import redact

    stated = getattr(data, "user_failure_data", None)
    if stated is not None and stated.description:
        return redact(stated.description)
    error = getattr(data, "error", None)
    while error is not None and error.cause is not None:
        error = error.cause
    lines = [line.strip() for line in (error.message if error else "no reason given").splitlines() if line.strip()]
    return redact(lines[0])

"""What a failed run is reported as: the step and its reason, a line each."""

import dagster as dg
import pytest

from metapulse_assets.cli import tick
from metapulse_assets.cli.tick import FailedStep


def run_of(*assets: dg.AssetsDefinition) -> dg.ExecuteInProcessResult:
    with dg.DagsterInstance.ephemeral() as instance:
        return dg.materialize(list(assets), instance=instance, raise_on_error=False)


@dg.asset
def stated() -> None:
    raise dg.Failure("the vendor postgresql://me:hidden@h answered for none", allow_retries=False)


@dg.asset
def unforeseen() -> None:
    try:
        raise ZeroDivisionError("division by zero\nand more")
    except ZeroDivisionError as error:
        raise RuntimeError("wrapped") from error


@dg.asset(deps=[stated])
def depends() -> None:
    raise AssertionError("must not run")


@dg.asset
def interrupted() -> None:
    raise dg.DagsterExecutionInterruptedError


def test_each_failed_step_with_its_reason_in_one_line() -> None:
    failed = sorted(tick.failed_steps(run_of(stated, unforeseen, depends)), key=lambda step: step.step)

    assert failed == [
        FailedStep("stated", "the vendor postgresql://me:***@h answered for none"),
        FailedStep("unforeseen", "ZeroDivisionError: division by zero"),
    ]


@pytest.mark.parametrize(("asset", "expected"), [(interrupted, True), (unforeseen, False)])
def test_an_interrupted_run_is_told_from_a_failed_one(asset: dg.AssetsDefinition, expected: bool) -> None:
    assert tick._was_interrupted(run_of(asset)) is expected

"""What Dagster's instance knows that alarms are made of: checks that do not pass, and assets that are not fresh."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import dagster as dg
from dagster._core.definitions.freshness import FreshnessState
from dagster._core.storage.asset_check_execution_record import AssetCheckExecutionRecordStatus

from metapulse_assets.operations.alarms import FailedCheck, check_key


@dataclass(frozen=True)
class GraphFacts:
    """Failed checks, keys of alarms about checks that are running, stale assets, and what each asset is made from."""

    failed_checks: list[FailedCheck] = field(default_factory=list)
    undecided: set[str] = field(default_factory=set)
    stale: set[str] = field(default_factory=set)
    parents: Mapping[str, set[str]] = field(default_factory=dict)


def read_graph_facts(instance: dg.DagsterInstance, repository: dg.RepositoryDefinition) -> GraphFacts:
    """Ask the instance about every check and asset of the repository, in two questions."""
    graph = repository.asset_graph
    failed, undecided = _checks(instance, list(graph.asset_check_keys))
    parents = {node.key.to_user_string(): {key.to_user_string() for key in node.parent_keys} for node in graph.asset_nodes}
    return GraphFacts(failed, undecided, _stale(instance, [node.key for node in graph.asset_nodes]), parents)


def _checks(instance: dg.DagsterInstance, keys: list[dg.AssetCheckKey]) -> tuple[list[FailedCheck], set[str]]:
    failed, undecided = [], set()
    if not keys:
        return [], set()
    for key, record in instance.event_log_storage.get_latest_asset_check_execution_by_key(keys).items():
        asset = key.asset_key.to_user_string()
        if record.status is AssetCheckExecutionRecordStatus.PLANNED:
            undecided.add(check_key(asset, key.name))
        elif record.status is AssetCheckExecutionRecordStatus.FAILED:
            event = record.event.dagster_event if record.event else None
            severity = event.asset_check_evaluation_data.severity if event else dg.AssetCheckSeverity.ERROR
            failed.append(FailedCheck(asset, key.name, severity is dg.AssetCheckSeverity.ERROR, record.run_id))
    return failed, undecided


def _stale(instance: dg.DagsterInstance, keys: list[dg.AssetKey]) -> set[str]:
    """Assets that the freshness daemon found past their deadline."""
    records = instance.get_freshness_state_records(keys)
    return {key.to_user_string() for key, record in records.items() if record.freshness_state is FreshnessState.FAIL}

"""Dagster's own storage, in the PostgreSQL that MetaPulse uses: a given server, or the embedded one, started when needed.

`dagster.yaml` names this class, so that any dagster command finds its instance without an address in its environment.
"""

from collections.abc import Mapping
from typing import Any

from dagster._config.config_schema import UserConfigSchema
from dagster._serdes import ConfigurableClassData
from dagster_postgres.storage import DagsterPostgresStorage

from metapulse_assets.platform.database import dagster_storage_url
from metapulse_assets.platform.settings import get_settings


class MetaPulseStorage(DagsterPostgresStorage):
    """`DagsterPostgresStorage` whose address comes from MetaPulse's settings."""

    @classmethod
    def config_type(cls) -> UserConfigSchema:
        """No configuration: the settings hold it."""
        return {}

    @classmethod
    def from_config_value(cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, Any]) -> "MetaPulseStorage":
        """Build the storage; starts the embedded server if the settings name no other and it is down."""
        return cls(postgres_url=dagster_storage_url(get_settings()), inst_data=inst_data)

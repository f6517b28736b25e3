"""Imported files among the raw payloads, so that what was read from them can be walked back to their bytes."""

from datetime import datetime
from pathlib import Path

import sqlalchemy as sa

from metapulse_assets.platform.raw_payloads import RawPayload, store_payloads
from metapulse_assets.platform.tables import raw_payloads

VENDOR = "recording"


def store_file(connection: sa.Connection, path: Path, recorded_at: datetime) -> int:
    """The file's bytes as a raw payload; returns its id. The same bytes are stored once, however often they are imported."""
    payload = RawPayload(VENDOR, f"file:{path.parent.name}/{path.name}", 200, recorded_at, path.read_bytes())
    p = raw_payloads.c
    known = connection.execute(
        sa.select(p.payload_id).where(p.vendor == VENDOR, p.sha256 == payload.sha256).limit(1)
    ).scalar_one_or_none()
    return store_payloads(connection, [payload])[payload.sha256] if known is None else known

"""The vendors' answers as they came: compressed, addressed by SHA-256, kept for days; rows of other tables point at them."""

import hashlib
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

import sqlalchemy as sa

from metapulse_assets.platform.bulk import driver
from metapulse_assets.platform.day_partitions import ensure_days, utc_day
from metapulse_assets.platform.tables import raw_payloads


@dataclass(frozen=True)
class RawPayload:
    """One answer of a vendor. `url` must hold no secret."""

    vendor: str
    url: str
    status: int
    received_at: datetime
    body: bytes
    sha256: bytes = field(init=False)

    def __post_init__(self) -> None:
        """Address the body by its content."""
        object.__setattr__(self, "sha256", hashlib.sha256(self.body).digest())


def store_payloads(connection: sa.Connection, payloads: Sequence[RawPayload]) -> dict[bytes, int]:
    """Store answers and return their ids by SHA-256; a body seen twice here is stored once."""
    distinct = list({payload.sha256: payload for payload in payloads}.values())
    if not distinct:
        return {}
    ensure_days(connection, "raw_payloads", {utc_day(payload.received_at) for payload in distinct})
    raw = driver(connection)
    ids: list[int] = [
        row[0]
        for row in raw.execute(
            "SELECT nextval(pg_get_serial_sequence('raw_payloads', 'payload_id')) FROM generate_series(1, %s)",
            (len(distinct),),
        )
    ]
    with raw.cursor().copy(
        "COPY raw_payloads (recorded_at, payload_id, sha256, vendor, url, status, size, body) FROM STDIN"
    ) as copy:
        for payload_id, payload in zip(ids, distinct, strict=True):
            copy.write_row(
                (
                    payload.received_at,
                    payload_id,
                    payload.sha256,
                    payload.vendor,
                    payload.url,
                    payload.status,
                    len(payload.body),
                    zlib.compress(payload.body, 6),
                )
            )
    return {payload.sha256: payload_id for payload_id, payload in zip(ids, distinct, strict=True)}


def load_payload(connection: sa.Connection, payload_id: int) -> bytes:
    """The body of a stored answer, checked against its SHA-256. Raises LookupError if it is gone, ValueError if damaged."""
    row = connection.execute(
        sa.select(raw_payloads.c.sha256, raw_payloads.c.body).where(raw_payloads.c.payload_id == payload_id)
    ).one_or_none()
    if row is None:
        raise LookupError(f"raw payload {payload_id} is not stored (any more)")
    try:
        body = zlib.decompress(row.body)
    except zlib.error as error:
        raise ValueError(f"raw payload {payload_id} is damaged: {error}") from None
    if hashlib.sha256(body).digest() != row.sha256:
        raise ValueError(f"raw payload {payload_id} is damaged: it does not match its SHA-256")
    return body

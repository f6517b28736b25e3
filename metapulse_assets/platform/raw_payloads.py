"""The vendors' answers as they came: compressed, addressed by SHA-256, kept for days; rows of other tables point at them.

The first answer to a question in an hour is stored by itself, later ones of that hour as what they differ in: a list of tokens
says little that is new after five minutes. Where the very question was not asked, one of its form is taken, of another token.
All of them are in the partition of one day, which goes as a whole.
"""

import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any

import sqlalchemy as sa

from metapulse_assets.platform.bulk import driver
from metapulse_assets.platform.day_partitions import ensure_days, utc_day
from metapulse_assets.platform.payload_coding import pack, pack_against, unpack, unpack_against
from metapulse_assets.platform.tables import raw_payloads

SMALLEST_REPEATED, LARGEST_REPEATED = 2_048, 2**20
"""Bytes that a body may have to be held against an earlier one. Own choice: little to gain, or too much to hold in memory."""
WORTH_A_BASE = 0.75
"""Share of what a body would take by itself up to which it is stored against another. Own choice."""
BASES_AT_ONCE = 100
_OK = 200
_HOUR = timedelta(hours=1)
# An address, or several: what tells questions of one form apart.
_ADDRESSES = re.compile(r"[^/?&=]{24,}")


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


@dataclass(frozen=True)
class _Base:
    """A stored answer that others are held against."""

    payload_id: int
    url: str
    packed: bytes
    body: bytes


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
    known = _bases(connection, distinct)
    numbered = iter(zip(ids, distinct, strict=True))
    while some := list(islice(numbered, BASES_AT_ONCE)):
        # Before the COPY begins, which has the connection to itself.
        bodies = _bodies(connection, {known[payload.sha256] for _, payload in some if payload.sha256 in known})
        with raw.cursor().copy(
            "COPY raw_payloads (recorded_at, payload_id, sha256, vendor, url, status, size, body, base_id) FROM STDIN"
        ) as copy:
            for payload_id, payload in some:
                base = bodies.get(known.get(payload.sha256, 0))
                packed, is_against = _packed(payload.body, base)
                copy.write_row(
                    (
                        payload.received_at,
                        payload_id,
                        payload.sha256,
                        payload.vendor,
                        None if is_against and base and base.url == payload.url else payload.url,
                        payload.status,
                        len(payload.body),
                        packed,
                        base.payload_id if is_against and base else None,
                    )
                )
    return {payload.sha256: payload_id for payload_id, payload in zip(ids, distinct, strict=True)}


def _bases(connection: sa.Connection, payloads: Sequence[RawPayload]) -> dict[bytes, int]:
    """For each body the newest answer, stored by itself within its hour, to its question or else to one of the same form."""
    by_hour: dict[datetime, list[RawPayload]] = {}
    for payload in payloads:
        # Frames of a stream are no answers: what they say is new each time.
        if payload.status == _OK and SMALLEST_REPEATED <= len(payload.body) <= LARGEST_REPEATED:
            hour = payload.received_at.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
            by_hour.setdefault(hour, []).append(payload)
    p = raw_payloads.c
    found: dict[bytes, int] = {}
    for hour, asked in by_hour.items():
        rows = connection.execute(
            sa.select(p.vendor, p.url, p.payload_id)
            .where(p.recorded_at >= hour, p.recorded_at < hour + _HOUR, p.base_id.is_(None))
            .where(
                p.status == _OK,
                p.size.between(SMALLEST_REPEATED, LARGEST_REPEATED),
                p.vendor.in_({payload.vendor for payload in asked}),
            )
            .order_by(p.payload_id)
        ).all()
        known = {(row.vendor, _form(row.url)): row.payload_id for row in rows}
        known |= {(row.vendor, row.url): row.payload_id for row in rows}
        for payload in asked:
            base = known.get((payload.vendor, payload.url)) or known.get((payload.vendor, _form(payload.url)))
            if base is not None:
                found[payload.sha256] = base
    return found


def _form(url: str) -> str:
    """A question without the addresses that it is about."""
    return f"like {_ADDRESSES.sub('*', url)}"


def _bodies(connection: sa.Connection, payload_ids: set[int]) -> dict[int, _Base]:
    """These answers, each of which is stored by itself; one that is damaged is left out."""
    if not payload_ids:
        return {}
    p = raw_payloads.c
    rows = connection.execute(sa.select(p.payload_id, p.url, p.sha256, p.body).where(p.payload_id.in_(payload_ids))).all()
    return {base.payload_id: base for base in _whole(rows)}


def _whole(rows: Sequence[sa.Row[Any, Any, Any, Any]]) -> Iterator[_Base]:
    for row in rows:
        try:
            yield _Base(row.payload_id, row.url, row.body, _checked(row.payload_id, unpack(row.body), row.sha256))
        except ValueError:
            continue


def _packed(body: bytes, base: _Base | None) -> tuple[bytes, bool]:
    """A body as it is stored, and whether that is against the base."""
    if base is None:
        return pack(body), False
    against = pack_against(base.body, body)
    # What the body would take by itself, from what the base takes.
    alone = len(base.packed) * len(body) / len(base.body)
    return (against, True) if len(against) <= WORTH_A_BASE * alone else (pack(body), False)


def load_payload(connection: sa.Connection, payload_id: int) -> bytes:
    """The body of a stored answer, checked against its SHA-256. Raises LookupError if it is gone, ValueError if damaged."""
    p = raw_payloads.c
    row = connection.execute(sa.select(p.sha256, p.body, p.size, p.base_id).where(p.payload_id == payload_id)).one_or_none()
    if row is None:
        raise LookupError(f"raw payload {payload_id} is not stored (any more)")
    try:
        if row.base_id is None:
            body = unpack(row.body)
        else:
            body = unpack_against(load_payload(connection, row.base_id), row.body, row.size)
    except (LookupError, ValueError) as error:
        raise ValueError(f"raw payload {payload_id} is damaged: {error}") from None
    return _checked(payload_id, body, row.sha256)


def asked_url(connection: sa.Connection, payload_id: int) -> str | None:
    """What was asked for, without secrets; None if the answer, or the one that it is stored against, is gone."""
    p, base = raw_payloads, raw_payloads.alias("base")
    url: str | None = connection.execute(
        sa.select(sa.func.coalesce(p.c.url, base.c.url))
        .select_from(p.outerjoin(base, base.c.payload_id == p.c.base_id))
        .where(p.c.payload_id == payload_id)
    ).scalar_one_or_none()
    return url


def _checked(payload_id: int, body: bytes, sha256: bytes) -> bytes:
    if hashlib.sha256(body).digest() != sha256:
        raise ValueError(f"raw payload {payload_id} is damaged: it does not match its SHA-256")
    return body

"""Raw payloads: the last link, bytes whose SHA-256 is computed anew."""

from collections.abc import Iterable

import sqlalchemy as sa

from metapulse_assets.platform.raw_payloads import asked_url, load_payload
from metapulse_assets.platform.tables import raw_payloads
from metapulse_assets.proof.lineage.links import Link, missing

SHOWN = 5


def payload_link(connection: sa.Connection, payload_id: int | None) -> Link:
    """A payload, its bytes held against their hash."""
    if payload_id is None:
        return Link("raw payload", "none", broken=["the row names none"])
    p = raw_payloads.c
    row = connection.execute(
        sa.select(p.vendor, p.status, p.recorded_at, p.sha256, p.size).where(p.payload_id == payload_id)
    ).one_or_none()
    if row is None:
        return missing("raw payload", str(payload_id))
    link = Link(
        "raw payload",
        str(payload_id),
        {
            "sha256": row.sha256.hex(),
            "vendor": row.vendor,
            "url": asked_url(connection, payload_id),
            "status": row.status,
            "bytes": row.size,
            "recorded_at": row.recorded_at,
        },
    )
    try:
        load_payload(connection, payload_id)
    except (LookupError, ValueError) as error:
        link.broken.append(str(error))
    return link


def payload_links(connection: sa.Connection, payload_ids: Iterable[int | None]) -> list[Link]:
    """Links for distinct payloads: the first few one by one, the others checked and told of together."""
    distinct = sorted({payload_id for payload_id in payload_ids if payload_id is not None})
    links = [payload_link(connection, payload_id) for payload_id in distinct]
    shown, rest = links[:SHOWN], links[SHOWN:]
    if rest:
        together = Link("raw payloads", f"{len(rest)} more", {"bytes": sum(link.values.get("bytes", 0) for link in rest)})
        together.broken = [problem for link in rest for problem in link.problems()]
        shown.append(together)
    return shown


def stored_payloads_link(connection: sa.Connection, what: str, payload_ids: sa.Select[int]) -> Link:
    """Payloads that are too many to compute their hashes anew: that each is stored."""
    wanted = payload_ids.subquery()
    found = connection.execute(
        sa.select(sa.func.count().label("all"), sa.func.count(raw_payloads.c.payload_id).label("stored")).select_from(
            wanted.outerjoin(raw_payloads, raw_payloads.c.payload_id == wanted.c.payload_id)
        )
    ).one()
    link = Link("raw payloads", f"{found.all} {what}", {"stored": found.stored, "checked": "that they are there"})
    if found.stored < found.all:
        link.broken.append(f"{found.all - found.stored} are not stored (any more)")
    return link

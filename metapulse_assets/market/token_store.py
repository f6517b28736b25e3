"""Reading and writing tokens, pools and which tokens are tracked."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import distinct_on, insert

from metapulse_assets.market.discovery import FORMERLY_WATCHED, WATCHED, Review, TokenKey, TrackedState, Verdict
from metapulse_assets.market.pool_choice import token_key
from metapulse_assets.market.tables import pools, token_metrics, tokens, tracked_tokens
from metapulse_assets.vendors.chains import canonical_address
from metapulse_assets.vendors.dexscreener import Pair

UNNAMED = "?"
# How far back the last view of a token may lie to still say something about it.
RECENT = timedelta(minutes=20)


@dataclass(frozen=True)
class TrackedToken:
    """A token to ask for, and the pool that spoke for it last."""

    token_id: int
    key: TokenKey
    pool_address: str | None
    last_price: float | None


def upsert_tokens(connection: sa.Connection, pairs: Iterable[Pair], at: datetime) -> dict[TokenKey, int]:
    """Ids of the tokens that these pairs trade; new ones are stored, changed names kept up to date."""
    rows = {}
    for pair in pairs:
        chain, address = token_key(pair)
        rows[chain, address] = {
            "chain": chain,
            "address": address,
            "symbol": pair.base.symbol or UNNAMED,
            "name": pair.base.name or pair.base.symbol or UNNAMED,
            "first_recorded_at": at,
        }
    if not rows:
        return {}
    statement = insert(tokens)
    connection.execute(
        statement.on_conflict_do_update(
            index_elements=["chain", "address"],
            set_={"symbol": statement.excluded.symbol, "name": statement.excluded.name},
            where=sa.tuple_(tokens.c.symbol, tokens.c.name).is_distinct_from(
                sa.tuple_(statement.excluded.symbol, statement.excluded.name)
            ),
        ),
        # Always in the same order, so that two processes wait for each other and never in a circle.
        [rows[key] for key in sorted(rows)],
    )
    return token_ids(connection, rows)


def token_ids(connection: sa.Connection, keys: Iterable[TokenKey]) -> dict[TokenKey, int]:
    """Ids of those of the tokens that are stored."""
    wanted = set(keys)
    found = connection.execute(
        sa.select(tokens.c.chain, tokens.c.address, tokens.c.token_id).where(
            tokens.c.address.in_([address for _, address in wanted])
        )
    )
    return {(row.chain, row.address): row.token_id for row in found if (row.chain, row.address) in wanted}


def upsert_pools(connection: sa.Connection, pairs: Sequence[tuple[int, Pair]], at: datetime) -> dict[tuple[str, str], int]:
    """Ids of pools by (chain, canonical address); new ones are stored. Each pair comes with its token's id."""
    known = {
        (row.chain, row.address): row.pool_id
        for row in connection.execute(
            sa.select(pools.c.chain, pools.c.address, pools.c.pool_id).where(
                pools.c.token_id.in_({token_id for token_id, _ in pairs})
            )
        )
    }
    new = {}
    for token_id, pair in pairs:
        key = pool_key(pair)
        if key not in known:
            new[key] = {
                "token_id": token_id,
                "chain": pair.chain,
                "address": key[1],
                "dex": pair.dex,
                "quote_address": pair.quote.address and canonical_address(pair.chain, pair.quote.address),
                "quote_symbol": pair.quote.symbol,
                "created_at": pair.created_at,
                "first_recorded_at": at,
            }
    if new:
        connection.execute(
            insert(pools).on_conflict_do_nothing(index_elements=["chain", "address"]), [new[key] for key in sorted(new)]
        )
        stored = connection.execute(
            sa.select(pools.c.chain, pools.c.address, pools.c.pool_id).where(
                pools.c.address.in_([address for _, address in new])
            )
        )
        known |= {(row.chain, row.address): row.pool_id for row in stored}
    return known


def pool_key(pair: Pair) -> tuple[str, str]:
    """Chain and canonical address of a pool."""
    return pair.chain, canonical_address(pair.chain, pair.address)


def start_tracking(
    connection: sa.Connection,
    ids: Mapping[TokenKey, int],
    sources: Mapping[TokenKey, set[str]],
    verdicts: Mapping[TokenKey, Verdict],
    at: datetime,
) -> int:
    """Track the tokens whose verdict is good; returns how many."""
    rows = [
        {
            "token_id": ids[key],
            "active": True,
            "sources": sorted(sources[key]),
            "tracked_since": at,
            "last_listed_at": at,
            "failing_since": None,
            "reason": verdict.reason,
        }
        for key, verdict in sorted(verdicts.items(), key=lambda item: ids.get(item[0], 0))
        if verdict.passes
    ]
    if rows:
        statement = insert(tracked_tokens)
        refreshed = ("active", "sources", "last_listed_at", "failing_since", "reason")
        # A token that comes back begins anew: what happened in between was not seen.
        since = sa.case((tracked_tokens.c.active, tracked_tokens.c.tracked_since), else_=statement.excluded.tracked_since)
        connection.execute(
            statement.on_conflict_do_update(
                index_elements=["token_id"],
                set_={"tracked_since": since, **{name: statement.excluded[name] for name in refreshed}},
            ),
            rows,
        )
    return len(rows)


def note_listed(connection: sa.Connection, sources: Mapping[int, set[str]], at: datetime) -> None:
    """Remember that tracked tokens were named again, and by whom."""
    if not sources:
        return
    stored = {
        row.token_id: row.sources
        for row in connection.execute(
            sa.select(tracked_tokens.c.token_id, tracked_tokens.c.sources).where(tracked_tokens.c.token_id.in_(list(sources)))
        )
    }
    connection.execute(
        sa.update(tracked_tokens)
        .where(tracked_tokens.c.token_id == sa.bindparam("listed_id"))
        .values(last_listed_at=at, sources=sa.bindparam("all_sources")),
        [
            {"listed_id": token_id, "all_sources": sorted(names | set(stored.get(token_id, ())))}
            for token_id, names in sorted(sources.items())
        ],
    )


def unwatch_others(connection: sa.Connection, watched: Collection[TokenKey]) -> None:
    """Note which tokens are on the watch list no more."""
    stored = connection.execute(
        sa.select(tracked_tokens.c.token_id, tokens.c.chain, tokens.c.address)
        .join(tokens, tokens.c.token_id == tracked_tokens.c.token_id)
        .where(tracked_tokens.c.sources.contains([WATCHED]))
    )
    others = [row.token_id for row in stored if (row.chain, row.address) not in watched]
    if others:
        connection.execute(
            sa.update(tracked_tokens)
            .where(tracked_tokens.c.token_id.in_(others))
            .values(sources=sa.func.array_replace(tracked_tokens.c.sources, WATCHED, FORMERLY_WATCHED))
        )


def apply_review(connection: sa.Connection, review: Review, at: datetime) -> None:
    """Write down which tokens fell below the bar, came back, or are asked for no more."""
    changes: list[tuple[list[int], dict[str, object]]] = [
        (review.newly_failing, {"failing_since": at}),
        (review.recovered, {"failing_since": None}),
    ]
    changes += [([token_id], {"active": False, "reason": reason}) for token_id, reason in review.let_go.items()]
    for token_ids_changed, values in changes:
        if token_ids_changed:
            connection.execute(sa.update(tracked_tokens).where(tracked_tokens.c.token_id.in_(token_ids_changed)).values(values))


def active_tokens(connection: sa.Connection, now: datetime, only: Iterable[TokenKey] | None = None) -> list[TrackedToken]:
    """The tokens to ask for, with how each looked last; `only` narrows to some."""
    latest = latest_views(now).subquery()
    statement = (
        sa.select(tokens.c.token_id, tokens.c.chain, tokens.c.address, pools.c.address.label("pool"), latest.c.price_usd)
        .join(tracked_tokens, tracked_tokens.c.token_id == tokens.c.token_id)
        .outerjoin(latest, latest.c.token_id == tokens.c.token_id)
        .outerjoin(pools, pools.c.pool_id == latest.c.pool_id)
        .where(tracked_tokens.c.active)
        .order_by(tokens.c.chain, tokens.c.token_id)
    )
    found = [
        TrackedToken(row.token_id, (row.chain, row.address), row.pool, row.price_usd) for row in connection.execute(statement)
    ]
    if only is None:
        return found
    wanted = {(chain, canonical_address(chain, address)) for chain, address in only}
    return [token for token in found if token.key in wanted]


def keys_without(found: Iterable[TrackedToken], wanted: Iterable[TokenKey]) -> list[TokenKey]:
    """Those of the wanted tokens, as they were written, that are not among the found."""
    keys = {token.key for token in found}
    return [(chain, address) for chain, address in wanted if (chain, canonical_address(chain, address)) not in keys]


def latest_views(now: datetime) -> sa.Select[tuple[int, int, float, float, float]]:
    """Each token's newest snapshot of the recent past: token_id, pool_id, price_usd, volume_h24_usd, liquidity_usd."""
    return (
        sa.select(
            token_metrics.c.token_id,
            token_metrics.c.pool_id,
            token_metrics.c.price_usd,
            token_metrics.c.volume_h24_usd,
            token_metrics.c.liquidity_usd,
        )
        .ext(distinct_on(token_metrics.c.token_id))
        .where(token_metrics.c.observed_at > now - RECENT, token_metrics.c.observed_at <= now)
        .order_by(token_metrics.c.token_id, token_metrics.c.observed_at.desc())
    )


def tracked_states(connection: sa.Connection, now: datetime) -> list[TrackedState]:
    """Every tracked token with its newest figures, to be held against the bar again."""
    latest = latest_views(now).subquery()
    statement = (
        sa.select(
            tracked_tokens.c.token_id,
            tokens.c.chain,
            tokens.c.address,
            tracked_tokens.c.sources,
            tracked_tokens.c.failing_since,
            latest.c.volume_h24_usd,
            latest.c.liquidity_usd,
        )
        .join(tokens, tokens.c.token_id == tracked_tokens.c.token_id)
        .outerjoin(latest, latest.c.token_id == tracked_tokens.c.token_id)
        .where(tracked_tokens.c.active)
    )
    return [
        TrackedState(
            row.token_id,
            (row.chain, row.address),
            frozenset(row.sources),
            row.failing_since,
            row.volume_h24_usd,
            row.liquidity_usd,
        )
        for row in connection.execute(statement)
    ]

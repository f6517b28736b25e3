"""Rows held against the bytes that they name: the vendor's reader reads an answer once more, which must say what the row does.

Files that were imported are not read again: which line of them a row came from is not stored.
"""

import json
import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from metapulse_assets.intelligence.answers import InvalidAnswerError, parse
from metapulse_assets.intelligence.asking import storable
from metapulse_assets.market.snapshots import Snapshot, metric_columns
from metapulse_assets.market.tables import pools, tokens
from metapulse_assets.market.token_store import pool_key
from metapulse_assets.platform.bulk import NO_INT
from metapulse_assets.platform.raw_payloads import RawPayload, asked_url, load_payload
from metapulse_assets.platform.tables import raw_payloads
from metapulse_assets.proof.lineage.links import differing
from metapulse_assets.risk import security
from metapulse_assets.risk.security_store import facts_as_row
from metapulse_assets.vendors import dexscreener, geckoterminal, gemini, goplus, groq, rugcheck, x
from metapulse_assets.vendors.answers import read_items
from metapulse_assets.vendors.chains import canonical_address
from metapulse_assets.vendors.x_posts import read_posts

POST_COLUMNS = ("observed_at", "author_id", "text", "lang", "kind", "referenced_id")
"""What of a stored post is held against its answer."""
_CANDLE_COLUMNS = ("open", "high", "low", "close", "volume_usd")
_TIMES = ("observed_at", "recorded_at")
_MODEL_READERS: Mapping[str, Callable[[Any, str], Any]] = {
    groq.VENDOR: groq.read_completion,
    gemini.VENDOR: gemini.read_content,
}


def payload_of(connection: sa.Connection, payload_id: int | None, vendors: Collection[str]) -> RawPayload | None:
    """An answer of one of these vendors; None for another's, and for one that is gone or damaged, which its link says."""
    p = raw_payloads.c
    row = connection.execute(
        sa.select(p.vendor, p.status, p.recorded_at).where(p.payload_id == payload_id, p.vendor.in_(vendors))
    ).one_or_none()
    if row is None or payload_id is None:
        return None
    try:
        url = asked_url(connection, payload_id) or ""
        return RawPayload(row.vendor, url, row.status, row.recorded_at, load_payload(connection, payload_id))
    except (LookupError, ValueError):
        return None


def snapshot_unlike_bytes(connection: sa.Connection, row: sa.Row[Any]) -> list[str]:
    """Where a row of `token_metrics` differs from its pool in the vendor's answer."""
    payload = payload_of(connection, row.payload_id, [dexscreener.VENDOR])
    if payload is None:
        return []
    pool = connection.execute(sa.select(pools.c.chain, pools.c.address).where(pools.c.pool_id == row.pool_id)).one_or_none()
    try:
        batch = read_items(payload, dexscreener.PAIRS, dexscreener.VENDOR, dexscreener.pair_key, dexscreener.pairs_of)
    except ValueError:
        return ["its payload is no answer that can be read"]
    told = []
    for pair, _ in batch.items:
        if pool is not None and pool_key(pair) == tuple(pool):
            snapshot = Snapshot(row.token_id, row.pool_id, row.payload_id, row.observed_at, pair)
            columns = metric_columns([snapshot], row.recorded_at)
            told.append({name: _plain(values[0]) for name, values in columns.items() if name not in _TIMES})
    return _least(told, dict(row._mapping), "its payload does not hold its pool")


def candle_unlike_bytes(connection: sa.Connection, row: sa.Row[Any]) -> list[str]:
    """Where a candle of a vendor's history differs from the vendor's answer."""
    payload = payload_of(connection, row.payload_id, [geckoterminal.VENDOR])
    if payload is None:
        return []
    try:
        history = geckoterminal.read_history(payload, "", geckoterminal.interval_of(row.timeframe))
    except (KeyError, ValueError):
        return ["its payload is no answer that can be read"]
    opened_at = int(row.opened_at.timestamp())
    told = [dict(zip(_CANDLE_COLUMNS, found[1:], strict=True)) for found in history.rows if found[0] == opened_at]
    return _least(told, dict(row._mapping), "its payload does not hold it")


def security_unlike_bytes(connection: sa.Connection, row: sa.Row[Any]) -> list[str]:
    """Where a row of `token_security` differs from the scanner's answer."""
    payload = payload_of(connection, row.payload_id, [rugcheck.VENDOR, goplus.VENDOR])
    token = connection.execute(
        sa.select(tokens.c.chain, tokens.c.address).where(tokens.c.token_id == row.token_id)
    ).one_or_none()
    if payload is None or token is None:
        return []
    try:
        told = [facts_as_row(facts) for facts in _facts_in(payload, token.chain, token.address)]
    except ValueError:
        return ["its payload is no answer that can be read"]
    return _least(told, dict(row._mapping), "its payload does not hold its token")


def _facts_in(payload: RawPayload, chain: str, address: str) -> Iterator[security.TokenFacts]:
    if payload.vendor == rugcheck.VENDOR:
        for report, _ in read_items(payload, rugcheck.REPORTS, payload.vendor, str, lambda body: [body]).items:
            if report.mint == address:
                yield security.facts_of_rugcheck(report)
    elif chain == goplus.SOLANA:
        for mint, _ in read_items(payload, goplus.SOLANA_TOKENS, payload.vendor, str, goplus.tokens_of).items:
            if canonical_address(chain, mint.address) == address:
                yield security.facts_of_solana_token(mint)
    else:
        for contract, _ in read_items(payload, goplus.EVM_TOKENS, payload.vendor, str, goplus.tokens_of).items:
            if canonical_address(chain, contract.address) == address:
                yield security.facts_of_evm_token(contract)


def posts_unlike_bytes(connection: sa.Connection, rows: Sequence[sa.Row[Any]]) -> dict[str, list[str]]:
    """Where stored posts (with `post_id`, `payload_id` and `POST_COLUMNS`) differ from the answers that brought them."""
    by_payload: dict[int, list[sa.Row[Any]]] = {}
    for row in rows:
        if row.payload_id is not None:
            by_payload.setdefault(row.payload_id, []).append(row)
    problems: dict[str, list[str]] = {}
    for payload_id, stored in by_payload.items():
        payload = payload_of(connection, payload_id, [x.VENDOR])
        if payload is None:
            continue
        try:
            told = {post.id: post for post in read_posts(payload, x.VENDOR).items}
        except ValueError:
            told = {}
        for row in stored:
            post = told.get(row.post_id)
            said = [] if post is None else [{"observed_at": post.created_at, **_fields(post)}]
            if found := _least(said, dict(row._mapping), "its payload does not hold it"):
                problems[row.post_id] = found
    return problems


def answer_unlike_bytes(connection: sa.Connection, answer: sa.Row[Any]) -> list[str]:
    """Where the text of an answer differs from what the provider sent; of one in parts, that of the last part."""
    payload = payload_of(connection, answer.payload_id, _MODEL_READERS)
    if payload is None or answer.raw is None or payload.status >= 300:
        return []
    try:
        reply = _MODEL_READERS[payload.vendor](json.loads(payload.body), answer.asked_model)
    except ValueError:
        return ["its payload is no answer that can be read"]
    sent = None if reply.text is None else storable(reply.text)
    return [] if sent is not None and sent in (answer.raw, *_parts(answer.raw)) else ["its payload holds another text"]


def answer_unlike_text(answer: sa.Row[Any], question: sa.Row[Any]) -> list[str]:
    """Where what was understood of an answer is not what its text says."""
    if answer.parsed is None or answer.raw is None:
        return []
    texts = _parts(answer.raw) if question.kind == "sentiment" else [answer.raw]
    try:
        again = parse(question.kind, question.snapshot, question.question_swapped, texts)
    except (InvalidAnswerError, KeyError) as error:
        return [f"its text is no answer: {error}"]
    return [] if json.loads(json.dumps(again)) == answer.parsed else ["its text says something else than was understood"]


def _parts(raw: str) -> list[str]:
    """The texts of an answer in parts, which are stored as a list of JSON; none of one that is not."""
    try:
        parts = json.loads(raw)
    except (ValueError, RecursionError):
        return []
    return parts if isinstance(parts, list) and all(isinstance(part, str) for part in parts) else []


def _fields(post: Any) -> dict[str, Any]:
    return {name: getattr(post, name) for name in POST_COLUMNS if name != "observed_at"}


def _least(told: Sequence[Mapping[str, Any]], stored: Mapping[str, Any], absent: str) -> list[str]:
    """The differences from the account that is nearest: vendors list the same thing twice at times."""
    return min((differing(one, stored) for one in told), key=len, default=[absent])


def _plain(value: Any) -> Any:
    """A value of a column as the database gives it back."""
    number = value.item()
    if isinstance(number, int):
        return None if number == NO_INT else number
    return None if math.isnan(number) else number

"""Which tokens are tracked: candidates from several lists merged, admitted by volume and liquidity, let go when dead."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from metapulse_assets.vendors.chains import canonical_address
from metapulse_assets.vendors.dexscreener import Pair

TokenKey = tuple[str, str]
WATCHED = "watched"
# Tokens that the stream saw migrate from a bonding curve to an exchange.
LAUNCHES = "launches"
# What takes the place of `WATCHED` once a token is off the watch list: from then on the bar is for it, too.
FORMERLY_WATCHED = "formerly watched"
# A token that has fallen below the bar is watched this long: a signal's longest horizon is 7 days, and a pool that vanished
# within it is the outcome that must not be missed.
GRACE = timedelta(days=8)


@dataclass(frozen=True)
class Bar:
    """What a token must reach to be tracked, and how many may be."""

    min_volume_h24_usd: float
    min_liquidity_usd: float
    max_tokens: int


@dataclass(frozen=True)
class Verdict:
    """Whether a token passes the bar, with the reason in words."""

    passes: bool
    reason: str


@dataclass(frozen=True)
class TrackedState:
    """A token that is tracked now, and how it looked last (None: not seen of late)."""

    token_id: int
    key: TokenKey
    sources: frozenset[str]
    failing_since: datetime | None
    volume_h24_usd: float | None
    liquidity_usd: float | None


@dataclass
class Review:
    """What holding the tracked tokens against the bar again came to."""

    newly_failing: list[int] = field(default_factory=list)
    recovered: list[int] = field(default_factory=list)
    let_go: dict[int, str] = field(default_factory=dict)


def merge_candidates(listed: Iterable[tuple[str, str, str]], chains: Iterable[str]) -> dict[TokenKey, set[str]]:
    """Candidates of the tracked chains as {(chain, canonical address): sources}; a token named twice is one entry."""
    wanted = set(chains)
    merged: dict[TokenKey, set[str]] = {}
    for source, chain, address in listed:
        if chain in wanted or source == WATCHED:
            merged.setdefault((chain, canonical_address(chain, address)), set()).add(source)
    return merged


def judge(volume_h24_usd: float | None, liquidity_usd: float | None, sources: Iterable[str], bar: Bar) -> Verdict:
    """Hold a token against the bar. Watched tokens always pass; unknown liquidity does not fail, unknown volume does."""
    if WATCHED in sources:
        return Verdict(True, "on the watch list")
    if volume_h24_usd is None or volume_h24_usd <= bar.min_volume_h24_usd:
        shown = "unknown" if volume_h24_usd is None else f"{volume_h24_usd:,.0f} USD"
        return Verdict(False, f"24 h volume {shown}, needs more than {bar.min_volume_h24_usd:,.0f} USD")
    if liquidity_usd is not None and liquidity_usd <= bar.min_liquidity_usd:
        return Verdict(False, f"liquidity {liquidity_usd:,.0f} USD, needs more than {bar.min_liquidity_usd:,.0f} USD")
    known = "unknown (bonding curve)" if liquidity_usd is None else f"{liquidity_usd:,.0f} USD"
    return Verdict(True, f"24 h volume {volume_h24_usd:,.0f} USD, liquidity {known}")


def judge_pair(pair: Pair, sources: Iterable[str], bar: Bar) -> Verdict:
    """Hold a freshly seen token against the bar."""
    return judge(pair.volume.h24, pair.liquidity_usd, sources, bar)


def admit(
    candidates: Mapping[TokenKey, set[str]], pools: Mapping[TokenKey, Pair], tracked_now: int, bar: Bar
) -> dict[TokenKey, Verdict]:
    """Verdicts on all candidates; of those that pass, the ones with the most volume get the places that are free."""
    verdicts = {}
    for key, sources in candidates.items():
        pair = pools.get(key)
        verdicts[key] = judge_pair(pair, sources, bar) if pair else Verdict(False, "the vendor shows no pool for it")
    passing = [key for key, verdict in verdicts.items() if verdict.passes]
    passing.sort(key=lambda key: (WATCHED not in candidates[key], -(pools[key].volume.h24 or 0.0), key))
    free = max(bar.max_tokens - tracked_now, 0)
    for place, key in enumerate(passing):
        if place >= free and WATCHED not in candidates[key]:
            verdicts[key] = Verdict(False, f"no place free among {bar.max_tokens} tracked tokens")
    return verdicts


def review(tracked: Iterable[TrackedState], now: datetime, bar: Bar) -> Review:
    """Hold tracked tokens against the bar again; one below it for longer than `GRACE` is let go."""
    result = Review()
    for token in tracked:
        verdict = judge(token.volume_h24_usd, token.liquidity_usd, token.sources, bar)
        if verdict.passes:
            if token.failing_since is not None:
                result.recovered.append(token.token_id)
        elif token.failing_since is None:
            result.newly_failing.append(token.token_id)
        elif now - token.failing_since > GRACE:
            result.let_go[token.token_id] = f"below the bar for {GRACE.days} days: {verdict.reason}"
    return result

"""What a scanner's report means: facts about a token in one vocabulary, whichever scanner it was.

Belongs here: the facts, and how each vendor's fields become them. Does not: which tokens are asked about
(`security_reports`), what is stored (`security_store`), what a fact is worth (`scoring`).

Every fact is None where the scanner did not say: unknown is neither yes nor no, 0 nor 1.
"""

from collections.abc import Iterable
from dataclasses import dataclass, fields

from metapulse_assets.vendors import goplus, rugcheck

HOLDERS_COUNTED = 10
PERCENT = 100.0
BASIS_POINTS = 10_000.0
# Where tokens and shares of liquidity are sent that nobody is to have again; so is an ownership that is given up.
BURN_ADDRESSES = frozenset(
    {
        "0x0000000000000000000000000000000000000000",
        "0x0000000000000000000000000000000000000001",
        "0x000000000000000000000000000000000000dead",
        "0xdead000000000000000042069420694206942069",
        "1nc1nerator11111111111111111111111111111111",
        "11111111111111111111111111111111",
    }
)
# RugCheck's words for accounts of the exchange or of a locker, whose tokens are nobody's holding.
NOT_HOLDERS = frozenset({"AMM", "LOCKER", "BURN"})
# Solana: an account of the token is frozen as soon as it is made.
FROZEN_FROM_THE_START = "2"


@dataclass(frozen=True)
class TokenFacts:
    """What a scanner says of a token; the fields are the columns of `token_security`. None: unknown.

    Taxes and fees are shares of what is traded; vendor_score is 0 (safe) to 1; trusted: on the scanner's list of
    established tokens, where an authority is the issuer's ordinary means and no threat.
    """

    mint_authority: bool | None = None
    freeze_authority: bool | None = None
    owner_can_change: bool | None = None
    honeypot: bool | None = None
    rugged: bool | None = None
    trusted: bool | None = None
    buy_tax: float | None = None
    sell_tax: float | None = None
    transfer_fee: float | None = None
    top10_holder_share: float | None = None
    lp_locked_share: float | None = None
    vendor_score: float | None = None


FACTS = tuple(field.name for field in fields(TokenFacts))


def facts_of_rugcheck(report: rugcheck.Report) -> TokenFacts:
    """The facts of a RugCheck report. Whether a token can be sold, it does not say."""
    fee = report.transfer_fee
    trusted = None
    if report.says("verification"):
        # Null: on no list. The strict list is Jupiter's older name for the same.
        trusted = bool(report.verification and (report.verification.verified or report.verification.strict))
    return TokenFacts(
        mint_authority=report.mint_authority is not None if report.says("mint_authority") else None,
        freeze_authority=report.freeze_authority is not None if report.says("freeze_authority") else None,
        rugged=report.rugged,
        trusted=trusted,
        transfer_fee=_share(fee.percent, PERCENT) if fee else None,
        top10_holder_share=_rugcheck_top10(report),
        lp_locked_share=_rugcheck_locked(report),
        vendor_score=_share(report.score_normalised, PERCENT),
    )


def _rugcheck_top10(report: rugcheck.Report) -> float | None:
    if not report.top_holders:
        return None
    apart = {address for address, account in (report.known_accounts or {}).items() if account.kind.upper() in NOT_HOLDERS}
    apart |= BURN_ADDRESSES
    for market in report.markets:
        apart |= {name for name in (market.pool, market.vault_a, market.vault_b) if name}
        apart |= {account.owner for account in (market.account_a, market.account_b) if account and account.owner}
    shares = [holder.percent for holder in report.top_holders if not {holder.address, holder.owner} & apart]
    return _largest(shares, PERCENT)


def _rugcheck_locked(report: rugcheck.Report) -> float | None:
    """Locked share of all pools, each weighted by what lies in it; of the only pool, whatever that is."""
    locked = total = 0.0
    unweighted = []
    for market in report.markets:
        if market.shares is None or market.shares.locked_percent is None:
            continue
        share = min(market.shares.locked_percent / PERCENT, 1.0)
        value = (market.shares.base_usd or 0.0) + (market.shares.quote_usd or 0.0)
        unweighted.append(share)
        locked += share * value
        total += value
    if total > 0:
        return min(locked / total, 1.0)
    # Without sizes, the pool that is locked least says how much can be pulled.
    return min(unweighted, default=None)


def facts_of_evm_token(token: goplus.EvmToken) -> TokenFacts:
    """The facts of a contract on an EVM chain, as GoPlus sees it.

    What only an owner may do counts for nothing once the ownership was given up, unless it can be taken back or there is
    a hidden owner. A missing owner address is not taken for one that was given up.
    """
    given_up = (token.owner_address or "").lower() in BURN_ADDRESSES
    controlled = not given_up or bool(token.can_take_back_ownership) or bool(token.hidden_owner)

    def by_owner(flag: bool | None) -> bool | None:
        return flag if controlled else False

    pools = {(pool.pair or "").lower() for pool in token.pools}
    return TokenFacts(
        mint_authority=by_owner(token.mintable),
        freeze_authority=by_owner(_any(token.transfer_pausable, token.blacklisted)),
        owner_can_change=_any(
            by_owner(token.owner_change_balance),
            token.can_take_back_ownership,
            token.hidden_owner,
            by_owner(token.selfdestruct),
        ),
        honeypot=True if token.cannot_sell_all else token.honeypot,
        trusted=token.trusted,
        buy_tax=_share(token.buy_tax),
        sell_tax=_share(token.sell_tax),
        top10_holder_share=_largest(_holding(token.holders, pools)),
        lp_locked_share=_locked(token.lp_holders),
    )


def facts_of_solana_token(token: goplus.SolanaToken) -> TokenFacts:
    """The facts of a mint on Solana, as GoPlus sees it."""
    state = None if token.default_account_state is None else str(token.default_account_state) == FROZEN_FROM_THE_START
    pools = {(pool.id or "").lower() for pool in token.pools}
    return TokenFacts(
        mint_authority=token.mintable,
        freeze_authority=token.freezable,
        owner_can_change=_any(token.closable, token.balance_mutable),
        honeypot=_any(token.non_transferable, state),
        trusted=token.trusted,
        transfer_fee=_solana_fee(token.transfer_fee),
        top10_holder_share=_largest(_holding(token.holders, pools)),
        lp_locked_share=_locked(token.lp_holders),
    )


def _solana_fee(fee: goplus.TransferFee | None) -> float | None:
    if fee is None:
        return None
    rate = fee.rate if fee.current is None else fee.current.rate
    if rate is None:
        return 0.0 if fee.current is None and "rate" not in fee.model_fields_set else None
    # The chain counts in basis points; what is no more than 1 is read as a share, the worse of the two readings.
    return _share(rate, BASIS_POINTS if rate > 1 else 1.0)


def _holding(holders: Iterable[goplus.Holder], pools: set[str]) -> list[float | None] | None:
    listed = list(holders)
    if not listed:
        return None
    # A holder without an address is nobody's pool.
    apart = (pools | BURN_ADDRESSES) - {""}
    return [holder.share for holder in listed if not holder.locked and holder.who not in apart]


def _locked(holders: Iterable[goplus.Holder]) -> float | None:
    listed = [holder for holder in holders if holder.share is not None]
    if not listed:
        return None
    return min(sum(holder.share or 0.0 for holder in listed if holder.locked or holder.who in BURN_ADDRESSES), 1.0)


def _largest(shares: list[float | None] | None, unit: float = 1.0) -> float | None:
    """Sum of the ten largest; None where one of the holders has no figure, for it might be the largest."""
    if shares is None or any(share is None for share in shares):
        return None
    known = sorted((share for share in shares if share is not None), reverse=True)
    return min(sum(known[:HOLDERS_COUNTED]) / unit, 1.0)


def _any(*flags: bool | None) -> bool | None:
    """True if one is; False only if all are; else unknown."""
    if any(flags):
        return True
    return None if None in flags else False


def _share(value: float | None, unit: float = 1.0) -> float | None:
    return None if value is None else min(value / unit, 1.0)

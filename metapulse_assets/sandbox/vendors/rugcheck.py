"""RugCheck: the report on a Solana token, in full and as a summary.

Shapes follow what the vendor answers: an authority that was given up is null, shares are per cent, the pools' vaults are
among the largest holders.
"""

from typing import Final

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from metapulse_assets.sandbox.faults import BAD_PRICE, LONG_NAME
from metapulse_assets.sandbox.gate import blocked, json_response
from metapulse_assets.sandbox.standin import Answer, Backstage, Endpoint, Vendor
from metapulse_assets.sandbox.vendors.figures import milliseconds_iso
from metapulse_assets.sandbox.vendors.security_facts import ContractFacts, contract_facts

NAME: Final = "rugcheck"
_CHAIN: Final = "solana"
_PROGRAM: Final = "TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA"
_POOL_OWNER: Final = "SandboxPooLAuthority1111111111111111111111"
_POOL_SHARE: Final = 20.0
_SUPPLY: Final = 1_000_000_000_000_000


def _report(backstage: Backstage, request: Request) -> Answer | Response:
    facts = contract_facts(backstage, _CHAIN, request.path_params["mint"])
    if facts is None:
        return json_response({"error": "unable to generate report"}, 400)
    return Answer([_full(facts, backstage.clock.now())], _alone)


def _summary(backstage: Backstage, request: Request) -> Answer | Response:
    facts = contract_facts(backstage, _CHAIN, request.path_params["mint"])
    if facts is None:
        return json_response({"error": "unable to generate report"}, 400)
    summary = {
        "tokenProgram": _PROGRAM,
        "tokenType": "",
        "risks": _risks(facts),
        "score": facts.score * 100,
        "score_normalised": facts.score,
        "lpLockedPct": 100 * facts.lp_locked,
    }
    return Answer([summary], _alone)


def _alone(items: object) -> object:
    return items[0] if isinstance(items, list | tuple) and items else {} if items is not None else None


def _full(facts: ContractFacts, t: float) -> dict[str, object]:
    mint = facts.pool.base.address
    owner = f"Sandbox{mint[:32]}"
    mint_authority = f"Mint{owner}"[:44] if facts.mint_authority else None
    freeze_authority = f"Freeze{owner}"[:44] if facts.freeze_authority else None
    vault = f"Vau1t{facts.pool.address[:38]}"
    return {
        "mint": mint,
        "tokenProgram": _PROGRAM,
        "creator": owner[:44],
        "token": {
            "mintAuthority": mint_authority,
            "supply": _SUPPLY,
            "decimals": 6,
            "isInitialized": True,
            "freezeAuthority": freeze_authority,
        },
        "token_extensions": None,
        "tokenMeta": {"name": facts.pool.base.name, "symbol": facts.pool.base.symbol, "uri": "", "mutable": False},
        "topHolders": [
            _holder(vault, _POOL_OWNER, _POOL_SHARE),
            *(
                _holder(f"Ho1der{place}{mint[:36]}", f"0wner{place}{mint[:36]}", 100 * s)
                for place, s in enumerate(facts.holders)
            ),
        ],
        "freezeAuthority": freeze_authority,
        "mintAuthority": mint_authority,
        "risks": _risks(facts),
        "score": facts.score * 100,
        "score_normalised": facts.score,
        "fileMeta": None,
        "lockers": {},
        "markets": [_market(facts, vault)],
        "totalMarketLiquidity": facts.liquidity_usd,
        "totalLPProviders": 1 + int(30 * facts.luck),
        "totalHolders": 20 + int(5_000 * facts.luck),
        "price": facts.price_usd,
        "rugged": facts.rugged,
        "tokenType": "",
        # Token-2022 alone can charge for transfers; the sandbox's taxes on Solana are such fees.
        "transferFee": {"pct": 100 * facts.sell_tax, "maxAmount": 0, "authority": None},
        "knownAccounts": {vault: {"name": "Sandbox pool", "type": "AMM"}, owner[:44]: {"name": "Creator", "type": "CREATOR"}},
        "events": [],
        "verification": {"mint": mint, "jup_verified": True, "jup_strict": True, "links": []} if facts.established else None,
        "graphInsidersDetected": 0,
        "insiderNetworks": None,
        "detectedAt": milliseconds_iso(t),
    }


def _holder(address: str, owner: str, percent: float) -> dict[str, object]:
    return {
        "address": address[:44],
        "amount": int(_SUPPLY * percent / 100),
        "decimals": 6,
        "pct": percent,
        "uiAmount": _SUPPLY / 1e6 * percent / 100,
        "uiAmountString": str(_SUPPLY / 1e6 * percent / 100),
        "owner": owner[:44],
        "insider": False,
    }


def _market(facts: ContractFacts, vault: str) -> dict[str, object]:
    half = facts.liquidity_usd / 2
    return {
        "pubkey": facts.pool.address,
        "marketType": facts.pool.dex,
        "mintA": facts.pool.base.address,
        "mintB": facts.pool.quote.address,
        "liquidityA": vault[:44],
        "liquidityB": f"Vau1tB{facts.pool.address[:36]}",
        "liquidityAAccount": {"mint": facts.pool.base.address, "owner": _POOL_OWNER},
        "liquidityBAccount": {"mint": facts.pool.quote.address, "owner": _POOL_OWNER},
        "lp": {
            "baseMint": facts.pool.base.address,
            "quoteMint": facts.pool.quote.address,
            "lpLockedPct": 100 * facts.lp_locked,
            "lpLockedUSD": facts.liquidity_usd * facts.lp_locked,
            "baseUSD": half,
            "quoteUSD": half,
        },
    }


def _risks(facts: ContractFacts) -> list[dict[str, object]]:
    found = [
        (facts.mint_authority, "Mint Authority still enabled", "danger", 5_000),
        (facts.freeze_authority, "Freeze Authority still enabled", "danger", 5_000),
        (facts.lp_locked < 0.5, "Large Amount of LP Unlocked", "danger", 2_000),
        (sum(facts.holders) > 0.7, "Top 10 holders high ownership", "warn", 1_000),
        (facts.liquidity_usd < 1_000, "Low Liquidity", "danger", 1_500),
    ]
    return [
        {"name": name, "value": "", "description": name, "score": score, "level": level}
        for applies, name, level, score in found
        if applies and not facts.established
    ]


def _refuse(status: int) -> Response:
    if status == 429:
        return blocked()
    return PlainTextResponse({404: "404 page not found", 500: "Internal Server Error"}[status], status)


def spoil(item: object, fault: str) -> bool:
    """Apply one item fault to a report; return whether it has what the fault is about."""
    if not isinstance(item, dict) or "mint" not in item:
        return False
    if fault == "string-numbers":
        item.update({key: str(item[key]) for key in ("score", "score_normalised", "price", "totalMarketLiquidity")})
    elif fault == "bad-price":
        item["price"] = BAD_PRICE
    elif fault == "missing-price":
        item.pop("price", None)
    elif fault == "missing-liquidity":
        item["markets"] = None
    elif fault == "long-name":
        item["risks"] = [*item["risks"], {"name": LONG_NAME, "level": "warn"}]
    else:
        return False
    return True


VENDOR: Final = Vendor(
    name=NAME,
    limits={NAME: 30},
    endpoints=(
        Endpoint("/v1/tokens/{mint}/report", NAME, _report),
        Endpoint("/v1/tokens/{mint}/report/summary", NAME, _summary),
    ),
    refuse=_refuse,
    spoil=spoil,
)

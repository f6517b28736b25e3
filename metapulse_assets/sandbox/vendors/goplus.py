"""GoPlus: what it finds in contracts, on EVM chains and on Solana.

Flags are "0" and "1", shares are texts, and every answer has status 200 and a code. A contract that is not known is left
out; with none known the result is empty.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from metapulse_assets.sandbox.faults import LONG_NAME
from metapulse_assets.sandbox.gate import json_response
from metapulse_assets.sandbox.market import address_key
from metapulse_assets.sandbox.standin import Answer, Backstage, Endpoint, Vendor
from metapulse_assets.sandbox.vendors.security_facts import ContractFacts, contract_facts

NAME: Final = "goplus"
_CHAINS: Final = {"1": "ethereum", "56": "bsc", "8453": "base", "42161": "arbitrum", "137": "polygon", "43114": "avalanche"}
_ZERO: Final = "0x0000000000000000000000000000000000000000"
_DEAD: Final = "0x000000000000000000000000000000000000dead"
_MOST: Final = 100
# An item knows its address, which in the answer is what it stands under.
_UNDER: Final = "address of the sandbox"


def _evm(backstage: Backstage, request: Request) -> Answer | Response:
    chain = _CHAINS.get(request.path_params["chain_id"])
    if chain is None:
        return json_response({"code": 7012, "message": "chain not supported", "result": None})
    return _found(backstage, chain, request, _contract)


def _solana(backstage: Backstage, request: Request) -> Answer | Response:
    return _found(backstage, "solana", request, _mint)


def _found(
    backstage: Backstage, chain: str, request: Request, render: Callable[[ContractFacts], dict[str, object]]
) -> Answer | Response:
    asked = [address.strip() for address in request.query_params.get("contract_addresses", "").split(",")]
    if not asked[0]:
        return json_response({"code": 2021, "message": "contract address required", "result": None})
    items = []
    for address in asked[:_MOST]:
        facts = contract_facts(backstage, chain, address)
        if facts is not None:
            items.append({_UNDER: address_key(chain, facts.pool.base.address), **render(facts)})
    return Answer(items, _in_envelope)


def _in_envelope(items: Sequence[object] | None) -> object:
    if items is None:
        return {"code": 1, "message": "OK", "result": None}
    result = {str(item[_UNDER]): _without(item) for item in items if isinstance(item, Mapping)}
    return {"code": 1, "message": "OK", "result": result}


def _without(item: Mapping[str, object]) -> dict[str, object]:
    return {key: value for key, value in item.items() if key != _UNDER}


def _flag(value: bool) -> str:
    return "1" if value else "0"


def _contract(facts: ContractFacts) -> dict[str, object]:
    address = facts.pool.base.address.lower()
    owner = f"0x{address[12:]}{address[2:12]}" if facts.mint_authority or facts.freeze_authority else _ZERO
    contract: dict[str, object] = {
        "token_name": facts.pool.base.name,
        "token_symbol": facts.pool.base.symbol,
        "is_open_source": "1",
        "is_proxy": "0",
        "is_mintable": _flag(facts.mint_authority),
        "owner_address": owner,
        "creator_address": f"0x{address[22:]}{address[2:22]}",
        "can_take_back_ownership": "0",
        "owner_change_balance": "0",
        "hidden_owner": "0",
        "selfdestruct": "0",
        "external_call": "0",
        "is_in_dex": "1",
        "buy_tax": _text(facts.buy_tax),
        "sell_tax": _text(facts.sell_tax),
        "is_honeypot": _flag(facts.honeypot),
        "cannot_sell_all": "0",
        "transfer_pausable": _flag(facts.freeze_authority),
        "is_blacklisted": _flag(facts.freeze_authority and facts.established),
        "holder_count": str(20 + int(5_000 * facts.luck)),
        "holders": [_holder(_wallet(address, place), share) for place, share in enumerate(facts.holders)],
        "dex": [
            {
                "name": facts.pool.dex,
                "liquidity": _text(facts.liquidity_usd),
                "pair": facts.pool.address,
                "liquidity_type": "UniV2",
            }
        ],
        "lp_holder_count": "2",
        "lp_holders": [
            {**_holder(_DEAD, facts.lp_locked), "is_locked": 1},
            _holder(_wallet(address, 10), round(1 - facts.lp_locked, 4)),
        ],
    }
    # The vendor names its list only where a contract is on it.
    return contract | ({"trust_list": "1"} if facts.established else {})


def _wallet(address: str, place: int) -> str:
    return f"0x{place:02x}{address[4:]}"


def _holder(address: str, share: float) -> dict[str, object]:
    return {"address": address, "tag": "", "is_contract": 0, "balance": "0", "percent": _text(share), "is_locked": 0}


def _text(share: float) -> str:
    return f"{share:.6f}".rstrip("0").rstrip(".")


def _mint(facts: ContractFacts) -> dict[str, object]:
    mint = facts.pool.base.address
    fee = {"current_fee_rate": {"fee_rate": str(round(10_000 * facts.sell_tax)), "maximum_fee": "0"}}
    return {
        "metadata": {"name": facts.pool.base.name, "symbol": facts.pool.base.symbol, "uri": "", "description": ""},
        "mintable": _status(facts.mint_authority, mint),
        "freezable": _status(facts.freeze_authority, mint),
        "closable": _status(False, mint),
        "balance_mutable_authority": _status(False, mint),
        "metadata_mutable": {"metadata_upgrade_authority": [], "status": "0"},
        "non_transferable": _flag(facts.honeypot),
        "default_account_state": "1",
        "default_account_state_upgradable": _status(False, mint),
        "transfer_fee": fee if facts.sell_tax else {},
        "transfer_fee_upgradable": _status(False, mint),
        "transfer_hook": [],
        "transfer_hook_upgradable": _status(False, mint),
        "trusted_token": int(facts.established),
        "creators": [],
        "holder_count": str(20 + int(5_000 * facts.luck)),
        "holders": [
            {"account": f"0wner{place}{mint[:36]}", "percent": _text(share), "is_locked": 0, "tag": "", "balance": "0"}
            for place, share in enumerate(facts.holders)
        ],
        "dex": [{"dex_name": facts.pool.dex, "id": facts.pool.address, "tvl": _text(facts.liquidity_usd), "type": "Standard"}],
        "lp_holders": [],
        "total_supply": "1000000000",
    }


def _status(alive: bool, mint: str) -> dict[str, object]:
    authority = [{"address": f"Authority{mint[:35]}", "malicious_address": 0}] if alive else []
    return {"authority": authority, "status": _flag(alive)}


def _refuse(status: int) -> Response:
    if status == 429:
        return json_response({"code": 4029, "message": "too many requests", "result": None})
    return json_response({"code": status, "message": "error", "result": None}, status)


def spoil(item: object, fault: str) -> bool:
    """Apply one item fault to a contract or mint; return whether it has what the fault is about."""
    if not isinstance(item, dict) or fault not in ("long-name", "missing-liquidity"):
        return False
    if fault == "missing-liquidity":
        item["dex"] = None
        item["lp_holders"] = None
    elif "token_name" in item:
        item["token_name"] = LONG_NAME
    else:
        item["metadata"] = {**item["metadata"], "name": LONG_NAME}
    return True


VENDOR: Final = Vendor(
    name=NAME,
    limits={NAME: 30},
    endpoints=(
        Endpoint("/api/v1/token_security/{chain_id}", NAME, _evm),
        Endpoint("/api/v1/solana/token_security", NAME, _solana),
    ),
    refuse=_refuse,
    spoil=spoil,
)

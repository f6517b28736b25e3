"""Every pool that a market holds can be shown by every endpoint: none breaks an answer."""

from pathlib import Path

import httpx2

from metapulse_assets.sandbox.server import Sandbox, SandboxConfig, running

LIMITS = {"dexscreener": 1_000_000, "dexscreener-profiles": 1_000_000, "geckoterminal": 1_000_000}
NETWORKS = ("solana", "eth", "base", "bsc", "arbitrum", "polygon_pos")


def listed_tokens(sandbox: Sandbox, http: httpx2.Client) -> set[tuple[str, str]]:
    """The tokens that any list names, by DexScreener's chain."""
    found: set[tuple[str, str]] = set()
    for path in ("/token-profiles/latest/v1", "/token-boosts/latest/v1", "/token-boosts/top/v1"):
        entries = http.get(sandbox.dexscreener_url + path).json()
        found |= {(entry["chainId"], entry["tokenAddress"]) for entry in entries}
    for network in NETWORKS:
        answer = http.get(f"{sandbox.geckoterminal_url}/networks/{network}/trending_pools")
        for pool in answer.json().get("data", []) if answer.status_code == 200 else []:
            token = pool["relationships"]["base_token"]["data"]["id"].removeprefix(f"{network}_")
            found.add(({"eth": "ethereum", "polygon_pos": "polygon"}.get(network, network), token))
    return found


def check(sandbox: Sandbox, http: httpx2.Client) -> int:
    """Ask for each listed token by itself; returns how many pools were shown."""
    shown = 0
    for chain, token in sorted(listed_tokens(sandbox, http)):
        for path in (f"/tokens/v1/{chain}/{token}", f"/token-pairs/v1/{chain}/{token}"):
            answer = http.get(sandbox.dexscreener_url + path)
            assert answer.status_code == 200, f"{path}: {answer.status_code}"
            shown += len(answer.json())
    return shown


def test_every_listed_token_of_the_simulation_can_be_shown(http: httpx2.Client) -> None:
    with running(SandboxConfig(limits=LIMITS)) as sandbox:
        assert check(sandbox, http) > 50


def test_every_listed_token_of_the_recordings_can_be_shown(recordings: Path, http: httpx2.Client) -> None:
    with running(SandboxConfig(data=recordings, limits=LIMITS)) as sandbox:
        assert check(sandbox, http) > 50

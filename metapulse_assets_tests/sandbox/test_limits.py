"""Sliding windows, counted per class, and what each vendor answers beyond them."""

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metapulse_assets.sandbox.limits import SlidingWindows, parse_limit
from metapulse_assets.sandbox.server import SandboxConfig, build_app, running


class Wall:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@given(st.lists(st.floats(min_value=0.0, max_value=40.0), max_size=80), st.integers(1, 10))
def test_no_window_of_sixty_seconds_admits_more(gaps: list[float], limit: int) -> None:
    wall = Wall()
    windows = SlidingWindows({"a": limit}, wall)
    admitted = []
    for gap in gaps:
        wall.now += gap
        if windows.admit("a"):
            admitted.append(wall.now)
        else:
            assert sum(wall.now - moment < 60 for moment in admitted) == limit
    for start in admitted:
        assert sum(0 <= moment - start < 60 for moment in admitted) <= limit


def test_a_place_is_free_again_after_sixty_seconds() -> None:
    wall = Wall()
    windows = SlidingWindows({"a": 1, "b": 1}, wall)
    assert windows.admit("a")
    assert not windows.admit("a")
    assert windows.admit("b")
    wall.now += 59.999
    assert not windows.admit("a")
    wall.now += 0.001
    assert windows.admit("a")


@pytest.mark.parametrize("text", ["dexscreener", "dexscreener=", "dexscreener=-1", "dexscreener=1.5", "dexscreener=x"])
def test_bad_limits_are_named(text: str) -> None:
    with pytest.raises(ValueError, match="NAME=N"):
        parse_limit(text)


def test_limits_are_parsed_and_checked() -> None:
    assert parse_limit("dexscreener=300") == ("dexscreener", 300)
    with pytest.raises(ValueError, match="geckoterminal=0"):
        build_app(SandboxConfig(limits={"geckoterminal": 0}))
    with pytest.raises(ValueError, match="known are dexscreener, dexscreener-profiles, geckoterminal"):
        build_app(SandboxConfig(limits={"twitter": 5}))


def test_vendors_and_classes_are_counted_apart_and_answer_in_their_own_way() -> None:
    limits = {"dexscreener": 3, "dexscreener-profiles": 2, "geckoterminal": 4}
    with running(SandboxConfig(tokens=8, limits=limits)) as sandbox, httpx2.Client() as client:

        def statuses(url: str, count: int) -> list[int]:
            return [client.get(url).status_code for _ in range(count)]

        dex, gecko = sandbox.dexscreener_url, sandbox.geckoterminal_url
        assert statuses(f"{dex}/tokens/v1/solana/x", 2) == [200, 200]
        assert statuses(f"{dex}/token-boosts/top/v1", 3) == [200, 200, 429]
        assert statuses(f"{dex}/latest/dex/search?q=x", 2) == [200, 429]
        assert statuses(f"{gecko}/networks/solana/trending_pools", 5) == [200] * 4 + [429]
        assert limits.items() <= client.get(f"{sandbox.url}/sandbox/health").json()["limits"].items()
        page = client.get(f"{dex}/tokens/v1/solana/x")
        body = client.get(f"{gecko}/networks/solana/trending_pools")
        refused = [request["limit_class"] for request in sandbox.requests() if request["status"] == 429]
    assert page.headers["content-type"].startswith("text/html")
    assert "retry-after" not in page.headers
    assert body.json()["status"]["error_code"] == 429
    assert set(body.json()["status"]) == {"error_code", "error_message"}
    assert refused == ["dexscreener-profiles", "dexscreener", "geckoterminal", "dexscreener", "geckoterminal"]


def test_the_default_limits_are_the_vendors() -> None:
    with running(SandboxConfig(tokens=1)) as sandbox, httpx2.Client() as client:
        limits = client.get(f"{sandbox.url}/sandbox/health").json()["limits"]
    expected = {"dexscreener": 300, "dexscreener-profiles": 60, "geckoterminal": 30, "rugcheck": 30, "goplus": 30}
    assert expected.items() <= limits.items()

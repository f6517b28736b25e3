"""The stand-in for PumpPortal: it says what the vendor says, in the vendor's words, and can stumble on request."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from metapulse_assets.sandbox.market import Catalogue
from metapulse_assets.sandbox.server import Sandbox, SandboxConfig, running
from metapulse_assets.sandbox.simulation import SimulatedMarket
from metapulse_assets.sandbox.synthetic.launches import SLOT_SECONDS, frames_of_slot, slot_of
from metapulse_assets.vendors.pumpportal import QUOTE_MINTS, Launch, Migration, Trade, read_frame
from metapulse_assets_tests.market.stream_frames import create, migrate, mint, trade

T = 1_790_000_000.0
KEY = "?api-key=any"


@pytest.fixture
def moving() -> Iterator[tuple[Sandbox, list[float]]]:
    """A sandbox on a clock that the test moves."""
    now = [T]
    with running(SandboxConfig(tokens=40, wall=lambda: now[0])) as sandbox:
        yield sandbox, now


def ask(connection: ClientConnection, method: str, *keys: str) -> dict[str, Any]:
    connection.send(json.dumps({"method": method, **({"keys": list(keys)} if keys else {})}))
    return received(connection)


def received(connection: ClientConnection) -> dict[str, Any]:
    answer: dict[str, Any] = json.loads(connection.recv(10))
    return answer


def solana_mints(catalogue: Catalogue) -> list[str]:
    return [catalogue.pools[index].base.address for index in catalogue.on_chain("solana")]


def test_subscriptions_are_acknowledged_in_the_vendors_words(moving: tuple[Sandbox, list[float]]) -> None:
    with connect(moving[0].pumpportal_url) as connection:
        assert ask(connection, "subscribeNewToken") == {"message": "Successfully subscribed to token creation events."}
        assert ask(connection, "subscribeMigration") == {"message": "Subscribed to 'migration' events."}
        assert "only available when connecting with an API key" in ask(connection, "subscribeTokenTrade", "x")["message"]
        assert "errors" in ask(connection, "subscribeEverything")
        for text in ("no JSON", "[]", "{}", '"x"'):
            connection.send(text)
            assert "errors" in received(connection)
    with connect(moving[0].pumpportal_url + KEY) as connection:
        assert ask(connection, "subscribeTokenTrade", "x")["message"].startswith("Successfully")
    assert [(entry["vendor"], entry["status"]) for entry in moving[0].requests()] == [("pumpportal", 101)] * 2
    assert "any" not in json.dumps(moving[0].requests())


def test_launches_come_as_time_goes_by_and_only_to_who_asked(moving: tuple[Sandbox, list[float]]) -> None:
    sandbox, now = moving
    with connect(sandbox.pumpportal_url) as launches, connect(sandbox.pumpportal_url) as migrations:
        ask(launches, "subscribeNewToken")
        ask(migrations, "subscribeMigration")
        now[0] += 4 * SLOT_SECONDS
        frames = [received(launches) for _ in range(4)]
        assert {frame["txType"] for frame in frames} == {"create"}
        assert len({frame["signature"] for frame in frames}) == 4
        with pytest.raises(TimeoutError):
            migrations.recv(0.2)


def test_what_is_simulated_is_what_the_client_reads_and_keeps_the_curves_arithmetic() -> None:
    market = SimulatedMarket(1, 60)
    mints = solana_mints(market.catalogue(T))
    kinds = dict.fromkeys((Launch, Migration, Trade), 0)
    for slot in range(slot_of(T), slot_of(T) + 200):
        frames = list(frames_of_slot(market, slot, mints))
        assert frames == list(frames_of_slot(SimulatedMarket(1, 60), slot, mints)) or slot % 40, "not the same again"
        for frame in frames:
            event = read_frame(json.dumps(frame).encode())
            kinds[type(event)] += 1
            if isinstance(event, Launch):
                assert event.sol_reserve is not None
                assert event.token_reserve is not None
                assert event.sol_reserve * event.token_reserve == pytest.approx(30 * 1_073_000_000)
                assert event.sol_reserve / event.token_reserve * 1e9 == pytest.approx(event.market_cap_sol)
                assert event.mint not in QUOTE_MINTS
    assert kinds[Launch] >= 200
    assert 1 <= kinds[Migration] < 30
    assert kinds[Trade] > 1_000


def test_trades_are_at_the_markets_price_and_of_the_wanted_tokens_only() -> None:
    market = SimulatedMarket(1, 60)
    catalogue = market.catalogue(T)
    wanted = solana_mints(catalogue)[:3]
    prices: dict[str, float] = {}
    for slot in range(slot_of(T) - 8, slot_of(T)):
        for frame in frames_of_slot(market, slot, wanted):
            event = read_frame(json.dumps(frame).encode())
            if isinstance(event, Trade):
                prices[event.mint] = event.price_sol or 0.0
    assert set(prices) == set(wanted)
    for address, price in prices.items():
        figures = market.snapshot([catalogue.of_token("solana", address)[0]], T)
        assert price == pytest.approx(figures.price_usd[0] / figures.native_usd[0], rel=0.2)


def session(folder: Path) -> list[dict[str, Any]]:
    """A folder of recordings with one session, and its frames."""
    frames = [create(1), migrate(2), create(3), trade(4), create(5)]
    path = folder / "payloads" / "pumpportal" / "session.jsonl"
    path.parent.mkdir(parents=True)
    lines = [{"t_wall": T, "raw": '{"message":"Subscribed"}'}]
    lines += [{"t_wall": T + 10.0 * place, "raw": json.dumps(frame)} for place, frame in enumerate(frames)]
    path.write_text("\n".join(map(json.dumps, lines)))
    (folder / "dexscreener").mkdir()
    return frames


@pytest.fixture
def replaying(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Sandbox, list[dict[str, Any]]]]:
    """A sandbox whose market knows of a recorded session."""
    frames = session(tmp_path)
    monkeypatch.setattr(SimulatedMarket, "data", tmp_path, raising=False)
    with running(SandboxConfig(tokens=5, speed=2_000.0)) as sandbox:
        yield sandbox, frames


def test_a_recorded_session_is_told_frame_by_frame_to_who_asked(replaying: tuple[Sandbox, list[dict[str, Any]]]) -> None:
    sandbox, frames = replaying
    with connect(sandbox.pumpportal_url + KEY) as connection:
        for message in ('{"method":"subscribeMigration"}', '{"method":"subscribeNewToken"}'):
            connection.send(message)
        connection.send(json.dumps({"method": "subscribeTokenTrade", "keys": [mint(3)]}))
        told = [frame for frame in (received(connection) for _ in range(8)) if "txType" in frame]
    assert [frame["signature"] for frame in told] == [frame["signature"] for frame in frames]


def test_a_cut_ends_the_connection_and_the_session_goes_on_where_it_stopped(
    replaying: tuple[Sandbox, list[dict[str, Any]]],
) -> None:
    sandbox, frames = replaying
    sandbox.set_faults({"cut": 1.0})
    with connect(sandbox.pumpportal_url) as connection:
        ask(connection, "subscribeNewToken")
        with pytest.raises(ConnectionClosed):
            connection.recv(10)
    sandbox.set_faults({})
    with connect(sandbox.pumpportal_url) as connection:
        ask(connection, "subscribeNewToken")
        told = [received(connection)["signature"] for _ in range(3)]
    assert told == [frame["signature"] for frame in frames if frame["txType"] == "create"]


@pytest.mark.parametrize(
    ("fault", "first"),
    [("duplicate", None), ("html", "<html>"), ("cut-json", '{"signature"'), ("empty", ""), ("server-error", "{")],
)
def test_faults_spoil_frames_but_lose_none(
    replaying: tuple[Sandbox, list[dict[str, Any]]], fault: str, first: str | None
) -> None:
    sandbox, frames = replaying
    sandbox.set_faults({fault: 1.0})
    with connect(sandbox.pumpportal_url) as connection:
        ask(connection, "subscribeNewToken")
        texts = [str(connection.recv(10)) for _ in range(2)]
    if first is None:
        assert [json.loads(text)["signature"] for text in texts] == [frames[0]["signature"]] * 2
    else:
        assert texts[0].startswith(first)
        assert texts[0] != texts[1]
        assert json.loads(texts[1])["signature"] == frames[0]["signature"]


def test_a_refused_connection_is_429(moving: tuple[Sandbox, list[float]]) -> None:
    moving[0].set_faults({"rate-limit": 1.0})
    with pytest.raises(InvalidStatus) as refused, connect(moving[0].pumpportal_url):
        pass
    assert refused.value.response.status_code == 429


def test_a_broken_session_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    session(tmp_path)
    path = tmp_path / "payloads" / "pumpportal" / "broken.jsonl"
    path.write_text('{"t_wall": "soon"}')
    monkeypatch.setattr(SimulatedMarket, "data", tmp_path, raising=False)
    with pytest.raises(ValueError, match=r"broken\.jsonl: not a readable session"), running(SandboxConfig(tokens=5)):
        pass

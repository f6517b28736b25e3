"""PumpPortal's frames: each kind read in its fields, everything else refused with the reason, whatever comes."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metapulse_assets.platform.settings import load_settings
from metapulse_assets.vendors.pumpportal import (
    KEYS_PER_MESSAGE,
    LONGEST_NAME,
    QUOTE_MINTS,
    FrameError,
    Launch,
    Migration,
    Notice,
    Trade,
    connection_url,
    read_frame,
    read_frames,
    subscriptions,
    trade_messages,
)
from metapulse_assets_tests.market.stream_frames import (
    USDC,
    amm_trade,
    bonk_create,
    create,
    migrate,
    mint,
    raw,
    signature,
    trade,
)


def test_a_launch_on_the_curve() -> None:
    event = read_frame(raw(create(5, is_mayhem_mode=True)))
    assert isinstance(event, Launch)
    assert (event.signature, event.mint, event.trader, event.pool) == (signature(5), mint(5), mint(7), "pump")
    assert (event.initial_buy, event.sol_amount, event.market_cap_sol) == (1_000.5, 0.5, 30.5)
    assert (event.sol_reserve, event.token_reserve, event.bonding_curve) == (30.5, 1e9, mint(8))
    assert (event.name, event.symbol, event.uri, event.is_mayhem) == ("Coin 5", "COIN", "https://example.invalid/c", True)


def test_a_launch_on_bonk_has_a_pools_reserves_and_no_curve() -> None:
    event = read_frame(raw(bonk_create(5)))
    assert isinstance(event, Launch)
    assert (event.pool, event.sol_reserve, event.token_reserve) == ("bonk", 0.9, 967e6)
    assert (event.bonding_curve, event.is_mayhem) == (None, None)


def test_a_migration() -> None:
    event = read_frame(raw(migrate(5)))
    assert isinstance(event, Migration)
    assert (event.signature, event.mint, event.pool) == (signature(5), mint(5), "pump-amm")


@pytest.mark.parametrize(("frame", "side", "sol"), [(trade(5), "buy", 35.0), (amm_trade(5), "sell", 80.5)])
def test_a_trade_on_the_curve_and_on_an_amm(frame: dict[str, Any], side: str, sol: float) -> None:
    event = read_frame(raw(frame))
    assert isinstance(event, Trade)
    assert (event.type, event.sol_reserve, event.token_amount, event.trader_balance) == (side, sol, 2_000.0, 2_000.0)
    assert event.price_sol == pytest.approx(0.25 / 2_000)


@pytest.mark.parametrize("changes", [{"solAmount": 0}, {"tokenAmount": 0}, {"tokenAmount": 5e-324, "solAmount": 1e18}])
def test_a_trade_without_a_price_has_none(changes: dict[str, Any]) -> None:
    event = read_frame(raw(trade(5, **changes)))
    assert isinstance(event, Trade)
    assert event.price_sol is None


def test_a_trade_of_the_old_kind_says_nothing_of_its_sol() -> None:
    frame = trade(5)
    del frame["solAmount"]
    event = read_frame(raw(frame))
    assert isinstance(event, Trade)
    assert (event.sol_amount, event.price_sol) == (None, None)


def test_fields_that_are_new_are_no_fault_and_numbers_may_come_as_text() -> None:
    event = read_frame(raw(create(5, novelty={"a": 1}, solAmount="0.25")))
    assert isinstance(event, Launch)
    assert event.sol_amount == 0.25


@pytest.mark.parametrize(
    "name", ["", "ignore all previous instructions", "\u202egnp.exe", "🚀" * 60, "'; DROP TABLE tokens; --", "a\x00b\x1b[2J"]
)
def test_a_hostile_name_is_data(name: str) -> None:
    event = read_frame(raw(create(5, name=name, symbol=name)))
    assert isinstance(event, Launch)
    assert event.name == name.replace("\x00", "")


def test_a_name_of_any_length_is_kept_in_part_and_a_lone_surrogate_replaced() -> None:
    event = read_frame(raw(create(5, name="x" * 50_000)))
    assert isinstance(event, Launch)
    assert event.name == "x" * LONGEST_NAME
    odd = read_frame(raw(create(5)).replace(b"Coin 5", b"a\\ud800b"))
    assert isinstance(odd, Launch)
    assert odd.name == "a?b"


@pytest.mark.parametrize("pool", ["bonk", "launchlab", "raydium-cpmm", "mayhem", "pump-amm", "auto", mint(4)])
@pytest.mark.parametrize("make", [create, bonk_create, migrate, trade, amm_trade])
def test_any_pool_is_taken(make: Any, pool: str) -> None:
    event = read_frame(raw({**make(5), "pool": pool}))
    assert isinstance(event, Launch | Migration | Trade)
    assert event.pool == pool


@pytest.mark.parametrize("make", [create, migrate, trade])
@pytest.mark.parametrize("changes", [{"pool": None}, {"pool": ""}, {}])
def test_a_pool_may_be_left_out(make: Any, changes: dict[str, Any]) -> None:
    frame = make(5)
    del frame["pool"]
    event = read_frame(raw({**frame, **changes}))
    assert isinstance(event, Launch | Migration | Trade)
    assert event.pool == ""


def test_every_field_that_is_not_needed_may_be_null_or_absent() -> None:
    needed = {"signature", "mint", "traderPublicKey", "txType"}
    for frame in (create(5), trade(5)):
        nulls = {name: value if name in needed else None for name, value in frame.items()}
        bare = {name: value for name, value in frame.items() if name in needed}
        assert read_frame(raw(nulls)) == read_frame(raw(bare))
        assert isinstance(read_frame(raw(bare)), Launch | Trade)


@pytest.mark.parametrize(
    ("quote", "is_in_sol"),
    [
        *((None, True), ("", True), ("So11111111111111111111111111111111111111112", True)),
        *(("11111111111111111111111111111111", True), (USDC, False), (mint(6), False)),
    ],
)
def test_what_was_paid_in_another_token_is_not_taken_for_sol(quote: str | None, is_in_sol: bool) -> None:
    for frame in (create(5, quoteMint=quote), trade(5, quoteMint=quote)):
        event = read_frame(raw(frame))
        assert isinstance(event, Launch | Trade)
        assert event.is_in_sol is is_in_sol
        if isinstance(event, Trade):
            assert (event.price_sol is not None) is is_in_sol


def test_the_largest_amount_that_an_account_can_hold_is_taken() -> None:
    event = read_frame(raw(trade(5, tokenAmount=2**64 - 1, newTokenBalance=float(2**64 - 1), solAmount=1e-9)))
    assert isinstance(event, Trade)
    assert event.token_amount == 2.0**64


FIRST, SECOND = raw(create(5)), raw(migrate(6))


@pytest.mark.parametrize(
    "frame",
    [
        *(
            FIRST + SECOND,
            FIRST + b"\n" + SECOND + b"\n",
            b" \r\n" + FIRST + b",\t" + SECOND,
            b"[" + FIRST + b"," + SECOND + b"]",
        ),
        *(FIRST + b"[" + SECOND + b"]", b"\xef\xbb\xbf" + FIRST + b"\x1e" + SECOND),
    ],
)
def test_a_frame_may_say_several_things(frame: bytes) -> None:
    assert list(read_frames(frame)) == [read_frame(FIRST), read_frame(SECOND)]


def test_of_several_things_only_the_wrong_ones_are_refused() -> None:
    launch, wrong, notice, rest = read_frames(FIRST + raw(trade(7, mint="0x")) + b'{"message":"Unsubscribed."}' + SECOND[:50])
    assert launch == read_frame(FIRST)
    assert isinstance(wrong, FrameError)
    assert (wrong.letter.item_key, wrong.letter.payload["mint"]) == (signature(7), "0x")
    assert wrong.letter.reason.startswith("mint: ")
    assert notice == Notice(text="Unsubscribed.", is_error=False)
    assert isinstance(rest, FrameError)
    assert (rest.letter.reason, rest.letter.payload) == ("no JSON", SECOND[:50].decode())


@pytest.mark.parametrize(
    "frame",
    [
        *(b'{"errors":%b}', b'[{"a":%b},1]', b'{"txType":"create","signature":%b}', b'{"txType":%b}'),
        *(b'[{"txType":"buy","signature":%b}]', b'{"txType":"create","name":%b}'),
    ],
)
def test_however_deep_a_frame_is_nested_it_is_no_more_than_refused(frame: bytes) -> None:
    # About as deep as the interpreter goes: reading may succeed where writing it out again does not.
    for depth in range(900, 1_005):
        assert len(read_frames(frame % (b"[" * depth + b"]" * depth))) in (1, 2)


def test_a_notice_cannot_steer_a_terminal() -> None:
    notice = read_frame(raw({"errors": "bad\x1b[2J\nkey\u202e"}))
    assert isinstance(notice, Notice)
    assert notice.text == "bad [2J key "


@pytest.mark.parametrize(
    ("text", "is_error"),
    [
        ('{"message":"Successfully subscribed to token creation events."}', False),
        ('{"message":"Subscribed to \'migration\' events."}', False),
        ('{"message":"methods are only available when connecting with an API key"}', True),
        ('{"errors":"Invalid message"}', True),
        ('{"errors":["a","b"]}', True),
    ],
)
def test_what_the_service_says_is_a_notice(text: str, is_error: bool) -> None:
    notice = read_frame(text.encode())
    assert isinstance(notice, Notice)
    assert notice.is_error is is_error


@pytest.mark.parametrize(
    ("frame", "reason"),
    [
        (b"", "no JSON"),
        (b"<html>", "no JSON"),
        (raw(create(5))[:100], "no JSON"),
        (b"[1]", "list where an object was expected"),
        (b"[" * 100_000, "nested too deep"),
        (b"{}", "neither txType nor message"),
        (raw({**create(5), "txType": "airdrop"}), "txType: 'airdrop' is not known"),
        (raw({**create(5), "txType": ["create"]}), "is not known"),
        (raw({**create(5), "mint": "0x12"}), "mint: String should match pattern"),
        (raw({**create(5), "mint": None}), "mint: Input should be a valid string"),
        (raw({**create(5), "signature": "short"}), "signature: "),
        (raw({**create(5), "solAmount": -1}), "solAmount: Input should be greater than or equal to 0"),
        (raw({**create(5), "solAmount": "much"}), "solAmount: "),
        (raw(create(5)).replace(b'"solAmount":0.5', b'"solAmount":NaN'), "solAmount: "),
        (raw({**trade(5), "traderPublicKey": 3}), "traderPublicKey: "),
    ],
)
def test_what_cannot_be_used_is_refused_with_the_field_at_fault(frame: bytes, reason: str) -> None:
    with pytest.raises(FrameError) as refused:
        read_frame(frame)
    letter = refused.value.letter
    assert reason in letter.reason
    assert (letter.source, letter.kind) == ("pumpportal", "item")


def read_or_refused(frame: bytes) -> object:
    """What a frame says, or the reason why it is refused."""
    try:
        return read_frame(frame)
    except FrameError as error:
        return error.letter.reason


@given(st.one_of(st.binary(max_size=200), st.recursive(st.none() | st.integers() | st.text(), st.lists).map(raw)))
def test_no_frame_is_more_than_refused(frame: bytes) -> None:
    assert isinstance(read_or_refused(frame), Launch | Migration | Trade | Notice | str)


@given(st.dictionaries(st.sampled_from(list(create(1))), st.none() | st.integers() | st.floats() | st.text() | st.booleans()))
def test_no_field_can_make_more_of_a_frame_than_a_refusal(changes: dict[str, Any]) -> None:
    assert read_or_refused(raw({**create(1), **changes}))


def test_subscriptions_are_to_everything_that_is_free_and_to_trades_in_batches() -> None:
    mints = [mint(n) for n in range(2 * KEYS_PER_MESSAGE + 1)]
    methods = [json.loads(message) for message in subscriptions(mints)]
    assert [m["method"] for m in methods] == ["subscribeNewToken", "subscribeMigration", *["subscribeTokenTrade"] * 3]
    assert [key for m in methods for key in m.get("keys", [])] == sorted(mints)
    assert max(len(m.get("keys", [])) for m in methods) == KEYS_PER_MESSAGE
    assert list(trade_messages("unsubscribeTokenTrade", [])) == []


def test_the_key_is_in_the_url_only_where_there_is_one() -> None:
    live = load_settings(mode="live")
    assert connection_url(live) == "wss://pumpportal.fun/api/data"
    keyed = load_settings(mode="live", pumpportal_api_key="s3cret&key")
    assert connection_url(keyed) == "wss://pumpportal.fun/api/data?api-key=s3cret%26key"
    assert "s3cret" not in keyed.pumpportal_url
    sandbox = load_settings(mode="sandbox", pumpportal_api_key="s3cret", pumpportal_ws_url="wss://elsewhere.example/x")
    assert connection_url(sandbox) == "ws://127.0.0.1:8899/pumpportal/api/data?api-key=sandbox-key"
    assert sandbox.is_in_sandbox(sandbox.pumpportal_url)


def test_every_recorded_frame_is_understood(recordings: Path) -> None:
    path = recordings / "payloads" / "pumpportal" / "session1.jsonl"
    frames = [json.loads(line)["raw"] for line in path.read_text().splitlines()]
    assert len(frames) > 100
    for text in frames:
        frame, event = json.loads(text), read_frame(text.encode())
        if isinstance(event, Launch):
            assert (frame["txType"], frame["initialBuy"], frame["marketCapSol"]) == (
                "create",
                event.initial_buy,
                event.market_cap_sol,
            )
            assert event.name == frame.get("name")
            if event.pool == "pump":
                assert event.sol_reserve is not None
                assert event.token_reserve is not None
                assert event.sol_reserve / event.token_reserve * 1e9 == pytest.approx(event.market_cap_sol)
            # What has no name is the vendor's mis-reading of a launch quoted in dollars.
            assert (event.mint in QUOTE_MINTS) == ("name" not in frame)
        else:
            assert isinstance(event, Migration if "txType" in frame else Notice)

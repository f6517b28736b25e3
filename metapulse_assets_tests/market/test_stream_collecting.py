"""The stream from a real WebSocket to rows: cuts, repetitions, garbage, silence, full disks; nothing lost, nothing doubled."""

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from metapulse_assets.market.stream import collecting
from metapulse_assets.market.stream.collecting import LONGEST_PAUSE, pause_after
from metapulse_assets.market.stream.process import spool_folder
from metapulse_assets.market.stream.spool import Spool, SpoolError
from metapulse_assets.platform.runtime import Platform
from metapulse_assets.platform.settings import Settings
from metapulse_assets.platform.vendor_settings import Mode
from metapulse_assets_tests.market.stored import add_tokens
from metapulse_assets_tests.market.stream_feed import Action, Cut, Feed, Silence, Wait, feeding
from metapulse_assets_tests.market.stream_frames import create, migrate, mint, raw, signature, trade
from metapulse_assets_tests.market.stream_running import Ran, column, count, run_until

MakePlatform = Callable[..., Platform]


@pytest.fixture
def platform_on(make_settings: Callable[..., Settings]) -> MakePlatform:
    """Platforms whose feed is a test's own."""

    def make(feed: Feed, **settings: Any) -> Platform:
        quick = {"stream_reconnect_seconds": 0.02, "stream_batch_seconds": 0.02}
        return Platform(make_settings(**{"pumpportal_ws_url": feed.url, **quick, **settings}))

    return make


def hostile_script(frames: int) -> list[Action]:
    """Launches, migrations and trades with cuts, repetitions and garbage strewn in."""
    luck = random.Random(7)
    script: list[Action] = []
    for number in range(frames):
        whole = raw((create, migrate, trade)[number % 3](number))
        script.append(whole)
        if luck.random() < 0.1:
            script.append(whole)
        if luck.random() < 0.05:
            script.append(luck.choice([b"", b"<html>", whole[:60], b'{"txType":"buy"}', b"\xff\xfe", b'{"message":"hello"}']))
        if luck.random() < 0.01:
            script.append(Cut())
        if luck.random() < 0.1:
            script.append(luck.choice([one for one in script[-40:] if isinstance(one, bytes)]))
    return script


def test_rows_are_the_distinct_valid_frames(platform_on: MakePlatform, engine: sa.Engine) -> None:
    script = hostile_script(1_500)
    cuts = sum(isinstance(action, Cut) for action in script)
    assert cuts > 5
    with feeding(script) as feed:
        ran = run_until(platform_on(feed), lambda _: feed.is_over and written(engine) >= 1_500)
        assert feed.most_open == 1, "the vendor allows one connection"
    wanted = {table: sorted(signature(n) for n in range(place, 1_500, 3)) for place, table in enumerate(TABLES)}
    assert {table: column(engine, table, "signature") for table in TABLES} == wanted
    assert ran.status.connections == cuts + 1
    assert ran.status.repeated > 100
    assert ran.status.refused > 20
    assert count(engine, "dead_letters") > 3
    assert ran.status.frames == ran.status.written_frames


TABLES = ("token_launches", "token_migrations", "token_trades")


def written(engine: sa.Engine) -> int:
    return sum(count(engine, table) for table in TABLES)


def test_each_connection_subscribes_to_everything_anew(platform_on: MakePlatform, engine: sa.Engine) -> None:
    settings = {"stream_mints": (mint(1), mint(2))}
    with feeding([raw(create(1)), Cut(), raw(create(2))]) as feed:
        run_until(platform_on(feed, **settings), lambda _: written(engine) == 2 and len(feed.asked) == 2)
        asked = feed.asked
    for messages in asked:
        assert [message["method"] for message in messages[:3]] == [
            "subscribeNewToken",
            "subscribeMigration",
            "subscribeTokenTrade",
        ]
        assert messages[2]["keys"] == [mint(1), mint(2)]


def test_trades_are_those_of_tracked_solana_tokens_and_follow_them(
    platform_on: MakePlatform, engine: sa.Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(collecting, "FOLLOW_SECONDS", 0.02)
    monkeypatch.setattr("metapulse_assets.market.stream.process.FOLLOWED_SECONDS", 0.05)
    with feeding([]) as feed:
        platform = platform_on(feed)
        with engine.begin() as connection:
            add_tokens(connection, 2, platform.now())
            add_tokens(connection, 1, platform.now(), chain="base")

        def keys(method: str) -> list[object]:
            return [message["keys"] for messages in feed.asked for message in messages if message["method"] == method]

        def is_done(_: Ran) -> bool:
            if ["t0", "t1"] in keys("subscribeTokenTrade"):
                with engine.begin() as connection:
                    connection.execute(sa.text("UPDATE tracked_tokens SET active = false WHERE token_id = 1"))
            return bool(keys("unsubscribeTokenTrade"))

        run_until(platform, is_done)
        assert keys("unsubscribeTokenTrade") == [["t0"]]


def test_without_a_key_only_what_is_free_is_asked_for(
    make_settings: Callable[..., Settings], engine: sa.Engine, database_url: str
) -> None:
    with engine.begin() as connection:
        connection.execute(sa.text("UPDATE database_identity SET mode = 'live'"))
        add_tokens(connection, 1, Platform(make_settings()).now())
    with feeding([raw(create(1))]) as feed:
        live = make_settings(mode=Mode.LIVE, pumpportal_ws_url=feed.url, stream_mints=(mint(1),))
        ran = run_until(Platform(live), lambda _: written(engine) == 1)
        assert [message["method"] for message in feed.asked[0]] == ["subscribeNewToken", "subscribeMigration"]
        assert feed.paths == ["/api/data"]
    assert any("no key, so no trades" in line for line in ran.said)


def test_the_key_reaches_the_vendor_and_nobody_else(
    make_settings: Callable[..., Settings], engine: sa.Engine, database_url: str
) -> None:
    with engine.begin() as connection:
        connection.execute(sa.text("UPDATE database_identity SET mode = 'live'"))
    with feeding([raw(create(1)), Cut(), raw(create(2))]) as feed:
        live = make_settings(mode=Mode.LIVE, pumpportal_ws_url=feed.url, pumpportal_api_key="planted-key")
        ran = run_until(Platform(live), lambda _: written(engine) == 2)
        assert feed.paths == ["/api/data?api-key=planted-key"] * 2
    assert "planted-key" not in "\n".join(ran.said)
    assert column(engine, "raw_payloads", "url") == [feed.url] * 2


def test_a_silent_feed_is_left_and_a_slow_one_is_not(platform_on: MakePlatform, engine: sa.Engine) -> None:
    with feeding([raw(create(1)), Wait(0.3), raw(create(2)), Silence(), raw(create(3))]) as feed:
        ran = run_until(platform_on(feed, stream_silence_seconds=3.0), lambda _: written(engine) == 3)
        assert len(feed.asked) == 2
    assert sum("silent for 3 s" in line for line in ran.said) == 1


def test_a_vendor_that_is_down_is_tried_until_it_is_up(platform_on: MakePlatform, engine: sa.Engine) -> None:
    with feeding([]) as gone:
        pass
    ran = run_until(platform_on(gone), lambda ran: sum("connecting again" in line for line in ran.said) >= 4)
    assert ran.status.connections == 0
    assert all("ConnectionRefusedError" in line or "OSError" in line for line in ran.said if "connecting again" in line)


def test_who_is_answered_and_cut_off_at_once_is_asked_ever_later(
    platform_on: MakePlatform, engine: sa.Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    failures: list[int] = []

    def noted(count: int, first: float) -> float:
        failures.append(count)
        return 0.0

    monkeypatch.setattr(collecting, "pause_after", noted)
    answers: list[Action] = [raw({"message": "Subscribed to something."})] * 2
    script: list[Action] = [
        *answers,
        Cut(),
        *answers,
        Cut(),
        *answers,
        raw(create(1)),
        Cut(),
        *answers,
        Cut(),
        *answers,
        raw(create(2)),
    ]
    with feeding(script) as feed:
        run_until(platform_on(feed), lambda _: written(engine) == 2)
    assert failures[:4] == [1, 2, 0, 1]


def test_pauses_double_up_to_a_minute_and_are_spread() -> None:
    longest = [pause_after(failures, 1.0, lambda: 1.0) for failures in range(9)]
    assert longest == [1, 2, 4, 8, 16, 32, 60, 60, 60]
    assert pause_after(10_000, 1.0, lambda: 1.0) == LONGEST_PAUSE
    assert pause_after(3, 1.0, lambda: 0.0) == 4


def test_a_disk_that_takes_no_more_stops_the_reading_and_loses_nothing(
    platform_on: MakePlatform, engine: sa.Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = {"append": 0}
    plain = Spool.append

    def append(self: Spool, received_us: int, frame: bytes) -> None:
        calls["append"] += 1
        if 20 < calls["append"] < 24:
            raise OSError(28, "No space left on device")
        plain(self, received_us, frame)

    monkeypatch.setattr(Spool, "append", append)
    monkeypatch.setattr(collecting, "FULL_SPOOL_PAUSE", 0.02)
    with feeding([raw(create(n)) for n in range(100)]) as feed:
        ran = run_until(platform_on(feed), lambda _: written(engine) == 100)
    assert sum("No space left on device" in line for line in ran.said) == 1


def test_a_stop_leaves_nothing_unwritten(platform_on: MakePlatform, engine: sa.Engine) -> None:
    with feeding([raw(create(n)) for n in range(3_000)]) as feed:
        # Batches so long that none would be written by itself.
        platform = platform_on(feed, stream_batch_seconds=0.5)
        ran = run_until(platform, lambda _: feed.is_over)
        assert ran.status.frames == written(engine) > 0
    assert not list(spool_folder(platform.settings).glob("*.frames"))


def test_a_second_stream_of_the_same_home_is_refused(platform_on: MakePlatform) -> None:
    with feeding([]) as feed:
        platform = platform_on(feed)
        spool = Spool(spool_folder(platform.settings), 10**9)
        with pytest.raises(SpoolError, match="one connection"):
            run_until(platform, lambda _: False)
        spool.close()
        assert feed.asked == []


def test_what_an_earlier_process_left_is_written_first(platform_on: MakePlatform, engine: sa.Engine, tmp_path: Path) -> None:
    with feeding([raw(create(3))]) as feed:
        platform = platform_on(feed)
        left = Spool(spool_folder(platform.settings), 10**9)
        left.append(1_772_600_000_000_000, raw(create(1)))
        left.seal()
        left.append(1_772_600_000_000_001, raw(create(2)))
        left.close()
        run_until(platform, lambda _: written(engine) == 3)
    assert column(engine, "token_launches", "signature") == [signature(n) for n in (1, 2, 3)]

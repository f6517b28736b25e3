"""Recorded files as stored history: usable when they were made, stored once, bad lines kept with their reason."""

import gzip
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from metapulse_assets.market.tables import candles, tokens
from metapulse_assets.platform.raw_payloads import load_payload
from metapulse_assets.replay.candle_import import NothingToImportError, choose_files, import_candles
from metapulse_assets.replay.post_import import import_posts
from metapulse_assets.social.post_tables import social_posts

START = datetime(2023, 5, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
NOW = datetime(2026, 11, 20, tzinfo=UTC)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two tokens of six hours each, the fourth without a trade."""
    made = tmp_path / "ohlcv_binance_1h"
    made.mkdir()
    for name, price in (("SOL", 20.0), ("ADA", 0.4)):
        lines = ["timestamp,open,high,low,close,volume"]
        for hour in range(6):
            stamp = f"{START + hour * HOUR:%Y-%m-%d %H:%M:%S}"
            lines.append(f"{stamp},{price},{price + 1},{price - 0.1},{price + 0.5},{0 if hour == 3 else 10}")
        (made / f"{name}USDT_1h.csv.gz").write_bytes(gzip.compress("\n".join(lines).encode()))
    return tmp_path


def stored_candles(connection: sa.Connection) -> list[Any]:
    c = candles.c
    return list(connection.execute(sa.select(candles).order_by(c.token_id, c.opened_at)).all())


def test_candles_are_usable_when_they_closed_and_lead_to_their_file(engine: sa.Engine, folder: Path) -> None:
    files = choose_files(folder, "ohlcv_binance_1h", None, ["SOL"])
    with engine.begin() as connection:
        brought = import_candles(connection, files, START + HOUR, START + 6 * HOUR, NOW)
        rows = stored_candles(connection)
        assert brought.candles == len(rows) == 4, "one before the span, one without a trade"
        assert all(row.available_at == row.opened_at + HOUR and row.recorded_at == NOW for row in rows)
        assert load_payload(connection, rows[0].payload_id) == files[0].path.read_bytes()
        [token] = connection.execute(sa.select(tokens)).all()
        assert (token.chain, token.address, token.name) == ("binance", "SOL/USDT", "Solana")
        assert token.first_recorded_at == START + HOUR


def test_volumes_become_dollars_and_prices_stay(engine: sa.Engine, folder: Path) -> None:
    files = choose_files(folder, "ohlcv_binance_1h", None, ["SOL"])
    with engine.begin() as connection:
        import_candles(connection, files, START, START + HOUR, NOW, quote_usd=100.0)
        [row] = stored_candles(connection)
        assert (row.open, row.volume_usd) == (20.0, pytest.approx(10 * 20.5 * 100))


def test_a_second_import_changes_nothing(engine: sa.Engine, folder: Path) -> None:
    files = choose_files(folder, "ohlcv_binance_1h", None, [])
    with engine.begin() as connection:
        import_candles(connection, files, START, START + 6 * HOUR, NOW)
        once = [tuple(row) for row in stored_candles(connection)]
        assert import_candles(connection, files, START, START + 6 * HOUR, NOW + HOUR).candles == 0
        assert [tuple(row) for row in stored_candles(connection)] == once
        assert connection.execute(sa.text("SELECT count(*) FROM raw_payloads")).scalar() == 2


def test_what_is_not_there_is_named(folder: Path) -> None:
    with pytest.raises(NothingToImportError, match="no candle file of DOGE"):
        choose_files(folder, "ohlcv_binance_1h", None, ["SOL", "DOGE"])
    with pytest.raises(NothingToImportError, match="no candle files in BTC"):
        choose_files(folder, "ohlcv_binance_1h", "BTC", [])


def posts_file(folder: Path, name: str, lines: list[Any]) -> Path:
    path = folder / name
    path.write_text("\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines))
    return path


def post(number: int, text: str, created_at: str = "2023-05-01 07:30:00 IST", **change: Any) -> dict[str, Any]:
    return {"id_str": str(number), "username": "u_1", "created_at": created_at, "tweet": text, "likes_count": 9, **change}


def test_posts_are_usable_when_they_were_written(engine: sa.Engine, tmp_path: Path) -> None:
    path = posts_file(
        tmp_path,
        "sol.ndjson",
        [post(1, "$SOL &amp; #Solana up https://t.co/x"), post(2, "RT @a: old", "2023-04-01 00:00:00 UTC")],
    )
    with engine.begin() as connection:
        brought = import_posts(connection, [path], START, START + 24 * HOUR, NOW)
        [row] = connection.execute(sa.select(social_posts)).all()
        assert (brought.read, brought.stored, brought.refused) == (2, 1, [])
        assert row.observed_at == row.available_at == START + 2 * HOUR, "07:30 in India is 02:00 UTC"
        assert (row.recorded_at, row.text, row.kind) == (NOW, "$SOL & #Solana up https://t.co/x", "post")
        assert (row.cashtags, row.hashtags, row.urls) == (["SOL"], ["Solana"], ["https://t.co/x"])
        assert connection.execute(sa.text("SELECT count(*) FROM post_engagement")).scalar() == 0, "counts are of a later day"


def test_the_same_post_in_two_files_is_stored_once(engine: sa.Engine, tmp_path: Path) -> None:
    files = [posts_file(tmp_path, name, [post(1, "both $SOL and $ADA")]) for name in ("ada.ndjson", "sol.ndjson")]
    with engine.begin() as connection:
        assert import_posts(connection, files, START, START + 24 * HOUR, NOW).stored == 1
        assert import_posts(connection, files, START, START + 24 * HOUR, NOW).stored == 0


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("{broken", "not JSON"),
        ({"id_str": "1", "username": "u"}, "created_at: Field required; tweet: Field required"),
        (post(1, "x", "2023-05-01 07:30:00 XYZ"), "created_at: no time with a zone that is known"),
        (post(1, "x", "yesterday UTC"), "created_at: no time of the form"),
        (post(1, "x", id_str="abc"), "id_str: "),
        (["no", "object"], "line: "),
    ],
)
def test_a_bad_line_is_kept_with_its_place_and_reason(engine: sa.Engine, tmp_path: Path, line: Any, reason: str) -> None:
    path = posts_file(tmp_path, "bad.ndjson", [post(5, "good"), line])
    with engine.begin() as connection:
        brought = import_posts(connection, [path], START, START + 24 * HOUR, NOW)
    assert brought.stored == 1
    [letter] = brought.refused
    assert letter.item_key == "bad.ndjson#2"
    assert letter.reason.startswith(reason)

"""`metapulse stream` where it does not come to listening: wrong use, a second one, a wrong mode's database."""

import sqlalchemy as sa

from metapulse_assets.market.stream.process import spool_folder
from metapulse_assets.market.stream.spool import Spool
from metapulse_assets.platform.settings import load_settings
from metapulse_assets_tests.cli.conftest import Command

# Nobody listens there, and the sandbox of this machine is not asked for.
NOBODY = "ws://127.0.0.1:9/data"


def test_a_replay_has_nothing_to_listen_to(command: Command) -> None:
    result = command("stream", "--mode", "replay")

    assert result.exit_code == 2
    assert "nothing to listen to" in result.stderr


def test_a_second_one_is_exit_code_1(command: Command, database_url: str) -> None:
    command("--version")
    spool = Spool(spool_folder(load_settings()), 10**9)
    result = command("stream", "--no-report", DATABASE_URL=database_url, PUMPPORTAL_WS_URL=NOBODY)
    spool.close()

    assert result.exit_code == 1
    assert "another `metapulse stream`" in result.stderr
    assert "Traceback" not in result.output


def test_a_database_of_another_mode_is_refused(command: Command, database_url: str, engine: sa.Engine) -> None:
    with engine.begin() as connection:
        connection.execute(sa.text("UPDATE database_identity SET mode = 'live'"))
    result = command("stream", "--no-report", DATABASE_URL=database_url, PUMPPORTAL_WS_URL=NOBODY)

    assert result.exit_code == 1
    assert "was filled in mode live" in result.stderr

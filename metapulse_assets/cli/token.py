"""`metapulse token …`: tokens that let programs use the service."""

from datetime import UTC, datetime
from typing import Annotated

import typer

from metapulse_assets.cli import environment
from metapulse_assets.cli.failures import WRONG_USE, CommandError
from metapulse_assets.cli.queue import JsonOption, queue_database
from metapulse_assets.cli.terminal import console, print_json, say, table

token = typer.Typer(no_args_is_help=True, help="Tokens that let programs use `metapulse service`.")
HEADERS = ("id", "name", "scopes", "created", "expires", "last used", "")


@token.command()
def create(
    name: Annotated[str, typer.Argument(help="Whose it is: requests are counted by this name.")],
    scopes: Annotated[
        str,
        typer.Option(metavar="A,B", help="What it allows: signals:read, jobs:read, jobs:write, operations, metrics:read."),
    ],
    days: Annotated[float | None, typer.Option(help="How long it holds. Default: until it is revoked.")] = None,
) -> None:
    """Make a token. It is shown now and never again: only its hash is stored.

    Exit codes: 0 made (the token alone is on standard output), 1 failed, 2 wrong use, 3 there is no database yet.
    """
    settings = environment.prepare()
    from metapulse_assets.service.access.api_tokens import TokenError, create_token

    wanted = [part.strip() for part in scopes.split(",") if part.strip()]
    try:
        with queue_database(settings) as connection:
            made, secret = create_token(connection, name, wanted, datetime.now(UTC), days)
    except TokenError as error:
        raise CommandError(str(error), WRONG_USE) from None
    until = f"until {made.expires_at:%Y-%m-%d %H:%M} UTC" if made.expires_at else "until it is revoked"
    say(f"token {made.id} of {made.name}, {', '.join(made.scopes)}, {until}; it is shown only now:")
    print(secret)


@token.command("list")
def list_(as_json: JsonOption = False) -> None:
    """List every token, without its secret.

    Exit codes: 0 listed (also if there is none), 1 failed, 2 wrong option or setting, 3 there is no database yet.
    """
    settings = environment.prepare()
    from metapulse_assets.service.access.api_tokens import list_tokens

    now = datetime.now(UTC)
    with queue_database(settings) as connection:
        found = list_tokens(connection)
    if as_json:
        print_json([{**vars(one), "holds": one.holds_at(now)} for one in found])
    elif not found:
        print("no tokens")
    else:
        rows = [
            (
                *(one.id, one.name, ", ".join(one.scopes), one.created_at, one.expires_at, one.last_used_at),
                "" if one.holds_at(now) else ("revoked" if one.revoked_at else "expired"),
            )
            for one in found
        ]
        console().print(table("Tokens", HEADERS, rows, ("id",), wraps=("scopes",)))


@token.command()
def revoke(
    token_id: Annotated[int, typer.Argument(metavar="ID", help="Number of the token, as `token list` shows it.")],
) -> None:
    """Let a token open nothing any more, within two seconds, at every service.

    Exit codes: 0 revoked (also if it was), 1 there is none of this number, 2 wrong use, 3 there is no database yet.
    """
    settings = environment.prepare()
    from metapulse_assets.service.access.api_tokens import TokenError, revoke_token

    try:
        with queue_database(settings) as connection:
            changed = revoke_token(connection, token_id, datetime.now(UTC))
    except TokenError as error:
        raise CommandError(str(error)) from None
    print(f"token {token_id}: {'revoked' if changed else 'was revoked before'}")

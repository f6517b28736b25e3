"""Which questions stand: the tracked tokens shared out among them so that a token stays where it is, and watched accounts.

A token that moved from one question to another would lose what lies between how far the two were read.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from metapulse_assets.social.query_building import TokenWords, by_volume, clause_of, fits, question_of
from metapulse_assets.social.query_cursors import Cursor

TOKENS, ACCOUNT = "tokens:", "account:"
# What X takes for a name.
_ACCOUNT_NAME = re.compile(r"[A-Za-z0-9_]{1,15}", re.ASCII)


@dataclass(frozen=True)
class Questions:
    """Those about tokens, highest volume first; those of accounts; tokens and accounts that cannot be asked for."""

    tokens: list[Cursor]
    accounts: list[Cursor]
    without_words: list[TokenWords]
    odd_accounts: list[str]


def standing_questions(stored: Sequence[Cursor], tokens: Iterable[TokenWords], accounts: Iterable[str]) -> Questions:
    """The questions of now, each with the cursor it had before."""
    tracked = {str(token.token_id): token for token in tokens}
    clauses = {member: clause_of(token) for member, token in tracked.items()}
    groups: dict[str, list[str]] = {}
    for cursor in stored:
        if cursor.key.startswith(TOKENS):
            groups[cursor.key] = _that_fit(cursor.members, clauses)
    placed = {member for members in groups.values() for member in members}
    for token in by_volume(tracked.values()):
        member = str(token.token_id)
        if clauses[member] and member not in placed:
            _place(groups, member, clauses)
    known = {cursor.key: cursor for cursor in stored}
    largest = {key: max((tracked[member].volume_usd for member in members), default=0.0) for key, members in groups.items()}
    asked = [
        replace(
            known.get(key, Cursor(key, "", ())),
            members=tuple(members),
            query=question_of([clauses[member] for member in members]),
        )
        for key, members in sorted(groups.items(), key=lambda group: (-largest[group[0]], group[0]))
        if members
    ]
    names = list(dict.fromkeys(name.removeprefix("@") for name in accounts))
    good = [name for name in names if _ACCOUNT_NAME.fullmatch(name)]
    return Questions(
        tokens=asked,
        accounts=[known.get(f"{ACCOUNT}{name.lower()}", Cursor(f"{ACCOUNT}{name.lower()}", name, ())) for name in good],
        without_words=[token for member, token in tracked.items() if not clauses[member]],
        odd_accounts=[name for name in names if name not in good],
    )


def _that_fit(members: Sequence[str], clauses: dict[str, str]) -> list[str]:
    """The members that are still tracked, as many as fit: a name may have grown."""
    kept: list[str] = []
    for member in members:
        if clauses.get(member) and fits([clauses[other] for other in (*kept, member)]):
            kept.append(member)
    return kept


def _place(groups: dict[str, list[str]], member: str, clauses: dict[str, str]) -> None:
    """Put a token into the first question that has room, else into a new one."""
    for key in sorted(groups, key=_number):
        if fits([clauses[other] for other in (*groups[key], member)]):
            groups[key].append(member)
            return
    groups[f"{TOKENS}{1 + max(map(_number, groups), default=0)}"] = [member]


def _number(key: str) -> int:
    return int(key.removeprefix(TOKENS))

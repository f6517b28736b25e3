"""One pass of collecting posts: accounts, tokens by volume, counts, counts of reactions again, gaps; as far as the money goes.

Each page is stored as it arrives, together with the cursor that it moves. What can be asked is in `standing_questions`, how far
each question was read in `query_cursors`, what may be spent in `budget`.
"""

from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

import sqlalchemy as sa

from metapulse_assets.platform.clock import Clock
from metapulse_assets.platform.day_partitions import day_bounds, utc_day
from metapulse_assets.platform.dead_letters import DeadLetter
from metapulse_assets.platform.raw_payloads import store_payloads
from metapulse_assets.platform.settings import Settings
from metapulse_assets.social import pass_store, post_store
from metapulse_assets.social.budget import Budget, usd_per_day
from metapulse_assets.social.query_building import TokenWords, by_volume, clause_of, question_of
from metapulse_assets.social.query_cursors import (
    FIRST_LOOK,
    Cursor,
    Descent,
    fresh_descent,
    gap_descents,
    without_lost_gaps,
)
from metapulse_assets.social.standing_questions import ACCOUNT, Questions, standing_questions
from metapulse_assets.vendors.x import (
    FEWEST_RESULTS,
    MOST_IDS,
    MOST_RESULTS,
    USD_PER_AUTHOR,
    USD_PER_COUNT,
    Span,
    X,
    XRefusedError,
)
from metapulse_assets.vendors.x_posts import Page, Post

# Tokens whose posts X is asked to count, and how often: at most a tenth or so of the default budget. Own choice.
COUNTED_TOKENS = 5
COUNTED_EVERY = timedelta(hours=1)
# Reactions come in the first hours: until when and how often posts are looked at again. Own choice.
REVISED_UNTIL, REVISED_EVERY = timedelta(hours=12), timedelta(minutes=30)
# Refusals after which it makes no sense to ask anything else in this pass.
_FATAL = ("unauthorized", "forbidden", "capped", "rate_limited", "unavailable")
# Refusals that may concern one kind of question only.
_OF_ONE_KIND = ("forbidden", "rate_limited")
# Refusals that nothing but a person, or another day, can change.
_LASTING = ("unauthorized", "forbidden", "capped")

Ask = Callable[[Span, int], Awaitable[Page[Post]]]


@dataclass
class Collected:
    """What a pass brought. `left` says what was left for later, `odd` what cannot be asked for."""

    status: str = "complete"
    reason: str | None = None
    paused_until: datetime | None = None
    questions: int = 0
    asked: int = 0
    read: int = 0
    new: int = 0
    revised: int = 0
    counts: int = 0
    cost_usd: float = 0.0
    refused: list[DeadLetter] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    odd: list[str] = field(default_factory=list)


class _StopError(Exception):
    """Nothing more is asked in this pass."""


@dataclass
class Pass:
    """A pass under way. `most_posts` bounds what one question may bring."""

    engine: sa.Engine
    x: X
    clock: Clock
    pass_id: int
    usd_per_day: float
    most_posts: int
    result: Collected = field(default_factory=Collected)
    out_of_money: bool = False
    fatal: XRefusedError | None = None
    shares: dict[str, int] = field(default_factory=dict)

    async def run(self, accounts: Iterable[str]) -> Collected:
        """Collect. What X refuses ends in the result; what the database refuses is raised."""
        now = self.clock()
        with self.engine.begin() as connection:
            words = post_store.words_of_tracked(connection, now)
            questions = standing_questions(post_store.load_cursors(connection), words, accounts)
            post_store.forget_questions(connection, [cursor.key for cursor in questions.tokens])
        result = self.result
        result.questions = len(questions.tokens) + len(questions.accounts)
        result.odd += [f"account {name!r} is no name that X knows" for name in questions.odd_accounts]
        with suppress(_StopError):
            await self._ask_everything(questions, words)
        self._conclude()
        return result

    async def _ask_everything(self, questions: Questions, words: list[TokenWords]) -> None:
        read: list[Cursor] = []
        for cursor in await self._with_ids(questions.accounts):
            read.append(await self._read(fresh_descent(cursor, self.clock()), self._asking(cursor)))
        for cursor in questions.tokens:
            read.append(await self._read(fresh_descent(cursor, self.clock()), self._asking(cursor)))
        await self._count(words)
        await self._revise()
        for cursor in read:
            await self._fill(cursor)

    def _asking(self, cursor: Cursor) -> Ask:
        if cursor.key.startswith(ACCOUNT):
            return lambda span, most: self.x.posts_of(cursor.members[0], span, most)
        return lambda span, most: self.x.search(cursor.query, span, most)

    async def _with_ids(self, accounts: list[Cursor]) -> list[Cursor]:
        """The accounts, those that were never asked for looked up first."""
        unknown = [cursor for cursor in accounts if not cursor.members][:MOST_IDS]
        if not unknown or not self._may_spend(len(unknown) * USD_PER_AUTHOR, "accounts"):
            return [cursor for cursor in accounts if cursor.members]
        try:
            page = await self.x.authors([cursor.query for cursor in unknown])
        except XRefusedError as error:
            self._note(error, "accounts", optional=True)
            return [cursor for cursor in accounts if cursor.members]
        by_name = {author.username.lower(): author.id for author in page.items}
        found = []
        now = self.clock()
        with self.engine.begin() as connection:
            store_payloads(connection, [page.payload])
            self.result.cost_usd += pass_store.bill(connection, self.pass_id, now, authors=page.authors)
            for cursor in accounts:
                if not cursor.members and cursor.query.lower() in by_name:
                    cursor = replace(cursor, members=(by_name[cursor.query.lower()],))
                    post_store.save_cursor(connection, cursor, now)
                if cursor.members:
                    found.append(cursor)
        self.result.refused += page.refused
        missing = [cursor.query for cursor in unknown if cursor.query.lower() not in by_name]
        self.result.odd += [f"account {name} is not known to X" for name in missing]
        return found

    async def _read(self, descent: Descent, ask: Ask) -> Cursor:
        """Read down until nothing is left, the question has had its share, or the money has gone."""
        key = descent.cursor.key
        while not descent.done:
            now, share = self.clock(), self.shares.setdefault(descent.cursor.key, self.most_posts)
            most = self._budget(now).posts(now, min(share, MOST_RESULTS)) if share >= FEWEST_RESULTS else 0
            if not most:
                self._left(key, "money" if share >= FEWEST_RESULTS else "posts")
                break
            page = await self._page(descent, ask, most)
            if page is None:
                break
            # A page with nothing on it counts too: one that leads to the next for ever would never end.
            self.shares[key] -= max(len(page.ids), FEWEST_RESULTS)
        return descent.cursor

    async def _page(self, descent: Descent, ask: Ask, most: int) -> Page[Post] | None:
        """One page, stored; None if it was refused."""
        key, now = descent.cursor.key, self.clock()
        try:
            try:
                page = await ask(descent.span(now), most)
            except XRefusedError as error:
                if error.kind != "too_old":
                    raise
                descent.next_token = None
                page = await ask(descent.span(now, from_start=True), most)
        except XRefusedError as error:
            self._note(error, key)
            return None
        now = self.clock()
        descent.take(page.newest_id, page.oldest_id, page.next_token, now)
        with self.engine.begin() as connection:
            stored = post_store.store_page(connection, self.pass_id, page, key, now)
            post_store.save_cursor(connection, descent.cursor, now)
        result = self.result
        result.asked += 1
        result.read += stored.read
        result.new += stored.new
        result.revised += stored.revised
        result.cost_usd += stored.cost_usd
        result.refused += page.refused
        return page

    async def _fill(self, cursor: Cursor) -> None:
        """Read what earlier passes left out; what X no longer searches is given up."""
        now = self.clock()
        kept = without_lost_gaps(cursor, now)
        if kept != cursor:
            self.result.odd.append(f"{cursor.key}: posts older than the seven days that X searches were never read")
            with self.engine.begin() as connection:
                post_store.save_cursor(connection, kept, now)
        for gap in gap_descents(kept, now):
            kept = await self._read(replace(gap, cursor=kept), self._asking(kept))

    async def _count(self, words: list[TokenWords]) -> None:
        """Have the posts about the tokens traded most counted, once an hour each."""
        now = self.clock()
        counted = [token for token in by_volume(words) if clause_of(token)][:COUNTED_TOKENS]
        topics = {f"token:{token.token_id}": question_of([clause_of(token)]) for token in counted}
        with self.engine.connect() as connection:
            last = post_store.last_counted(connection, list(topics), now)
        for topic, question in topics.items():
            if topic in last and last[topic] > now - COUNTED_EVERY:
                continue
            if not self._may_spend(USD_PER_COUNT, "counts"):
                return
            start = (now - FIRST_LOOK).replace(minute=0, second=0, microsecond=0)
            try:
                page = await self.x.counts(question, start)
            except XRefusedError as error:
                self._note(error, "counts", optional=True)
                return
            stored_at = self.clock()
            with self.engine.begin() as connection:
                self.result.counts += post_store.store_counts(connection, self.pass_id, topic, question, page, stored_at)
            self.result.cost_usd += USD_PER_COUNT
            self.result.refused += page.refused

    async def _revise(self) -> None:
        """Look again at posts that were paid for today, which X charges once a UTC day: how are they received now?"""
        now = self.clock()
        with self.engine.connect() as connection:
            ids = post_store.posts_to_revise(connection, now, REVISED_UNTIL, REVISED_EVERY, MOST_IDS)
        # Close to midnight the answer may fall into the next day, and would be paid for.
        if not ids or day_bounds(utc_day(now))[1] - now < REVISED_EVERY:
            return
        try:
            page = await self.x.posts(ids)
        except XRefusedError as error:
            self._note(error, "revision", optional=True)
            return
        with self.engine.begin() as connection:
            stored = post_store.store_page(connection, self.pass_id, page, "revision", self.clock())
        self.result.revised += stored.revised
        self.result.cost_usd += stored.cost_usd
        # A post that is gone is told as an error of its own: nothing is wrong with what was asked.
        self.result.refused += [letter for letter in page.refused if "Not Found" not in letter.reason]

    def _budget(self, now: datetime) -> Budget:
        with self.engine.connect() as connection:
            return pass_store.budget_of(connection, self.usd_per_day, now)

    def _may_spend(self, usd: float, what: str) -> bool:
        now = self.clock()
        if self._budget(now).allows(now, usd):
            return True
        self._left(what, "money")
        return False

    def _left(self, what: str, want_of: str) -> None:
        self.out_of_money |= want_of == "money"
        entry = f"{what}: " + ("no money for it now" if want_of == "money" else f"more than {self.most_posts} posts in a pass")
        if entry not in self.result.left:
            self.result.left.append(entry)

    def _note(self, error: XRefusedError, what: str, optional: bool = False) -> None:
        """Keep a refusal; raise `_StopError` if it stands for all that could still be asked.

        X limits and permits each kind of question by itself: what is `optional` may be refused while searching is not.
        """
        self.result.refused.append(error.dead_letter())
        self.result.left.append(f"{what}: {error.reason}")
        if error.payload is not None:
            with self.engine.begin() as connection:
                store_payloads(connection, [error.payload])
        if error.kind in _FATAL and not (optional and error.kind in _OF_ONE_KIND):
            self.fatal = error
            raise _StopError

    def _conclude(self) -> None:
        result, now = self.result, self.clock()
        budget = self._budget(now)
        if self.fatal is not None:
            lasting = self.fatal.kind in _LASTING
            result.status = "failed" if lasting or not result.asked else "partial"
            result.reason = self.fatal.reason
            if self.fatal.kind == "capped":
                result.paused_until = day_bounds(utc_day(now))[1]
        elif self.out_of_money and budget.is_spent():
            result.status = "budget_spent"
            result.reason = f"{budget.spent_usd:.2f} of {budget.usd_per_day:.2f} USD of this UTC day are spent"
        elif result.left:
            result.status = "partial" if result.asked or self.out_of_money else "failed"
            others = f" (and {len(result.left) - 1} more)" if len(result.left) > 1 else ""
            result.reason = f"left for later: {result.left[0]}{others}"
            if self.out_of_money:
                result.reason = (
                    f"{budget.spent_usd:.2f} of {budget.usd_per_day:.2f} USD of this UTC day are spent, and the rest is spread"
                    f" over the day: {len(result.left)} questions were left for later"
                )


async def collect(engine: sa.Engine, settings: Settings, clock: Clock, token: str, pass_id: int) -> tuple[Collected, int]:
    """Run the pass that was begun; returns what it brought and how many requests it sent."""
    async with X(settings, engine, token, clock) as x:
        under_way = Pass(engine, x, clock, pass_id, usd_per_day(settings), settings.x_posts_per_query)
        return await under_way.run(settings.x_watched_accounts), x.requests_sent

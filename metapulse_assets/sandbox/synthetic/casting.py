"""From slots and generations to the numbers of every pool: each property is drawn between its character's bounds."""

from typing import Final

import numpy as np
import numpy.typing as npt

from metapulse_assets.sandbox.synthetic import curves
from metapulse_assets.sandbox.synthetic.characters import CHAINS, CHARACTERS, CODES, NATIVES, Bounds
from metapulse_assets.sandbox.synthetic.curves import DAY, HOUR, KNOTS, Curves
from metapulse_assets.sandbox.synthetic.noise import Floats, Ints, Keys, draw, hashed, octave_noise_at, stream
from metapulse_assets.sandbox.synthetic.prices import PRICE_OCTAVES, log_prices_at
from metapulse_assets.sandbox.synthetic.rows import BAR_SECONDS, BARS_PER_DAY, NEVER, Rows
from metapulse_assets.sandbox.synthetic.slots import SlotPlan

Flags = npt.NDArray[np.bool_]

# Tokens that stay were created between these times: 2021-01-01 and 2025-01-01.
_CREATED: Final = (1609459200.0, 1735689600.0)
# Every third generation of a launch never completes its curve, so that some curves are open at any time.
_STAYS_ON_CURVE: Final = 3
_CURVE_SECONDS: Final = (0.5 * HOUR, 10 * HOUR)
_CURVE_ACTIVITY: Final = 0.3
_RUG_BARS: Final = 3
_RUG_LIQUIDITY: Final = 60.0
_PUMP_SUPPLY: Final = 1e9
_QUOTED_IN_NATIVE: Final = 0.75
# The mean of exp(noise) in ``bars`` is about this much above exp(0): without it the turnover would be exceeded.
_VOLUME_BIAS: Final = 1.0


def token_keys(plan: SlotPlan, rows: Ints, generations: Ints) -> Keys:
    """Return the key of each row's token; pools of one token share it. ``generations`` is per slot."""
    slots = plan.row_slot[rows]
    return hashed(plan.key[slots], generations[slots])


def native_keys(plan: SlotPlan) -> Keys:
    """Return the price keys of NATIVES."""
    return hashed(stream(plan.seed, "native"), np.arange(len(NATIVES), dtype=np.int64))


def cast(plan: SlotPlan, which: Ints, generations: Ints) -> Rows:
    """Return the numbers of these rows of the plan; ``generations`` has one entry per slot of the plan."""
    slots, ordinal = plan.row_slot[which], plan.row_ordinal[which]
    code, chain = plan.character[slots], plan.chain[slots]
    native = np.array([item.native for item in CHAINS], dtype=np.int64)[chain]
    is_native = code == CODES["native"]
    token = token_keys(plan, which, generations)
    pool = hashed(stream(token, "pool"), ordinal)
    noise_key = np.where(is_native, native_keys(plan)[native], stream(token, "price"))

    price = _between(code, "price", draw(token, "price level"))
    price = np.where(is_native, np.array([item.price for item in NATIVES])[native], price)
    volatility = _between(code, "volatility", draw(token, "volatility"))
    volatility = np.where(is_native, np.array([item.volatility for item in NATIVES])[native], volatility)
    sigma = volatility / BARS_PER_DAY**0.5
    liquidity = _between(code, "liquidity", draw(token, "liquidity"))
    turnover = _between(code, "turnover", draw(token, "turnover"))
    cycle = _between(code, "cycle", draw(token, "cycle"))

    births = (generations[slots] + plan.phase[slots]) * plan.lifetime[slots]
    stays = plan.lifetime[slots] == 0
    created = np.where(stays, _linear(_CREATED, draw(pool, "created")), births)
    anchor = np.where(stays, plan.phase[slots] * cycle, births)
    endless = _on_curve(code, chain, 0 * ordinal) & ((generations[slots] + plan.rank[slots]) % _STAYS_ON_CURVE == 0)
    story, opens, closes, visible = _stories(code, chain, ordinal, token, cycle, created, liquidity, endless)

    side_pool = (ordinal > 0) & (code != CODES["launch"])
    part = np.where(side_pool, 0.05 + 0.25 * draw(pool, "part"), 1.0)
    on_curve = _on_curve(code, chain, ordinal)
    unlisted = (code == CODES["thin"]) & (draw(token, "liquidity figure") < 0.4)
    quoted_in_native = (draw(token, "quote") < _QUOTED_IN_NATIVE) ^ (ordinal % 2 == 1)
    quoted_in_dollars = np.isin(code, [CODES["native"], CODES["stable"]])
    quote = np.where((quoted_in_native | (code == CODES["launch"])) & ~quoted_in_dollars, native, -1)
    supply = np.where(
        np.isin(code, [CODES["launch"], CODES["rug"]]), _PUMP_SUPPLY, liquidity * (5 + 50 * draw(token, "supply")) / price
    )
    start = np.where(stays, 0, np.ceil(births / BAR_SECONDS)).astype(np.int64)
    offset = np.where(stays, 0.0, sigma * octave_noise_at(noise_key, start, PRICE_OCTAVES))
    rows = Rows(
        noise_key=noise_key,
        pool_key=pool,
        sigma=sigma,
        log_price=np.log(price),
        noise_offset=offset,
        basis=np.where(side_pool, 0.1 * sigma, 0.0),
        anchor=anchor,
        cycle=np.where(cycle > 0, cycle, np.inf),
        knots=story.age,
        price_curve=story.price,
        volume_curve=story.volume,
        liquidity_curve=story.liquidity,
        log_volume=np.log(liquidity * turnover * part / BARS_PER_DAY) - _VOLUME_BIAS,
        log_liquidity=np.where(on_curve | unlisted, np.nan, np.log(liquidity * part)),
        activity=np.where(endless, _CURVE_ACTIVITY, _between(code, "activity", draw(token, "activity"))),
        opens=opens,
        closes=closes,
        first_log_price=np.zeros(len(which)),
        last_log_price=np.zeros(len(which)),
        trade_size=_between(code, "trade_size", draw(token, "trade size")),
        supply=supply,
        circulating=np.where(np.isin(code, [CODES["native"], CODES["major"]]), 0.3 + 0.7 * draw(token, "float"), 1.0),
        buys_only=(code == CODES["rug"]) & (draw(token, "honeypot") < 0.5),
        quote=quote.astype(np.int64),
        native=native,
        visible_from=visible,
    )
    rows.first_log_price[:] = log_prices_at(rows, rows.opens)
    rows.last_log_price[:] = log_prices_at(rows, np.where(closes >= NEVER, rows.opens, closes))
    return rows


def _stories(
    code: Ints,
    chain: Ints,
    ordinal: Ints,
    token: Keys,
    cycle: Floats,
    created: Floats,
    liquidity: Floats,
    endless: Flags,
) -> tuple[Curves, Ints, Ints, Floats]:
    """Return the curves, the first and the end bar, and the time of creation of each row.

    ``endless`` are the launches that stay on their bonding curve.
    """
    count = len(code)
    story = curves.flat(count)
    end = np.full(count, np.inf)
    visible = created.copy()

    def where(name: str) -> Ints:
        return np.flatnonzero(code == CODES[name])

    for name, height in (("rising", 1.2), ("falling", -1.2)):
        _assign(story, where(name), curves.trend(len(where(name)), cycle[where(name)], height))
    rows = where("crash")
    _assign(story, rows, curves.shock(len(rows), cycle[rows], 0.5 * HOUR, -0.9, 2.0))
    rows = where("pump")
    _assign(story, rows, curves.shock(len(rows), cycle[rows], 1.5 * HOUR, 0.8, 2.4))

    rows = where("launch")
    on_solana = chain[rows] == 0
    curve_seconds = np.where(on_solana, _geometric(_CURVE_SECONDS, draw(token[rows], "curve seconds")), HOUR)
    migrates = ~endless[rows]
    _assign(story, rows, curves.launch(token[rows], curve_seconds, migrates))
    completed = np.ceil((created[rows] + curve_seconds) / BAR_SECONDS) * BAR_SECONDS
    on_curve = _on_curve(code[rows], chain[rows], ordinal[rows])
    end[rows] = np.where(on_curve & migrates, completed, np.inf)
    visible[rows] = np.where(ordinal[rows] > 0, np.where(migrates, completed, np.inf), created[rows])

    rows = where("rug")
    rug_time = np.ceil((created[rows] + (1.2 + 1.2 * draw(token[rows], "rug")) * DAY) / BAR_SECONDS) * BAR_SECONDS
    fall = np.log(_RUG_LIQUIDITY / liquidity[rows])
    _assign(story, rows, curves.rug(len(rows), rug_time - created[rows], fall))
    end[rows] = rug_time + _RUG_BARS * BAR_SECONDS

    rows = where("dead")
    alive = (10 + 10 * draw(token[rows], "alive")) * DAY
    _assign(story, rows, curves.decline(len(rows), alive))
    end[rows] = created[rows] + alive

    opens = np.where(np.isfinite(visible), np.ceil(visible / BAR_SECONDS), NEVER).astype(np.int64)
    closes = np.where(np.isfinite(end), np.ceil(end / BAR_SECONDS), NEVER).astype(np.int64)
    return story, opens, closes, visible


def _assign(story: Curves, rows: Ints, part: Curves) -> None:
    for whole, piece in ((story.age, part.age), (story.price, part.price), (story.volume, part.volume)):
        whole[rows] = piece.reshape(-1, KNOTS)
    story.liquidity[rows] = part.liquidity.reshape(-1, KNOTS)


def _on_curve(code: Ints, chain: Ints, ordinal: Ints) -> Flags:
    return np.asarray((code == CODES["launch"]) & (chain == 0) & (ordinal == 0))


def _between(code: Ints, name: str, luck: Floats) -> Floats:
    """Return a value between the bounds of each row's character: on a log scale for prices and sizes, else linear."""
    bounds = np.array([getattr(character, name) for character in CHARACTERS])[code]
    low, high = bounds[:, 0], bounds[:, 1]
    if name in ("price", "liquidity", "trade_size", "activity"):
        return np.asarray(low * (high / low) ** luck)
    return np.asarray(low + (high - low) * luck)


def _linear(bounds: Bounds, luck: Floats) -> Floats:
    return bounds[0] + (bounds[1] - bounds[0]) * luck


def _geometric(bounds: Bounds, luck: Floats) -> Floats:
    return np.asarray(bounds[0] * (bounds[1] / bounds[0]) ** luck)

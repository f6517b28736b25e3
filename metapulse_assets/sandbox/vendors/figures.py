"""How vendors write numbers: plain functions from a float to what stands in their JSON."""

import math
from datetime import UTC, datetime
from decimal import Decimal


def number(value: float, digits: int = 2) -> int | float:
    """Return the value rounded to ``digits`` decimals, as an integer where nothing is left of them."""
    rounded = round(value, digits)
    return int(rounded) if rounded == int(rounded) else rounded


def short_price(value: float) -> str:
    """Return a price with four significant digits below 1 and four decimals from 1 on, never with an exponent."""
    if value <= 0 or not math.isfinite(value):
        return "0"
    decimals = 4 if value >= 1 else 3 - math.floor(math.log10(value))
    return f"{value:.{decimals}f}"


def plain(value: float, digits: int = 15) -> str:
    """Return the value with ``digits`` significant digits as a decimal string without an exponent."""
    return format(Decimal(f"{value:.{digits}g}"), "f")


def milliseconds_iso(t: float) -> str:
    """Return UTC epoch seconds as ISO 8601 with milliseconds and Z."""
    return datetime.fromtimestamp(round(t, 3), UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"


def seconds_iso(t: float) -> str:
    """Return UTC epoch seconds as ISO 8601 with seconds and Z."""
    return datetime.fromtimestamp(int(t), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

"""What vendors say in their headers of when to ask again. Names of headers are in lower case."""

import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

# Epoch milliseconds lie far above this, epoch seconds far below.
_SMALLEST_EPOCH_MS = 1e11


def retry_after(headers: Mapping[str, str], now: datetime) -> float | None:
    """Seconds to wait as `Retry-After` says, in either form of the header (RFC 9110, 10.2.3); None: it says nothing."""
    value = headers.get("retry-after")
    if not value:
        return None
    if re.fullmatch(r"\d{1,9}(\.\d+)?", value.strip(), re.ASCII):
        return float(value)
    try:
        moment = parsedate_to_datetime(value)
    except (ValueError, OverflowError):
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max((moment - now).total_seconds(), 0.0)


def seconds_to_reset(headers: Mapping[str, str], now: datetime) -> float | None:
    """Seconds until calls are allowed again, where the headers say that none is left; None: one is, or nothing is said."""
    remaining = headers.get("x-ratelimit-remaining", headers.get("x-rate-limit-remaining"))
    reset = headers.get("x-ratelimit-reset", headers.get("x-rate-limit-reset"))
    if remaining is None or reset is None:
        return None
    try:
        left, at = float(remaining), float(reset)
    except ValueError:
        return None
    if left > 0 or not math.isfinite(at):
        return None
    # Some vendors give seconds to wait, others the epoch second (or millisecond) of the reset.
    seconds, epoch = at / 1000 if at > _SMALLEST_EPOCH_MS else at, now.timestamp()
    return max(seconds - epoch if seconds > epoch / 2 else seconds, 0.0)

"""Intervals in milliseconds, as the settings give them, turned into cron schedules."""

MINUTES_AN_HOUR = 60
HOURS_A_DAY = 24


def cron_for_interval(milliseconds: int) -> str:
    """The cron expression for "every so many milliseconds".

    Cron can only say intervals that divide an hour or a day evenly; any other raises ValueError with the nearest that do.
    """
    if milliseconds <= 0 or milliseconds % 60_000:
        raise ValueError(f"{milliseconds} ms is not a whole number of minutes; cron's smallest step is 60000 ms")
    minutes = milliseconds // 60_000
    if minutes < MINUTES_AN_HOUR and MINUTES_AN_HOUR % minutes == 0:
        return "* * * * *" if minutes == 1 else f"*/{minutes} * * * *"
    if minutes % MINUTES_AN_HOUR == 0 and HOURS_A_DAY % (minutes // MINUTES_AN_HOUR) == 0:
        hours = minutes // MINUTES_AN_HOUR
        if hours == HOURS_A_DAY:
            return "0 0 * * *"
        return "0 * * * *" if hours == 1 else f"0 */{hours} * * *"
    possible = [m for m in range(1, 60) if 60 % m == 0] + [60 * h for h in range(1, 25) if 24 % h == 0]
    below = max((m for m in possible if m < minutes), default=possible[0])
    above = min((m for m in possible if m > minutes), default=possible[-1])
    raise ValueError(
        f"cron cannot say every {minutes} minutes; the nearest it can are {below * 60_000} ms and {above * 60_000} ms"
    )

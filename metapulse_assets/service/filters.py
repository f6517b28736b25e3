"""Values that questions may be narrowed by, and cursors: where the next page begins."""

import base64
import binascii
import json
from typing import Annotated, Any

from pydantic import AfterValidator, StringConstraints

from metapulse_assets.service.problems import Problem, wrong_fields

LONGEST_TEXT = 200
# Of what PostgreSQL takes in a text, and a log shows without harm.
_PRINTABLE = r"^[^\x00-\x1f\x7f]*$"


def _without_surrogates(value: str) -> str:
    if any(0xD800 <= ord(sign) <= 0xDFFF for sign in value):
        raise ValueError("holds half of a surrogate pair")
    return value


Text = Annotated[
    str, StringConstraints(min_length=1, max_length=LONGEST_TEXT, pattern=_PRINTABLE), AfterValidator(_without_surrogates)
]


def as_cursor(values: list[Any]) -> str:
    """Where a page ended, for the next one; a program hands it back as it is."""
    return base64.urlsafe_b64encode(json.dumps(values, separators=(",", ":")).encode()).decode().rstrip("=")


def read_cursor(text: str, kinds: tuple[type, ...]) -> list[Any]:
    """What `as_cursor` was given, if its values are of these kinds; raises `Problem` 400."""
    try:
        values = json.loads(base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True))
    except (binascii.Error, ValueError, RecursionError):
        raise wrong_cursor() from None
    if not isinstance(values, list) or len(values) != len(kinds):
        raise wrong_cursor()
    if any(type(value) is not kind for value, kind in zip(values, kinds, strict=True)):
        raise wrong_cursor()
    return values


def wrong_cursor() -> Problem:
    """The problem of a cursor that was not ours."""
    return wrong_fields(400, [("query.cursor", "is none that this page gave out as `next`")])

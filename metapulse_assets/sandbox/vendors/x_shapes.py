"""X's shapes: posts, accounts, partial errors, problems, and how one item is spoiled by a fault."""

import html
import math
import re
import time
from collections.abc import Sequence
from typing import Any, Final

from starlette.responses import PlainTextResponse, Response

from metapulse_assets.sandbox.faults import BAD_PRICE, LONG_NAME
from metapulse_assets.sandbox.gate import json_response
from metapulse_assets.sandbox.posts import Author, SandboxPost
from metapulse_assets.sandbox.vendors.figures import milliseconds_iso
from metapulse_assets.sandbox.vendors.x_query import CASHTAG, HASHTAG, URL

PROBLEMS: Final = "https://api.twitter.com/2/problems"


class RefusedError(Exception):
    """A request that X answers with an error."""

    def __init__(self, status: int, title: str, detail: str, kind: str, parameters: dict[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status = status
        self.body: dict[str, Any] = {"title": title, "detail": detail, "type": kind}
        if parameters is not None:
            errors = [{"parameters": {name: [value] for name, value in parameters.items()}, "message": detail}]
            self.body = {"errors": errors, **self.body, "detail": "One or more parameters to your request was invalid."}
        if status in (401, 404):
            self.body["status"] = status


def invalid(detail: str, **parameters: str) -> RefusedError:
    """The refusal of a parameter."""
    return RefusedError(400, "Invalid Request", detail, f"{PROBLEMS}/invalid-request", parameters)


def post_shape(post: SandboxPost, fields: set[str], t: float) -> dict[str, object]:
    """A post with the fields that were asked for."""
    counts = post.reactions_at(t)
    # The text's places are counted in the text as it is sent.
    text = html.escape(post.text, quote=False)
    shown: dict[str, object] = {"id": str(post.id), "text": text, "edit_history_tweet_ids": [str(post.id)]}
    optional: dict[str, object] = {
        "author_id": post.author.id,
        "created_at": milliseconds_iso(post.at),
        "lang": post.lang,
        "public_metrics": {
            "retweet_count": counts.reposts,
            "reply_count": counts.replies,
            "like_count": counts.likes,
            "quote_count": counts.quotes,
            "bookmark_count": counts.likes // 10,
            "impression_count": counts.impressions,
        },
        "entities": entities_of(text),
        "referenced_tweets": [{"type": kind, "id": str(other)} for kind, other in post.references],
    }
    return shown | {name: value for name, value in optional.items() if name in fields and value}


def with_errors(items: Sequence[object] | None, errors: Sequence[object]) -> dict[str, object]:
    """A body of items, with X's account of what it could not show; `data` is missing where there is nothing."""
    body: dict[str, object] = {"data": items} if items or items is None else {}
    return {**body, "errors": errors} if errors else body


def not_found(resource: str, parameter: str, value: str) -> dict[str, str]:
    """A partial error: one of the things asked for is not there."""
    return {
        "detail": f"Could not find {resource} with {parameter}: [{value}].",
        "title": "Not Found Error",
        "resource_type": resource,
        "parameter": parameter,
        "value": value,
        "resource_id": value,
        "type": f"{PROBLEMS}/resource-not-found",
    }


def user_shape(author: Author, fields: set[str]) -> dict[str, object]:
    """An account with the fields that were asked for."""
    user: dict[str, object] = {"id": author.id, "name": author.name, "username": author.username}
    if "created_at" in fields:
        user["created_at"] = milliseconds_iso(author.created_at)
    if "public_metrics" in fields and author.followers >= 0:
        user["public_metrics"] = {
            "followers_count": author.followers,
            "following_count": author.following,
            "tweet_count": author.posts,
            "listed_count": author.followers // 500,
        }
    return user


def entities_of(text: str) -> dict[str, object]:
    """What X finds in a text, places in code points; kinds that it does not find are left out."""
    found: dict[str, object] = {
        "cashtags": [{"start": m.start(), "end": m.end(), "tag": m.group(1)} for m in CASHTAG.finditer(text)],
        "hashtags": [{"start": m.start(), "end": m.end(), "tag": m.group(1)} for m in HASHTAG.finditer(text)],
        "mentions": [
            {"start": m.start(), "end": m.end(), "username": m.group(1)}
            for m in re.finditer(r"(?<!\w)@([A-Za-z0-9_]{1,15})", text)
        ],
        "urls": [
            {"start": m.start(), "end": m.end(), "url": m.group(), "expanded_url": html.unescape(m.group())}
            for m in URL.finditer(text)
        ],
    }
    return {kind: items for kind, items in found.items() if items}


def refuse(status: int) -> Response:
    """X's own answers to too many requests, unknown paths and trouble of its own."""
    if status == 429:
        # As recorded: plain text, and a reset of its own window; a near one, for clients that wait for it.
        headers = {"x-rate-limit-remaining": "0", "x-rate-limit-reset": str(math.ceil(time.time()) + 2)}
        return PlainTextResponse("Rate limit exceeded\n", 429, headers)
    if status == 404:
        body = {"title": "Not Found", "detail": "Not Found", "type": "about:blank", "status": 404}
        return json_response(body, 404)
    return Response("<html><body><h1>Over capacity</h1></body></html>", 503, media_type="text/html")


def spoil(item: object, fault: str) -> bool:
    """Apply one item fault to a post, an account or a bucket; return whether it has what the fault is about."""
    if not isinstance(item, dict):
        return False
    metrics = item.get("public_metrics")
    if fault == "string-numbers" and isinstance(metrics, dict):
        item["public_metrics"] = {name: str(value) for name, value in metrics.items()}
    elif fault == "negative-volume" and isinstance(metrics, dict):
        item["public_metrics"] = {name: -1 - value for name, value in metrics.items()}
    elif fault == "bad-price" and "created_at" in item:
        item["created_at"] = BAD_PRICE
    elif fault == "missing-price" and "author_id" in item:
        item.pop("author_id")
    elif fault == "long-name" and "text" in item:
        item["text"] = LONG_NAME
    else:
        return False
    return True

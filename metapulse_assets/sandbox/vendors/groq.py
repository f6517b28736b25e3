"""Groq: OpenAI's chat completions with Groq's headers and errors. What the model says comes from ``ai_standin``."""

import hashlib
import json
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response

from metapulse_assets.sandbox.ai_standin import MARK, answer_text, behaviour_of
from metapulse_assets.sandbox.gate import json_response
from metapulse_assets.sandbox.standin import Backstage, Endpoint, Vendor

NAME: Final = "groq"
BOLDNESS: Final = 1.0
_REQUESTS_A_DAY, _TOKENS_A_MINUTE = 1_000, 8_000
_ERRORS: Final = {
    404: ("invalid_request_error", "unknown_url", "Unknown request URL."),
    429: ("requests", "rate_limit_exceeded", "Rate limit reached for requests per minute (RPM). Please try again in 2s."),
    500: ("internal_server_error", "", "Internal Server Error"),
}


async def _chat(backstage: Backstage, request: Request) -> Response:
    if not request.headers.get("authorization", "").removeprefix("Bearer ").strip():
        return _error(401, "invalid_request_error", "invalid_api_key", "Invalid API Key")
    body = json.loads(await request.body())
    model, prompt = str(body["model"]), str(body["messages"][-1]["content"])
    behaviour = behaviour_of(model)
    form = (body.get("response_format") or {}).get("type")
    refused = _refusal(model, behaviour, form, prompt)
    if refused is not None:
        return refused
    text = answer_text(prompt, BOLDNESS, gullible=behaviour == "gullible")
    message, finish = _message(text, behaviour)
    read, written = sum(len(str(entry["content"])) for entry in body["messages"]) // 4, len(text) // 4
    digest = hashlib.sha256(prompt.encode()).hexdigest()
    answer = {
        "id": f"chatcmpl-{digest[:32]}",
        "object": "chat.completion",
        "created": int(backstage.clock.now()),
        "model": MARK + model,
        "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": finish}],
        "usage": {
            "queue_time": 0.01,
            "prompt_tokens": read,
            "prompt_time": 0.002,
            "completion_tokens": written,
            "completion_time": 0.02,
            "total_tokens": read + written,
            "total_time": 0.022,
        },
        "usage_breakdown": None,
        "system_fingerprint": "fp_standin",
        "x_groq": {"id": f"req_{digest[:26]}"},
        "service_tier": "on_demand",
    }
    response = json_response(answer)
    response.headers.update(_rate_headers(read + written))
    return response


def _message(text: str, behaviour: str | None) -> tuple[dict[str, Any], str]:
    contents: dict[str | None, tuple[str | None, str]] = {
        "prompt-blocked": (None, "stop"),
        "answer-blocked": (text[:20], "content_filter"),
        "empty": ("", "length"),
        "cut": (text[: len(text) // 2], "length"),
        "invalid-json": ("The price will probably rise.", "stop"),
        "wrong-types": (_spoilt(text, "high"), "stop"),
        "out-of-range": (_spoilt(text, 7 if '"scores"' in text else 1.4), "stop"),
        "refusal": ("I'm sorry, but I cannot give financial advice.", "stop"),
    }
    content, finish = contents.get(behaviour, (text, "stop"))
    return {"role": "assistant", "content": content}, finish


def _spoilt(text: str, value: object) -> str:
    """An answer with one of its numbers replaced."""
    answer = json.loads(text)
    if "scores" in answer:
        answer["scores"][0]["score"] = value
    else:
        answer["probability"] = value
    return json.dumps(answer)


def _refusal(model: str, behaviour: str | None, form: str | None, prompt: str) -> Response | None:
    if behaviour == "unknown":
        text = f"The model `{model}` does not exist or you do not have access to it."
        return _error(404, "invalid_request_error", "model_not_found", text)
    if behaviour == "no-schema" and form == "json_schema":
        text = "This model does not support response format `json_schema`. See supported models in the documentation."
        return _error(400, "invalid_request_error", "", text)
    if behaviour == "validate-failed":
        error = {
            "message": "Failed to generate JSON. Please adjust your prompt. See 'failed_generation' for more details.",
            "type": "invalid_request_error",
            "code": "json_validate_failed",
            "failed_generation": answer_text(prompt, BOLDNESS)[:-1],
        }
        return json_response({"error": error}, 400)
    if behaviour == "too-large":
        text = f"Request too large for model `{model}` on tokens per minute (TPM): Limit {_TOKENS_A_MINUTE}, Requested 9000."
        return _error(413, "tokens", "rate_limit_exceeded", text)
    if behaviour in ("daily-quota", "minute-quota"):
        daily = behaviour == "daily-quota"
        kind = "tokens per day (TPD)" if daily else "tokens per minute (TPM)"
        wait = "3h20m5.5s" if daily else "1.25s"
        text = f"Rate limit reached for model `{model}` on {kind}: Limit 200000, Used 199990, Requested 900."
        response = _error(429, "tokens", "rate_limit_exceeded", f"{text} Please try again in {wait}.")
        response.headers["retry-after"] = "12005" if daily else "2"
        return response
    return None


def _rate_headers(tokens: int) -> dict[str, str]:
    return {
        "x-ratelimit-limit-requests": str(_REQUESTS_A_DAY),
        "x-ratelimit-limit-tokens": str(_TOKENS_A_MINUTE),
        "x-ratelimit-remaining-requests": str(_REQUESTS_A_DAY - 1),
        "x-ratelimit-remaining-tokens": str(max(_TOKENS_A_MINUTE - tokens, 1)),
        "x-ratelimit-reset-requests": "1m26.4s",
        "x-ratelimit-reset-tokens": f"{60 * tokens / _TOKENS_A_MINUTE:.3f}s",
        "x-request-id": "req_standin",
    }


def _models(backstage: Backstage, request: Request) -> Response:
    entry = {"id": f"{MARK}model", "object": "model", "created": int(backstage.clock.now()), "owned_by": "MetaPulse sandbox"}
    return json_response({"object": "list", "data": [entry]})


def _error(status: int, kind: str, code: str, text: str) -> Response:
    return json_response({"error": {"message": text, "type": kind, **({"code": code} if code else {})}}, status)


def _refuse(status: int) -> Response:
    return _error(status, *_ERRORS[status])


VENDOR: Final = Vendor(
    name=NAME,
    limits={NAME: 30},
    endpoints=(
        Endpoint("/openai/v1/chat/completions", NAME, _chat, ("POST",)),
        Endpoint("/openai/v1/models", NAME, _models),
    ),
    refuse=_refuse,
    spoil=lambda item, fault: False,
)

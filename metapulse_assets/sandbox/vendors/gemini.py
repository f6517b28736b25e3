"""Gemini: generateContent with its many ways of not answering. What the model says comes from ``ai_standin``."""

import hashlib
import json
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response

from metapulse_assets.sandbox.ai_standin import MARK, answer_text, behaviour_of
from metapulse_assets.sandbox.gate import json_response
from metapulse_assets.sandbox.standin import Backstage, Endpoint, Vendor

NAME: Final = "gemini"
BOLDNESS: Final = 0.85
_STATUSES: Final = {
    400: "INVALID_ARGUMENT",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
}
_TEXTS: Final = {
    404: "Requested entity was not found.",
    429: "Resource has been exhausted (e.g. check quota).",
    500: "An internal error has occurred. Please retry.",
}
_RATINGS: Final = [
    {"category": "HARM_CATEGORY_DANGEROUS_CONTENT", "probability": "MEDIUM", "blocked": True},
    {"category": "HARM_CATEGORY_HARASSMENT", "probability": "NEGLIGIBLE"},
]


async def _generate(backstage: Backstage, request: Request) -> Response:
    key = request.headers.get("x-goog-api-key", "")
    if not key:
        return _error(403, "Method doesn't allow unregistered callers. Please use API Key.")
    if key.startswith("invalid"):
        info = {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID", "domain": "googleapis.com"}
        return _error(400, "API key not valid. Please pass a valid API key.", [info])
    model = request.path_params["model"]
    behaviour = behaviour_of(model)
    refused = _refusal(model, behaviour)
    if refused is not None:
        return refused
    body = json.loads(await request.body())
    prompt = "".join(str(part.get("text", "")) for content in body["contents"] for part in content["parts"])
    system = json.dumps(body.get("systemInstruction") or {})
    text = answer_text(prompt, BOLDNESS, gullible=behaviour == "gullible")
    return json_response(_answer(model, behaviour, prompt, text, len(system) + len(prompt)))


def _answer(model: str, behaviour: str | None, prompt: str, text: str, characters: int) -> dict[str, Any]:
    read, written = characters // 4, len(text) // 4
    usage: dict[str, Any] = {"promptTokenCount": read, "candidatesTokenCount": written, "totalTokenCount": read + written}
    usage["promptTokensDetails"] = [{"modality": "TEXT", "tokenCount": read}]
    answer = {
        "modelVersion": MARK + model,
        "responseId": hashlib.sha256(prompt.encode()).hexdigest()[:22],
        "usageMetadata": usage,
    }
    if behaviour == "prompt-blocked":
        del usage["candidatesTokenCount"]
        return {**answer, "promptFeedback": {"blockReason": "PROHIBITED_CONTENT", "safetyRatings": _RATINGS}}
    if behaviour == "answer-blocked":
        return {**answer, "candidates": [{"content": {}, "finishReason": "SAFETY", "index": 0, "safetyRatings": _RATINGS}]}
    if behaviour == "empty":
        del usage["candidatesTokenCount"]
        usage["thoughtsTokenCount"] = 1_000
        return {**answer, "candidates": [{"content": {"role": "model"}, "finishReason": "MAX_TOKENS", "index": 0}]}
    finish = "MAX_TOKENS" if behaviour == "cut" else "STOP"
    content = {"parts": [{"text": _text(text, behaviour)}], "role": "model"}
    return {**answer, "candidates": [{"content": content, "finishReason": finish, "index": 0}]}


def _text(text: str, behaviour: str | None) -> str:
    if behaviour == "cut":
        return text[: len(text) // 2]
    if behaviour == "invalid-json":
        return "The price will probably rise."
    if behaviour == "refusal":
        return "I cannot give financial advice."
    if behaviour in ("wrong-types", "out-of-range"):
        answer = json.loads(text)
        value: object = "high" if behaviour == "wrong-types" else 7
        if "scores" in answer:
            answer["scores"][0]["score"] = value
        else:
            answer["probability"] = value
        return json.dumps(answer)
    return text


def _refusal(model: str, behaviour: str | None) -> Response | None:
    if behaviour == "unknown":
        return _error(404, f"models/{model} is not found for API version v1beta, or is not supported for generateContent.")
    if behaviour in ("daily-quota", "minute-quota"):
        period = "PerDay" if behaviour == "daily-quota" else "PerMinute"
        violation = {
            "quotaMetric": "generativelanguage.googleapis.com/generate_content_free_tier_requests",
            "quotaId": f"GenerateRequests{period}PerProjectPerModel-FreeTier",
            "quotaDimensions": {"location": "global", "model": model},
            "quotaValue": "250",
        }
        details: list[dict[str, Any]] = [
            {"@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": [violation]},
            # The vendor gives a delay of seconds even where the quota is of a day.
            {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "2s"},
        ]
        return _error(429, "You exceeded your current quota, please check your plan and billing details.", details)
    if behaviour == "too-large":
        return _error(400, "The input token count exceeds the maximum number of tokens allowed.")
    return None


def _models(backstage: Backstage, request: Request) -> Response:
    entry = {"name": f"models/{MARK}model", "displayName": "stand-in", "supportedGenerationMethods": ["generateContent"]}
    return json_response({"models": [entry]})


def _error(status: int, text: str, details: list[dict[str, Any]] | None = None) -> Response:
    error = {"code": status, "message": text, "status": _STATUSES[status], **({"details": details} if details else {})}
    return json_response({"error": error}, status)


def _refuse(status: int) -> Response:
    return _error(status, _TEXTS[status])


VENDOR: Final = Vendor(
    name=NAME,
    limits={NAME: 60},
    endpoints=(
        Endpoint("/v1beta/models/{model}:generateContent", NAME, _generate, ("POST",)),
        Endpoint("/v1beta/models", NAME, _models),
    ),
    refuse=_refuse,
    spoil=lambda item, fault: False,
)

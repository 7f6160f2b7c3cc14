"""What this Discord answers when it refuses: an HTTP status, Discord's own code and a message."""

from dataclasses import dataclass, field
from typing import Any


@dataclass(eq=False)
class ApiProblem(Exception):
    """An error answer. `code` is Discord's JSON error code."""

    status: int
    code: int
    message: str
    headers: dict[str, str] = field(default_factory=dict)
    extra: dict[str, Any] = field(default_factory=dict)

    def body(self) -> dict[str, Any]:
        return {"message": self.message, "code": self.code, **self.extra}


def unauthorized() -> ApiProblem:
    return ApiProblem(401, 0, "401: Unauthorized")


def unknown_message() -> ApiProblem:
    return ApiProblem(404, 10008, "Unknown Message")


def unknown_channel() -> ApiProblem:
    return ApiProblem(404, 10003, "Unknown Channel")


def unknown_webhook() -> ApiProblem:
    return ApiProblem(404, 10015, "Unknown Webhook")


def unknown_interaction() -> ApiProblem:
    return ApiProblem(404, 10062, "Unknown interaction")


def already_acknowledged() -> ApiProblem:
    return ApiProblem(400, 40060, "Interaction has already been acknowledged.")


def token_expired() -> ApiProblem:
    return ApiProblem(401, 50027, "Invalid Webhook Token")


def missing_access() -> ApiProblem:
    return ApiProblem(403, 50001, "Missing Access")


def cannot_message_user() -> ApiProblem:
    return ApiProblem(403, 50007, "Cannot send messages to this user")


def missing_permissions() -> ApiProblem:
    return ApiProblem(403, 50013, "Missing Permissions")


def not_the_author() -> ApiProblem:
    return ApiProblem(403, 50005, "Cannot edit a message authored by another user")


def empty_message() -> ApiProblem:
    return ApiProblem(400, 50006, "Cannot send an empty message")


def too_large() -> ApiProblem:
    return ApiProblem(413, 40005, "Request entity too large")


def rate_limited(retry_after: float, *, via: bool = True, everywhere: bool = False) -> ApiProblem:
    """A 429. Without `via` it looks like one of Cloudflare's, which discord.py raises at once."""
    headers = {"Retry-After": str(retry_after)} | ({"Via": "1.1 loopback"} if via else {})
    extra = {"retry_after": retry_after, "global": everywhere}
    return ApiProblem(429, 0, "You are being rate limited.", headers, extra)


def invalid(where: str, code: str, message: str) -> ApiProblem:
    """A 400 with the place in the form that is wrong, such as `components[0].custom_id`."""
    errors: dict[str, Any] = {"_errors": [{"code": code, "message": message}]}
    for key in reversed(where.replace("]", "").replace("[", ".").split(".")):
        errors = {key: errors}
    return ApiProblem(400, 50035, f"Invalid Form Body: {where}: {message}", {}, {"errors": errors})

"""One table from exception to status, code and sentence; the body is the contract's error body.

The apps raise what happened; what a caller reads of it is decided here. The sentences are in the caller's language.
"""

import logging
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from django.core.exceptions import (
    BadRequest,
    PermissionDenied,
    RequestDataTooBig,
    SuspiciousOperation,
    ValidationError,
)
from django.db import InterfaceError, OperationalError
from django.http import Http404, HttpRequest, HttpResponse, UnreadablePostError
from django.http.multipartparser import MultiPartParserError
from django.utils import translation
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _
from django_redis.exceptions import ConnectionInterrupted
from redis.exceptions import RedisError
from rest_framework import exceptions as drf

from accounts import errors as accounts
from accounts.causes import causes
from billing import errors as billing
from llmrouter import errors as llmrouter
from llmrouter.replies import json_reply, tell_limits, to_json
from usage import errors as usage

logger = logging.getLogger(__name__)


class UnusableText(BadRequest):
    """The request holds a character that PostgreSQL cannot store."""


@dataclass(frozen=True, slots=True)
class Error:
    """What a caller reads; the sentence may name the exception's attributes."""

    status: int
    code: str
    message: str | Promise


AWAY = Error(503, "unavailable", _("The service cannot answer right now. Try again in a moment."))
PAYMENTS_AWAY = Error(
    503, "payments_unavailable", _("Chargily does not answer right now. Nothing was charged. Try again in a moment.")
)
UNREADABLE = Error(400, "invalid_request", _("The request's body cannot be read."))
NOT_FOUND = Error(404, "not_found", _("There is nothing here. The API is described at /api/docs."))
UNEXPECTED = Error(
    500, "server_error", _("Something went wrong on our side. We have logged it under this request's id.")
)

ERRORS: dict[type[BaseException], Error] = {
    accounts.Unauthenticated: Error(401, "not_authenticated", _("Send your token or API key: Authorization: Bearer …")),
    accounts.BadCredentials: Error(401, "invalid_credentials", _("These credentials are not valid.")),
    accounts.ExpiredToken: Error(401, "token_expired", _("This token has expired. Log in again, or refresh it.")),
    accounts.SecondFactorRequired: Error(401, "otp_required", _("Send the code of your second factor as well: otp.")),
    accounts.BadSecondFactor: Error(401, "invalid_otp", _("This code is not valid, or it has been used already.")),
    accounts.SecondFactorNotSetUp: Error(
        403, "otp_not_set_up", _("Staff need a second factor here. Log in at /admin/ and set it up first.")
    ),
    accounts.LoginNeeded: Error(
        403, "login_needed", _("An API key cannot do this. Log in (POST /api/auth/login) and send the token.")
    ),
    accounts.AddressTaken: Error(400, "email_taken", _("There is an account with this e-mail address already.")),
    accounts.TooManyKeys: Error(400, "too_many_keys", _("You have %(limit)s keys already. Revoke one first.")),
    accounts.TooManyAttempts: Error(429, "rate_limited", _("Too many attempts. Try again in %(retry_after)s seconds.")),
    accounts.AccountsAway: AWAY,
    billing.NotForSale: Error(
        400, "tier_not_for_sale", _("“%(tier)s” cannot be bought here. GET /payment/plans lists what can.")
    ),
    billing.TierOnQuote: Error(
        400, "tier_on_quote", _("Your tier “%(tier)s” was agreed on with us. Write to us to change it.")
    ),
    billing.TierHasNoEnd: Error(
        400, "tier_has_no_end", _("Your tier “%(tier)s” has no end: there is nothing to buy for now.")
    ),
    billing.AlreadyPaid: Error(
        409, "already_paid", _("Your payment has just arrived: the tier “%(tier)s” is yours already.")
    ),
    billing.CheckoutBeingOpened: Error(
        503, "checkout_being_opened", _("Your checkout is being opened. Try again in a moment.")
    ),
    billing.NothingToCancel: Error(400, "nothing_to_cancel", _("You have no subscription to cancel.")),
    billing.NotRefundable: Error(400, "not_refundable", _("This payment cannot be refunded: it is %(status)s.")),
    billing.BadSignature: Error(401, "bad_signature", _("The signature is missing, or not Chargily's.")),
    billing.UnreadableEvent: Error(400, "malformed_json", _("The body is not valid JSON.")),
    billing.EventNotApplied: Error(
        500, "event_not_applied", _("The event is stored and could not be applied yet. Send it again.")
    ),
    billing.PaymentsNotConfigured: Error(
        503, "payments_not_configured", _("Payments are not open yet: this server has no key of Chargily.")
    ),
    billing.Unreachable: PAYMENTS_AWAY,
    billing.Busy: PAYMENTS_AWAY,
    billing.KeyRefused: PAYMENTS_AWAY,
    billing.GatewayError: Error(
        502, "payment_failed", _("Chargily could not open a checkout. Nothing was charged. Try again in a moment.")
    ),
    usage.Banned: Error(
        403, "banned", _("This account is suspended for now. Write to us if you think it is a mistake.")
    ),
    usage.MayNotSuspend: Error(403, "may_not_suspend", _("You may not suspend this account, nor lift its suspension.")),
    usage.RateLimited: Error(
        429, "rate_limited", _("Rate limit: your tier allows %(per_minute)s requests per minute.")
    ),
    usage.QuotaExceeded: Error(
        429, "quota_exceeded", _("You have used your %(per_day)s messages of today. The count restarts at midnight.")
    ),
    usage.BudgetExceeded: Error(
        429, "budget_exceeded", _("Today's budget is used up and no free model is available. Try again after midnight.")
    ),
    usage.Recovering: Error(503, "recovering", _("The service is restarting its counters. Try again in a moment.")),
    usage.NotNow: AWAY,
    llmrouter.InvalidChat: Error(400, "invalid_request", _("The request is not valid: %(why)s")),
    llmrouter.UnsupportedEncoding: Error(
        415,
        "unsupported_encoding",
        _("We do not read bodies in the encoding “%(encoding)s”. Send one of: %(readable)s, or no Content-Encoding."),
    ),
    llmrouter.UnknownModel: Error(
        404, "model_not_found", _("There is no model “%(model)s”. GET /api/v2/models lists those that there are.")
    ),
    llmrouter.PromptTooLong: Error(
        # LiteLLM, and with it aider, know such an error by these words.
        400,
        "prompt_too_long",
        _("The prompt is longer than the model's context length (“%(model)s”)."),
    ),
    llmrouter.Declined: Error(400, "request_declined", _("The model's provider declined this request.")),
    llmrouter.TryAnotherRoute: Error(502, "provider_failed", _("The provider failed in the middle of its answer.")),
    llmrouter.EveryProviderFailed: Error(
        502, "providers_failed", _("No provider could answer. The message is not charged and not counted.")
    ),
    RequestDataTooBig: Error(400, "body_too_large", _("The request's body is too large.")),
    UnreadablePostError: Error(400, "invalid_request", _("The request's body ended before it was whole.")),
    SuspiciousOperation: Error(400, "invalid_request", _("This request is not for this server.")),
    UnusableText: Error(400, "invalid_request", _("The request holds a character that is not allowed: NUL.")),
    BadRequest: UNREADABLE,
    MultiPartParserError: UNREADABLE,
    ValidationError: Error(400, "invalid_request", _("The request is not valid; see the details.")),
    Http404: NOT_FOUND,
    drf.NotFound: NOT_FOUND,
    PermissionDenied: Error(403, "forbidden", _("You may not do this.")),
    drf.PermissionDenied: Error(403, "forbidden", _("You may not do this.")),
    drf.NotAuthenticated: Error(401, "not_authenticated", _("Send your token or API key: Authorization: Bearer …")),
    drf.ParseError: Error(400, "malformed_json", _("The body is not valid JSON.")),
    drf.UnsupportedMediaType: Error(415, "unsupported_media_type", _("Send JSON: Content-Type: application/json.")),
    drf.MethodNotAllowed: Error(405, "method_not_allowed", _("This address does not answer to this method.")),
    drf.ValidationError: Error(400, "invalid_request", _("The request is not valid; see the details.")),
    OperationalError: AWAY,
    InterfaceError: AWAY,
    ConnectionInterrupted: AWAY,
    RedisError: AWAY,
}

# What OpenAI's clients look for: LangChain tells a prompt that is too long by its code.
OPENAI_CODES = {"prompt_too_long": "context_length_exceeded", "invalid_credentials": "invalid_api_key"}


def answer(request: HttpRequest, error: BaseException) -> HttpResponse:
    """The answer for whatever was raised."""
    known = find(error)
    response = json_reply(body_of(request, error, known), known.status)
    if known.status == 401:
        response.headers["WWW-Authenticate"] = "Bearer"
    if allowed := getattr(error, "allowed", None):
        response.headers["Allow"] = allowed
    if retry_after := retry_after_of(error, known):
        response.headers["Retry-After"] = str(retry_after)
    if readable := getattr(error, "readable", None):
        response.headers["Accept-Encoding"] = readable
    if (limits := getattr(error, "limits", None)) is not None:
        tell_limits(response, limits)
    if speaks_openai(request) and isinstance(error, usage.QuotaExceeded | usage.BudgetExceeded):
        # OpenAI's clients would try again at once, and once more.
        response.headers["x-should-retry"] = "false"
    return logged(request, response, error)


def logged(request: HttpRequest, response: HttpResponse, error: BaseException) -> HttpResponse:
    """The same response; if it is our failure, its cause is in the log."""
    if response.status_code >= 500:
        log_cause(request, error)
        # Django would add a line for each such answer, without its cause.
        response._has_been_logged = True  # type: ignore[attr-defined]
    return response


def log_cause(request: HttpRequest, error: BaseException, where: str = "") -> None:
    known = find(error)
    if known is UNEXPECTED:
        # Always and whole: its caller was told that it is logged under the id of the request.
        logger.error("Error: unexpected%s", where, exc_info=error)
    elif known.status >= 500:
        causes.error(logger, f"{route_of(request)} answered {known.status} {known.code}{where}", error)


def route_of(request: HttpRequest) -> str:
    """The pattern of the address, not the address: that may hold a token."""
    if request.resolver_match is not None:
        return f"/{request.resolver_match.route}"
    # The chat's own way resolves nothing; its addresses hold nothing.
    return request.path_info if request.path_info.startswith(("/api/v2/", "/v1/")) else "a request"


def body_of(request: HttpRequest, error: BaseException, known: Error) -> dict[str, Any]:
    code, message, details = code_of(error, known), sentence(request, known, error), details_of(error)
    if speaks_openai(request):
        field = details.get("field") if isinstance(details, dict) else None
        code = OPENAI_CODES.get(code, code)
        return {"error": {"message": message, "type": openai_type(known), "param": field, "code": code}}
    return {"error": {"code": code, "message": message, **({"details": details} if details else {})}}


def error_events(request: HttpRequest, events: Iterable[bytes]) -> Iterator[bytes]:
    """A stream whose failure, after its first byte, is an event of its own and never a silent cut."""
    try:
        yield from events
    except Exception as error:  # noqa: BLE001 (logged if it is our failure, and told to the caller)
        log_cause(request, error, ", in the middle of a stream")
        yield b"data: " + to_json(body_of(request, error, find(error))) + b"\n\n"


def answer_for_drf(error: Exception, context: dict[str, Any]) -> HttpResponse:
    """Django REST framework's exception handler."""
    return answer(context["request"]._request, error)


def find(error: BaseException) -> Error:
    for kind in type(error).__mro__:
        if kind in ERRORS:
            return ERRORS[kind]
    return UNEXPECTED


def sentence(request: HttpRequest, known: Error, error: BaseException) -> str:
    with translation.override(language_of(request)):
        text = str(known.message)
        return text % facts_of(error) if "%(" in text else text


def language_of(request: HttpRequest) -> str:
    """The caller's; OpenAI's clients, which name none, are spoken to in English."""
    if speaks_openai(request) and "Accept-Language" not in request.headers:
        return "en"
    return translation.get_language_from_request(request)


def speaks_openai(request: HttpRequest) -> bool:
    return request.path_info.startswith("/v1/")


def openai_type(known: Error) -> str:
    if known.code in ("quota_exceeded", "budget_exceeded"):
        return "insufficient_quota"
    by_status = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}
    return by_status.get(known.status, "server_error" if known.status >= 500 else "invalid_request_error")


def facts_of(error: BaseException) -> dict[str, Any]:
    """What a sentence may name; asked for in the caller's language."""
    facts = dict(vars(error))
    if isinstance(error, llmrouter.InvalidChat):
        facts["why"] = error.why
    if (limits := facts.get("limits")) is not None:
        facts |= {"per_minute": limits.per_minute, "per_day": limits.per_day}
    return facts


def code_of(error: BaseException, known: Error) -> str:
    # A password that is too weak has a code of its own among the errors of a form.
    if isinstance(error, drf.ValidationError) and "weak_password" in str(error.get_codes()):
        return "weak_password"
    return known.code


def details_of(error: BaseException) -> Any:
    if isinstance(error, drf.ValidationError):
        return error.detail
    if isinstance(error, usage.RateLimited | usage.QuotaExceeded) and error.limits is not None:
        limits = error.limits
        return {"limit": limits.per_day if isinstance(error, usage.QuotaExceeded) else limits.per_minute}
    if isinstance(error, llmrouter.InvalidChat) and error.field:
        return {"field": error.field}
    return None


def retry_after_of(error: BaseException, known: Error) -> int | None:
    """Whole seconds, rounded up."""
    match error:
        case accounts.TooManyAttempts():
            return error.retry_after
        case billing.Busy():
            return error.retry_after
        case usage.RateLimited(limits=limits) if limits is not None:
            return max(1, math.ceil(limits.rate_reset))
        case usage.Refused(limits=limits) if limits is not None:
            return max(1, math.ceil(limits.until_midnight))
    return 1 if known.status == 503 else None


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    return answer(request, exception)


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    return answer(request, exception)


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    """Django's own page has its style inside, and speaks English only."""
    return answer(request, PermissionDenied())


def server_error(request: HttpRequest) -> HttpResponse:
    # The traceback is logged by Django.
    return json_reply(body_of(request, Exception(), UNEXPECTED), 500)

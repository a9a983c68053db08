"""One call to one route: the dialect is asked, and the breakers hear how it went. Knows nothing of money."""

from collections.abc import Generator

from usage import health

from .catalogue import Route
from .errors import (
    Empty,
    KeyBusy,
    KeyRefused,
    ModelGone,
    OutOfCredit,
    Overloaded,
    PromptTooLong,
    TryAnotherRoute,
    Unclear,
    Unsent,
)
from .providers import anthropic, demo, openai
from .providers.base import Dialect
from .providers.registry import Key
from .routing import at_route, subjects
from .types import Chat, Piece, Reply, Upstream

DIALECTS: dict[str, Dialect] = {"openai": openai, "anthropic": anthropic, "demo": demo}


def send(route: Route, key: Key, chat: Chat, max_tokens: int, *, caller: int) -> Reply:
    """A whole answer. Raises `TryAnotherRoute` or `CallerFault`. `caller` is the user's id."""
    dialect = DIALECTS[route.connection.provider.dialect]
    try:
        reply = dialect.complete(route.connection, key, upstream(route, chat, max_tokens))
    except PromptTooLong as error:
        raise PromptTooLong(chat.model) from error
    except TryAnotherRoute as error:
        blame(route, key, error, caller)
        raise
    praise(route, key)
    return reply


def open_stream(
    route: Route, key: Key, chat: Chat, max_tokens: int, *, caller: int
) -> Generator[list[Piece], None, None]:
    """The same in pieces. Closing it hangs up on the provider."""
    dialect = DIALECTS[route.connection.provider.dialect]
    pieces = dialect.stream(route.connection, key, upstream(route, chat, max_tokens))
    try:
        answers = False
        for batch in pieces:
            if not answers and any(not piece.comment for piece in batch):
                answers = True
                praise(route, key)
            yield batch
    except PromptTooLong as error:
        raise PromptTooLong(chat.model) from error
    except TryAnotherRoute as error:
        blame(route, key, error, caller)
        raise
    finally:
        pieces.close()


def upstream(route: Route, chat: Chat, max_tokens: int) -> Upstream:
    return Upstream(
        model=route.upstream,
        messages=chat.messages,
        max_tokens=max_tokens,
        parameters=chat.parameters,
        seconds=route.seconds,
        max_price=_max_price(route),
    )


def blame(route: Route, key: Key, error: TryAnotherRoute, caller: int) -> None:
    """What a failure says something about, and no more: the rate limit of a free model is not that of a paid one."""
    match error:
        case KeyRefused():
            health.failed(key.subject, error.code, at_once=True)
        case OutOfCredit():
            health.failed(key.credit, error.code, at_once=True)
        case KeyBusy():
            at_once = error.retry_after is not None
            health.failed(at_route(key, route), error.code, at_once=at_once, retry_after=error.retry_after)
        case ModelGone():
            health.failed(route.subject, error.code, at_once=True)
        case Unsent():
            health.failed(route.provider, error.code)
        case Empty() | Unclear(code="timeout"):
            # It may be due to what the caller asked.
            health.failed(route.subject, error.code, caller=caller)
        case Overloaded() | Unclear():
            health.failed(route.subject, error.code, retry_after=error.retry_after)


def praise(route: Route, key: Key) -> None:
    for subject in subjects(route, key):
        health.succeeded(subject)


def _max_price(route: Route) -> tuple[float, float] | None:
    """Dollars per million tokens. An endpoint within these is within the hold, which was reckoned at these and the
    prices that follow from them (cache, long context). Floats: a bound in a provider's JSON, not an account."""
    if route.free or route.prices is None:
        return None
    return route.prices.input / 1e9, route.prices.output / 1e9

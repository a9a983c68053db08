"""Pure arithmetic: the ceiling of a call before it, its cost after it. Nano-dollars, rounded up."""

from usage.admission import Offer, Usage

from .catalogue import Route
from .prices import cost_of
from .types import Chat, Reply, Tokens

# Bounds in tokens; docs/guarantees.md says what each is proven from. What frames a message:
TOKENS_PER_MESSAGE = 16
# What a provider adds to its prompt to explain tools:
TOKENS_FOR_TOOLS = 512
# What a model's template puts before the messages, by a part of the model's name. (That of the other models known is
# less than the frame of one message in JSON, which is no token upstream.)
PREAMBLES = {"gpt-oss": 128}
# No fewer output tokens than this are clamped to (or what was asked, if that is less).
FEWEST_TOKENS = 256


def input_bound(chat: Chat, image_tokens: int, upstream: str = "") -> int:
    """No tokenizer makes more tokens of a text than it has bytes, in the form in which it is split."""
    tools = TOKENS_FOR_TOOLS if chat.has_schemas else 0
    preamble = sum(tokens for part, tokens in PREAMBLES.items() if part in upstream)
    text = chat.input_bytes + chat.growth + TOKENS_PER_MESSAGE * len(chat.messages)
    return text + tools + preamble + chat.images * image_tokens


def offer_of(route: Route, chat: Chat, max_tokens: int) -> Offer:
    """The route as the budget sees it; its ceiling is a bound on what the provider can bill."""
    cap = min(max_tokens, route.max_output_tokens)
    if route.free or route.prices is None:
        return Offer(route.provider, route.upstream, cap)
    tokens = input_bound(chat, route.image_tokens or 0, route.upstream) + chat.thoughts_for(route.connection.provider)
    input_cost = cost_of(tokens, route.prices.dearest_input)
    return Offer(
        provider=route.provider,
        model=route.upstream,
        max_tokens=cap,
        ceiling=input_cost + cost_of(cap, route.prices.dearest_output),
        input=input_cost,
        output=route.prices.dearest_output,
        min_tokens=min(FEWEST_TOKENS, cap),
    )


def usage_of(route: Route, reply: Reply, hold: int) -> Usage:
    """What an answer used. Of a paid one that tells no counts a bill within its hold is believed; one that tells none
    is taken at its whole hold."""
    if reply.tokens is None:
        billed = reply.cost if reply.cost and reply.cost <= hold else None
        cost = 0 if route.free else hold if billed is None else billed
        return Usage(cost=cost, finish_reason=reply.finish_reason, estimated=billed is None and not route.free)
    listed = list_cost(route, reply.tokens)
    cost = 0 if route.free else reply.cost if reply.cost is not None else listed
    return Usage(
        tokens_input=reply.tokens.input,
        tokens_output=reply.tokens.output,
        cost=cost,
        list_cost=listed,
        finish_reason=reply.finish_reason,
    )


def list_cost(route: Route, tokens: Tokens) -> int:
    """Each token priced once: what the cache served or stored at its own price, the rest at the input's."""
    if route.prices is None:
        return 0
    prices = route.prices.for_input(tokens.input)
    cached = min(tokens.cached, tokens.input)
    written = min(tokens.cache_written, tokens.input - cached)
    return -(
        -(
            (tokens.input - cached - written) * prices.input
            + cached * prices.cache_read
            + written * prices.cache_write
            + tokens.output * prices.output
        )
        // 1_000_000
    )

"""What can go wrong between a chat and its answer.

RouterError
├── CallerFault               mended by whoever sent it
│   ├── InvalidChat           not JSON, a wrong type, nothing to answer
│   ├── UnsupportedEncoding   the body is compressed in a way that we do not read
│   ├── UnknownModel
│   ├── PromptTooLong
│   └── Declined              a provider found fault with the request, or with what it says
├── TryAnotherRoute           a provider's failure is not the user's
│   ├── Unsent                known never to have reached the provider: no connection
│   ├── ProviderRefused       an error status or an error body: nothing was billed
│   │   ├── KeyTrouble        another key of the same provider may do
│   │   │   ├── KeyRefused    not accepted, blocked, leaked
│   │   │   ├── OutOfCredit   paid up no longer
│   │   │   └── KeyBusy       its rate limit
│   │   ├── Overloaded        5xx: the provider may do better later
│   │   └── ModelGone         retired, or not for this account
│   └── Unclear               time-out, cut, unreadable: it may have been billed
│       └── Empty             an answer without a word in it, or one that its provider ended in a failure
└── EveryProviderFailed
"""

from typing import TYPE_CHECKING

from django.utils.functional import Promise

if TYPE_CHECKING:
    from .types import Tokens

StrOrPromise = str | Promise


class RouterError(Exception):
    pass


class CallerFault(RouterError):
    """`code` is what the usage log says of it, where a provider was asked."""

    code = "invalid_request"


class InvalidChat(CallerFault):
    """`why` is a sentence for the caller, told in their language when it is read; `field` is what it is about."""

    def __init__(self, why: StrOrPromise, field: str = "", **facts: object) -> None:
        super().__init__(field)
        self.field = field
        self._why = why
        self._facts = {"field": field, **facts}

    @property
    def why(self) -> str:
        return str(self._why) % self._facts


class UnsupportedEncoding(CallerFault):
    """`readable` lists the content codings that we read."""

    def __init__(self, encoding: str, readable: str) -> None:
        super().__init__(encoding)
        # It stands in a sentence: as much of it as a name can be.
        self.encoding = encoding[:40]
        self.readable = readable


class UnknownModel(CallerFault):
    def __init__(self, model: str) -> None:
        super().__init__(model)
        self.model = model


class PromptTooLong(CallerFault):
    code = "prompt_too_long"

    def __init__(self, model: str) -> None:
        super().__init__(model)
        self.model = model


class Declined(CallerFault):
    """Of the provider's answer only the status is kept: its text may echo the prompt."""

    def __init__(self, code: str, status: int) -> None:
        super().__init__(code, status)
        self.code = f"{code} ({status})"


class TryAnotherRoute(RouterError):
    """`code` is what the usage log says of it: ours, and the status. `retry_after` is in seconds."""

    def __init__(self, code: str, status: int | None = None, *, retry_after: float | None = None) -> None:
        super().__init__(code, status)
        self.code = f"{code} ({status})" if status else code
        self.retry_after = retry_after


class Unsent(TryAnotherRoute):
    pass


class ProviderRefused(TryAnotherRoute):
    pass


class KeyTrouble(ProviderRefused):
    pass


class KeyRefused(KeyTrouble):
    pass


class OutOfCredit(KeyTrouble):
    pass


class KeyBusy(KeyTrouble):
    pass


class Overloaded(ProviderRefused):
    pass


class ModelGone(ProviderRefused):
    pass


class Unclear(TryAnotherRoute):
    pass


class Empty(Unclear):
    """`tokens` and `cost` are what the provider told of it, for it may bill thoughts; None where it told nothing."""

    def __init__(self, tokens: "Tokens | None", cost: int | None, code: str = "empty") -> None:
        super().__init__(code)
        self.tokens = tokens
        self.cost = cost


class EveryProviderFailed(RouterError):
    pass

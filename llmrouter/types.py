"""What travels between the layers of a chat: asked by the caller, answered by a provider."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from .providers.registry import Patience, Provider

# A message in the OpenAI dialect, as it came and as it goes upstream.
Message = Mapping[str, Any]
# What an assistant's message holds of its thoughts, and in which type.
THOUGHTS: dict[str, type] = {
    "reasoning": str,
    "reasoning_content": str,
    "reasoning_details": list,
    "extra_content": dict,
}
# Signatures that Gemini gives to a call of a tool; sent where `extra_content` is.
BESIDE_A_CALL: dict[str, type] = {"extra_content": dict, "thought_signature": str}


@dataclass(frozen=True, slots=True)
class Chat:
    """A chat as asked for: checked, and free of every field that is not on the allow-list."""

    model: str
    messages: Sequence[Message]
    # The caller's cap on the output, or None for the model's default.
    max_tokens: int | None
    # What else goes upstream, under the names of the OpenAI dialect.
    parameters: Mapping[str, Any]
    # UTF-8 bytes of the upstream JSON of messages, tools and response format, images not included.
    input_bytes: int
    # By how many bytes that JSON can be longer for a tokenizer that normalises it first.
    growth: int = 0
    images: int = 0
    stream: bool = False
    stream_usage: bool = False
    # Bytes of thoughts in the messages, by field, in their longest form: sent to, and held for, providers that know it.
    thought_bytes: Mapping[str, int] = field(default_factory=dict)
    # The answer is to call functions as in 2023 (`function_call`), not tools.
    calls_functions: bool = False
    hides_thoughts: bool = False
    # Names of fields that were not used; the answer says so.
    left_aside: tuple[str, ...] = ()

    @property
    def has_tools(self) -> bool:
        return "tools" in self.parameters

    @property
    def has_schemas(self) -> bool:
        """Tools, or an answer in a given form: some providers make a tool of that."""
        return self.has_tools or self.parameters.get("response_format", {}).get("type") == "json_schema"

    def thoughts_for(self, provider: Provider) -> int:
        """Bytes of thoughts that go to this provider."""
        return sum(size for name, size in self.thought_bytes.items() if name in provider.thoughts)

    @property
    def asks_to_think(self) -> bool:
        return bool(self.parameters.get("reasoning_effort", "none") != "none")


@dataclass(frozen=True, slots=True)
class Tokens:
    """As a provider counted them. `cached` and `cache_written` are parts of `input`, `reasoning` of `output`."""

    input: int = 0
    output: int = 0
    cached: int = 0
    cache_written: int = 0
    reasoning: int = 0


@dataclass(frozen=True, slots=True)
class Reply:
    """A whole answer. `cost` is what the provider says it billed, in nano-dollars, where it says so."""

    message: Mapping[str, Any]
    finish_reason: str
    tokens: Tokens | None
    cost: int | None = None
    logprobs: Any = None

    @property
    def text(self) -> str:
        """What it says to a caller who knows no refusals."""
        content = self.message.get("content") or self.message.get("refusal")
        return content if isinstance(content, str) else ""


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a streamed answer: a delta in the OpenAI dialect, the end of it, its usage, or only a sign of life."""

    delta: Mapping[str, Any] | None = None
    finish_reason: str | None = None
    logprobs: Any = None
    tokens: Tokens | None = None
    cost: int | None = None
    # Who really answers, where a provider only passes on (OpenRouter).
    behind: str = ""
    comment: bool = False
    # The provider has said why the answer ends. Its usage may follow; `finish_reason` comes with the last piece.
    ends: bool = False


# The provider is at work, and has nothing to say yet.
SIGN_OF_LIFE = Piece(comment=True)


@dataclass(frozen=True, slots=True)
class Upstream:
    """A call as the provider gets it."""

    model: str
    messages: Sequence[Message]
    max_tokens: int
    parameters: Mapping[str, Any] = field(default_factory=dict)
    # The longest that a whole answer, or a stream, may take; None is the provider's default.
    seconds: float | None = None
    # Dollars per million tokens of input and output that the provider may not charge above, where it takes that.
    max_price: tuple[float, float] | None = None

    def patience(self, provider: Provider) -> Patience:
        """The provider's time-outs, or those that staff set for the route."""
        if self.seconds is None:
            return provider.patience
        return replace(provider.patience, whole=self.seconds, stream=self.seconds)

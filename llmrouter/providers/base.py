"""What a dialect is: how to ask a provider, and what its answers and its faults mean."""

from collections.abc import Generator, Iterable, Iterator
from typing import Protocol

from ..errors import CallerFault, RouterError, TryAnotherRoute, Unclear
from ..types import SIGN_OF_LIFE, Piece, Reply, Upstream
from .http import StreamedAnswer
from .normaliser import joined
from .registry import Connection, Key


class Dialect(Protocol):
    def complete(self, connection: Connection, key: Key, call: Upstream) -> Reply:
        """One whole answer. Raises `TryAnotherRoute`, `Declined` or `PromptTooLong`."""
        ...

    def stream(self, connection: Connection, key: Key, call: Upstream) -> Generator[list[Piece], None, None]:
        """The same in pieces, as they come. Closing it hangs up on the provider."""
        ...


class Reader(Protocol):
    """The bytes of a stream -> pieces, in one dialect."""

    # Whether its last event came.
    done: bool

    @property
    def spoke(self) -> bool:
        """Whether there was a word yet."""
        ...

    @property
    def finished(self) -> bool:
        """Whether the provider said why the answer ends."""
        ...

    def read(self, chunk: bytes) -> Iterator[Piece]: ...

    def end(self) -> Iterator[Piece]:
        """The connection is closed. Raises `Unclear` where that cut the answer."""
        ...


def read_stream(answer: StreamedAnswer, reader: Reader) -> Generator[list[Piece], None, None]:
    """The pieces, those that came together together. Ends whole, or raises."""
    try:
        for chunk in answer.chunks():
            pieces, trouble = until_trouble(reader.read(chunk))
            if any(not piece.comment for piece in pieces):
                answer.data_came(last=reader.finished)
            elif not reader.spoke:
                answer.sign_of_life()
                pieces = pieces or [SIGN_OF_LIFE]
            if reader.done:
                answer.finish()
            if pieces:
                yield pieces
            if trouble is not None:
                raise trouble
            if reader.done:
                return
    except Unclear:
        # Behind the reason to end only a usage is missing: the answer is whole.
        if reader.done or not reader.finished:
            raise
    yield list(reader.end())


def read_whole(body: bytes, reader: Reader) -> Reply:
    """The answer in a body that holds a whole stream."""
    pieces, trouble = until_trouble(reader.read(body))
    if trouble is not None:
        raise after_words(trouble) if reader.spoke else trouble
    return joined(pieces if reader.done else [*pieces, *reader.end()])


def after_words(trouble: RouterError) -> Unclear:
    """An error behind words: what was said may be billed, so it is no refusal at no cost."""
    code = trouble.code if isinstance(trouble, TryAnotherRoute | CallerFault) else "cut"
    unclear = Unclear(code)
    unclear.__cause__ = trouble
    return unclear


def until_trouble(pieces: Iterable[Piece]) -> tuple[list[Piece], RouterError | None]:
    """The pieces up to an error that came in one packet with them: they were said, and may be billed."""
    found: list[Piece] = []
    try:
        # Not `extend`, which would forget them.
        for piece in pieces:
            found.append(piece)  # noqa: PERF402
    except RouterError as trouble:
        return found, trouble
    return found, None

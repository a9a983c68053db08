"""The demo: answers in development while no provider has a key, and says what it is."""

import time
from collections.abc import Generator

from ..types import Piece, Reply, Tokens, Upstream
from .registry import Connection, Key

TEXT = (
    "Ceci est le fournisseur de démonstration d'IA Factory : aucune clé de fournisseur n'est configurée. "
    "Votre message a fait tout le chemin (authentification, limites, budget, journal). "
    "Ajoutez GROQ_API_KEY ou OPENROUTER_API_KEY dans .env.local pour une vraie réponse.\n\n"
    "Vous avez écrit : « {said} »"
)


def complete(connection: Connection, key: Key, call: Upstream) -> Reply:
    text = answer_to(call)
    return Reply(
        message={"role": "assistant", "content": text},
        finish_reason="stop",
        tokens=Tokens(input=len(said(call).split()), output=len(text.split())),
    )


def stream(connection: Connection, key: Key, call: Upstream) -> Generator[list[Piece], None, None]:
    """Word by word, at a reader's pace."""
    whole = complete(connection, key, call)
    yield [Piece(delta={"role": "assistant", "content": ""})]
    for word in whole.text.split(" "):
        time.sleep(0.02)
        yield [Piece(delta={"content": word + " "})]
    yield [Piece(delta={}, finish_reason="stop", tokens=whole.tokens)]


def answer_to(call: Upstream) -> str:
    words = TEXT.format(said=said(call)).split(" ")
    return " ".join(words[: call.max_tokens])


def said(call: Upstream) -> str:
    content = call.messages[-1].get("content")
    return content[:500] if isinstance(content, str) else "…"

"""How much a message, or a delta of one, says: what a model generated and a caller reads, in bytes."""

from collections.abc import Mapping
from typing import Any

HIDDEN = frozenset({"reasoning.encrypted", "reasoning.summary"})


def spoken_bytes(said: Mapping[str, Any]) -> int:
    """UTF-8 bytes of text, thoughts, refusal and calls of tools, each once. Annotations, images and signatures come
    from the provider and not from the model: they are not counted."""
    content = said.get("content")
    size = len(content.encode()) if type(content) is str else 0
    if len(said) == 1 and content is not None:
        # Nearly every delta of a stream.
        return size
    thoughts = max(_size(said.get("reasoning")), _size(said.get("reasoning_content")))
    return size + (thoughts or _size_of_details(said.get("reasoning_details"))) + _rest(said)


def hides_thoughts(said: Mapping[str, Any]) -> bool:
    """Whether it stands for thoughts that were generated and are not in it: encrypted, or told as a summary."""
    return any(detail.get("type") in HIDDEN for detail in said.get("reasoning_details") or ())


def _rest(said: Mapping[str, Any]) -> int:
    size = _size(said.get("refusal"))
    for call in said.get("tool_calls") or ():
        function = call.get("function") or {}
        size += _size(function.get("name")) + _size(function.get("arguments"))
    return size


def _size(text: Any) -> int:
    return len(text.encode()) if isinstance(text, str) else 0


def _size_of_details(details: Any) -> int:
    """OpenRouter repeats in them what `reasoning` says; some providers say it only here."""
    return sum(_size(part.get("text")) + _size(part.get("summary")) for part in details or ())

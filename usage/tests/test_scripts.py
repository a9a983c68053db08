"""What no script may call."""

from usage.redis import SCRIPTS


def test_no_float_is_counted_up() -> None:
    """Money is whole nano-dollars. And after an INCRBYFLOAT in a script Redis 6.2, which is the embedded one, writes
    past the end of its arguments: the heap is corrupt, and it dies some thousand calls later."""
    texts = {path.name: path.read_text().upper() for path in SCRIPTS.glob("*.lua")}
    assert len(texts) > 10
    assert [name for name, text in texts.items() if "INCRBYFLOAT" in text] == []

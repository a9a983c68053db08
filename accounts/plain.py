def is_plain(text: str) -> bool:
    """Whether a header can carry it, and a log: ASCII, and nothing in it that does not show. A typographer's dash or an
    invisible space that came along when it was copied is neither."""
    return text.isascii() and text.isprintable()

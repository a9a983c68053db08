"""Ids of stream entries, `<milliseconds>-<sequence>`, compared as the two numbers that they are."""


def parts(stream_id: str) -> tuple[int, int]:
    milliseconds, _, sequence = stream_id.partition("-")
    return int(milliseconds), int(sequence or 0)


def is_after(one: str, other: str) -> bool:
    return parts(one) > parts(other)


def following(stream_id: str) -> str:
    """The smallest id after this one."""
    milliseconds, sequence = parts(stream_id)
    return f"{milliseconds}-{sequence + 1}"

"""Redis's data as a file keeps it: written at one time, loaded again at another."""

from usage.redis import client


def kept() -> dict[str, bytes]:
    return {key: dumped(key) for key in client().scan_iter("*")}


def load(file: dict[str, bytes]) -> None:
    client().flushdb()
    for key, value in file.items():
        client().restore(key, 0, value)


def dumped(key: str) -> bytes:
    """As raw bytes, past the client's decoding."""
    connection = client().connection_pool.make_connection()
    try:
        connection.send_command("DUMP", key)
        return bytes(connection.read_response(disable_decoding=True))
    finally:
        connection.disconnect()

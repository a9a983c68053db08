"""A slow line: `python -m tests.faults.line LISTEN TARGET` passes on what comes, each way after the delay that was last
written to its standard input (seconds, a line each)."""

import asyncio
import sys

AT_ONCE = 65536


class Line:
    def __init__(self, target: int) -> None:
        self.target = target
        self.delay = 0.0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self.target)
        except OSError:
            writer.close()
            return
        await asyncio.gather(self.carry(reader, far_writer), self.carry(far_reader, writer))

    async def carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while chunk := await reader.read(AT_ONCE):
                # Half of it each way.
                await asyncio.sleep(self.delay / 2)
                writer.write(chunk)
                await writer.drain()
        except OSError:
            pass
        finally:
            writer.close()

    def listen_to_orders(self) -> None:
        self.delay = float(sys.stdin.readline() or 0)


async def main(listen: int, target: int) -> None:
    line = Line(target)
    asyncio.get_running_loop().add_reader(sys.stdin, line.listen_to_orders)
    server = await asyncio.start_server(line.serve, "127.0.0.1", listen)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), int(sys.argv[2])))

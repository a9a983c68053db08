"""A bare ASGI proxy to `UPSTREAM`, for uvicorn."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

UPSTREAM = os.environ["UPSTREAM"] + "/chat/completions"
HEADERS = {"Content-Type": "application/json", "Authorization": "Bearer none"}


@asynccontextmanager
async def lifespan(app: Starlette) -> AsyncIterator[None]:
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector) as session:
        app.state.session = session
        yield


async def chat(request: Request) -> Response:
    body = await request.body()
    session: aiohttp.ClientSession = request.app.state.session
    answer = await session.post(UPSTREAM, data=body, headers=HEADERS)
    if "event-stream" in answer.headers["Content-Type"]:
        return StreamingResponse(answer.content.iter_any(), media_type="text/event-stream")
    async with answer:
        return Response(await answer.read(), media_type="application/json")


application = Starlette(routes=[Route("/{path:path}", chat, methods=["POST"])], lifespan=lifespan)

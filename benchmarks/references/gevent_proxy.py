"""A bare WSGI proxy to `UPSTREAM`, for gunicorn with its gevent worker."""

import os
from collections.abc import Callable, Iterable
from typing import Any

import urllib3

UPSTREAM = os.environ["UPSTREAM"] + "/chat/completions"
HEADERS = {"Content-Type": "application/json", "Authorization": "Bearer none"}
pool = urllib3.PoolManager(maxsize=2000, retries=False)


def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    body = environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))
    answer = pool.request("POST", UPSTREAM, body=body, headers=HEADERS, preload_content=False)
    if "event-stream" in answer.headers["Content-Type"]:
        start_response("200 OK", [("Content-Type", "text/event-stream")])
        return pieces(answer)
    content = answer.read()
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(content)))])
    return [content]


def pieces(answer: urllib3.BaseHTTPResponse) -> Iterable[bytes]:
    while piece := answer.read1(65536):
        yield piece

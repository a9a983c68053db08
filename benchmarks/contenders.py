"""What is compared, all before the same upstream: ours complete, the peers as they come, and two bare proxies."""

import os
import secrets
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

from iafactory.run import BASE
from iafactory.run.__main__ import free_port

from . import processes, rig
from .rig import BENCH

LITELLM_PYTHON = BENCH / "venv-litellm" / "bin" / "python"
PORTKEY = BENCH / "portkey" / "node_modules" / "@portkey-ai" / "gateway" / "build" / "start-server.js"
CHAT = {"model": "gpt-4o", "messages": [{"role": "user", "content": "Bonjour ! " * 20}], "max_tokens": 200}


@dataclass
class Contender:
    """`pids` is what serves the calls; `beside` what else works for them, each under its name."""

    name: str
    url: str
    pids: list[int]
    beside: dict[str, int] = field(default_factory=dict)
    tokens: list[str] = field(default_factory=list)
    headers: dict[str, str] = field(default_factory=dict)
    streams: bool = True

    def call(self, *, stream: bool = False, **wanted: Any) -> dict[str, Any]:
        body = {**CHAT, "stream": True} if stream else CHAT
        return rig.load(url=self.url, body=body, tokens=self.tokens, headers=self.headers, **wanted)

    def cpu(self) -> dict[str, float]:
        own = {"": processes.cpu_seconds(self.pids)}
        return own | {name: processes.cpu_seconds([pid]) for name, pid in self.beside.items()}

    def memory(self) -> processes.Memory:
        return processes.memory(self.pids)


# What strangers are given of our environment. LiteLLM takes any REDIS_URL for its own: it used ours, and crashed it (it
# calls INCRBYFLOAT in a script, after which Redis 6.2 writes past the end of its arguments).
GIVEN = ("PATH", "HOME", "LANG", "TMPDIR")


@contextmanager
def started(*command: str, port: int, seconds: float = 240, **environment: str) -> Iterator[int]:
    given = {name: os.environ[name] for name in GIVEN if name in os.environ}
    with (BENCH / "contenders.log").open("ab") as log:
        process = subprocess.Popen(command, cwd=BASE, env=given | environment, stdout=log, stderr=log)
    try:
        processes.wait_for_port(port, process, seconds)
        yield process.pid
    finally:
        processes.end(process, 10)


@contextmanager
def ours(upstream: rig.Upstream) -> Iterator[list[Contender]]:
    with rig.product(upstream) as product:
        beside = {name: product.processes[name].pid for name in ("drainer", "redis", "postgres")}
        doors = {"ours /api/v2/chat": "/api/v2/chat", "ours /v1": "/v1/chat/completions"}
        yield [
            Contender(name, product.url + path, product.pids("web"), beside, tokens=product.keys)
            for name, path in doors.items()
        ]


@contextmanager
def bare_gevent(upstream: rig.Upstream) -> Iterator[list[Contender]]:
    port = free_port()
    arguments = ["--worker-class", "gevent", "--workers", "2", "--worker-connections", "3000", "--backlog", "4096"]
    with started(
        *(str(rig.VENV_PYTHON), "-m", "gunicorn", *arguments, "--bind", f"127.0.0.1:{port}"),
        *("--keep-alive", "75", "--log-level", "error", "--reuse-port"),
        "benchmarks.references.gevent_proxy:application",
        port=port,
        UPSTREAM=upstream.url(),
    ) as pid:
        yield [Contender("bare gevent proxy", f"http://127.0.0.1:{port}/v1/chat/completions", [pid])]


@contextmanager
def bare_asgi(upstream: rig.Upstream) -> Iterator[list[Contender]]:
    port = free_port()
    with started(
        *(str(rig.VENV_PYTHON), "-m", "uvicorn", "--workers", "2", "--port", str(port), "--log-level", "error"),
        *("--no-access-log", "--loop", "uvloop", "--http", "httptools", "--backlog", "4096"),
        "benchmarks.references.asgi_proxy:application",
        port=port,
        UPSTREAM=upstream.url(),
    ) as pid:
        yield [Contender("bare ASGI proxy", f"http://127.0.0.1:{port}/v1/chat/completions", [pid])]


@contextmanager
def portkey(upstream: rig.Upstream) -> Iterator[list[Contender]]:
    """As its README starts it: one process, for it knows no workers. It checks no credentials and has no limits."""
    port = free_port()
    with started("node", str(PORTKEY), f"--port={port}", port=port, TRUSTED_CUSTOM_HOSTS="127.0.0.1") as pid:
        headers = {
            "x-portkey-provider": "openai",
            "x-portkey-custom-host": upstream.url(),
            "Authorization": "Bearer none",
        }
        yield [
            Contender("Portkey", f"http://127.0.0.1:{port}/v1/chat/completions", [pid], headers=headers, streams=False)
        ]


@contextmanager
def litellm(upstream: rig.Upstream) -> Iterator[list[Contender]]:
    """Two workers and a master key; no database and no Redis, so no users, budgets, limits or spend log."""
    port, key = free_port(), "sk-" + secrets.token_hex(8)
    configuration = rig.bench_path("litellm.yaml")
    configuration.write_text(
        "model_list:\n"
        "  - model_name: gpt-4o\n"
        f"    litellm_params: {{model: openai/gpt-4o, api_base: '{upstream.url()}', api_key: none}}\n"
        f"general_settings: {{master_key: {key}}}\n"
        "litellm_settings: {telemetry: false}\n"
    )
    with started(
        *(str(LITELLM_PYTHON.with_name("litellm")), "--config", str(configuration), "--port", str(port)),
        *("--host", "127.0.0.1", "--num_workers", "2"),
        port=port,
        LITELLM_LOCAL_MODEL_COST_MAP="True",
        LITELLM_LOG="ERROR",
    ) as pid:
        yield [Contender("LiteLLM", f"http://127.0.0.1:{port}/v1/chat/completions", [pid], tokens=[key])]


STARTERS: dict[str, Callable[[rig.Upstream], Any]] = {
    "ours": ours,
    "gevent": bare_gevent,
    "asgi": bare_asgi,
    "portkey": portkey,
    "litellm": litellm,
}


@contextmanager
def all_up(upstream: rig.Upstream, names: list[str]) -> Iterator[list[Contender]]:
    """All of them at once, so that they can be measured in turns: what the machine does meanwhile, it does to all."""
    with ExitStack() as stack:
        yield [each for name in names for each in stack.enter_context(STARTERS[name](upstream))]

"""Clients too heavy for `make test`, each installed into an environment of its own under `var/clients`: `make clients`.

Each program does with our address and key what its users do, and prints what it saw.
"""

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import requests

from conftest import key_of, person
from iafactory.run import BASE
from iafactory.run.__main__ import free_port
from tests.product import Product
from tests.standins.provider import ProviderStandIn
from usage.models import UsageLog

pytestmark = [pytest.mark.live, pytest.mark.timeout(1200)]

HERE = Path(__file__).parent
KEPT = BASE / "var" / "clients"
CALL = {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Oran"}'}}
ANSWER = "Bonjour, je suis là."


@pytest.fixture
def ours(product: Product) -> dict[str, str]:
    """The two settings that every client has."""
    key = key_of(person("alice@example.dz", "pro"))
    return {"BASE_URL": f"{product.url}/v1", "API_KEY": key}


def python_with(*packages: str) -> Path:
    folder = KEPT / re.sub(r"\W", "-", packages[0])
    python = folder / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", *packages], check=True, stderr=subprocess.DEVNULL)
    version(
        subprocess.run([python, "-m", "pip", "show", packages[0]], capture_output=True, text=True, check=True).stdout
    )
    return python


def node_with(*packages: str) -> Path:
    folder = KEPT / re.sub(r"\W+", "-", " ".join(["node", *packages]))
    if not (folder / "node_modules").exists():
        folder.mkdir(parents=True, exist_ok=True)
        subprocess.run(["npm", "install", "--silent", "--prefix", folder, *packages], cwd=folder, check=True)
    version(run(["npm", "list", *packages], {}, cwd=folder))
    return folder


def version(shown: str) -> None:
    print("\n".join(line for line in shown.splitlines() if "@" in line or line.startswith(("Name", "Version"))))


def run(command: list[Any], settings: dict[str, str], **options: Any) -> str:
    done = subprocess.run(
        command, env={**os.environ, **settings}, capture_output=True, text=True, timeout=300, **options
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return str(done.stdout)


def tools_first(standin: ProviderStandIn) -> None:
    """The first answer is a call of a tool, the ones after it are the usual sentence."""

    def call_a_tool(handler: Any, call: Any) -> None:
        books = standin["openrouter"]
        books.message = {"content": None, "tool_calls": [CALL]}
        handler.serve(books, call)
        books.message = {}

    standin["openrouter"].faults = [call_a_tool, None]


def test_llamaindex(ours: dict[str, str], standin_server: ProviderStandIn) -> None:
    tools_first(standin_server)
    seen = json.loads(run([python_with("llama-index-llms-openai-like"), HERE / "use_llamaindex.py"], ours))
    assert seen == {"chat": ANSWER, "stream": seen["stream"], "tools": [{"city": "Oran"}]}
    assert seen["stream"].strip() == ANSWER


def test_litellm(ours: dict[str, str], standin_server: ProviderStandIn) -> None:
    tools_first(standin_server)
    # Its newest version imports `mcp` without asking for it.
    seen = json.loads(run([python_with("litellm", "mcp"), HERE / "use_litellm.py"], ours).splitlines()[-1])
    assert seen["stream"].strip() == seen["chat"] == ANSWER
    assert seen["tools"] == [{"city": "Oran"}]
    assert seen["errors"] == "NotFoundError"


def test_openai_for_node(ours: dict[str, str], standin_server: ProviderStandIn) -> None:
    tools_first(standin_server)
    folder = node_with("openai")
    program = folder / "use_openai.mjs"
    program.write_text((HERE / "use_openai.mjs").read_text())
    seen = json.loads(run(["node", program], ours))
    assert seen["stream"].strip() == seen["chat"] == ANSWER
    assert seen["tools"] == [{"city": "Oran"}]
    assert seen["errors"] == "NotFoundError"


def test_aider(ours: dict[str, str], standin_server: ProviderStandIn, tmp_path: Path) -> None:
    """It edits a file as the model tells it, from a stream."""
    (tmp_path / "hello.py").write_text('print("hello")\n')
    edit = 'hello.py\n```python\n<<<<<<< SEARCH\nprint("hello")\n=======\nprint("salam")\n>>>>>>> REPLACE\n```\n'
    standin_server["openrouter"].words = [edit]
    aider = python_with("aider-chat").parent / "aider"
    settings = {"OPENAI_API_BASE": ours["BASE_URL"], "OPENAI_API_KEY": ours["API_KEY"], "HOME": str(tmp_path)}
    flags = ["--yes-always", "--no-git", "--no-check-update", "--no-show-model-warnings", "--analytics-disable"]
    command = [aider, "--model", "openai/gpt-4o", "--edit-format", "diff", *flags, "--message", "Salam", "hello.py"]
    run(command, settings, cwd=tmp_path)
    assert (tmp_path / "hello.py").read_text() == 'print("salam")\n'
    assert UsageLog.objects.filter(endpoint="/v1/chat/completions").exists()


def test_continue(ours: dict[str, str], standin_server: ProviderStandIn, tmp_path: Path) -> None:
    """Continue's command line takes the same configuration file as its editors' extension."""
    config = tmp_path / "config.yaml"
    model = {"name": "IA Factory", "provider": "openai", "model": "gpt-4o", "apiBase": ours["BASE_URL"]}
    lines = "\n".join(f"    {name}: {value}" for name, value in {**model, "apiKey": ours["API_KEY"]}.items())
    config.write_text(f"name: ours\nversion: 1.0.0\nschema: v1\nmodels:\n  -\n{lines}\n    roles: [chat]\n")
    command = [node_with("@continuedev/cli") / "node_modules" / ".bin" / "cn", "--config", config, "-p", "Bonjour"]
    quiet = {"HOME": str(tmp_path), "CONTINUE_TELEMETRY_ENABLED": "0", "CONTINUE_CLI_ENABLE_TELEMETRY": "0"}
    assert ANSWER in run(command, quiet, cwd=tmp_path, stdin=subprocess.DEVNULL)


def test_open_webui(ours: dict[str, str], tmp_path: Path) -> None:
    """Its server as its users start it; its first visitor signs up, sees our models and chats, streamed."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    settings = {
        "OPENAI_API_BASE_URL": ours["BASE_URL"],
        "OPENAI_API_KEY": ours["API_KEY"],
        "DATA_DIR": str(tmp_path),
        "ENABLE_OLLAMA_API": "false",
        # It would fetch a model for searching documents.
        "OFFLINE_MODE": "true",
        "RAG_EMBEDDING_ENGINE": "openai",
        "WEBUI_SECRET_KEY": "only-for-this-try",
    }
    program = python_with("open-webui").parent / "open-webui"
    with (tmp_path / "log").open("wb") as log:
        server = subprocess.Popen(
            [program, "serve", "--host", "127.0.0.1", "--port", str(port)],
            env={**os.environ, **settings},
            cwd=tmp_path,
            stdout=log,
            stderr=log,
        )
    try:
        visitor = signed_up(url)
        models = visitor.get(f"{url}/api/models", timeout=60).json()["data"]
        assert "gpt-4o" in {model["id"] for model in models}
        body = {"model": "gpt-4o", "messages": [{"role": "user", "content": "Bonjour"}], "stream": True}
        with visitor.post(f"{url}/api/chat/completions", json=body, stream=True, timeout=60) as answer:
            events = [line[6:] for line in answer.iter_lines() if line.startswith(b"data: {")]
        pieces = [piece for event in events for piece in json.loads(event).get("choices", [])]
        assert "".join(piece["delta"].get("content") or "" for piece in pieces).strip() == ANSWER
    finally:
        server.terminate()
        server.wait(timeout=30)


def signed_up(url: str) -> requests.Session:
    visitor = requests.Session()
    deadline = time.monotonic() + 240
    person = {"name": "Alice", "email": "alice@example.dz", "password": "correct horse battery"}
    while True:
        try:
            answer = visitor.post(f"{url}/api/v1/auths/signup", json=person, timeout=30)
            break
        except requests.ConnectionError:
            assert time.monotonic() < deadline, "Open WebUI did not come up"
            time.sleep(1)
    assert answer.ok, answer.text
    visitor.headers["Authorization"] = f"Bearer {answer.json()['token']}"
    return visitor

"""scan_secrets: finds keys of every kind in trees, in what is staged and in history; shows none of them."""

import subprocess
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from iafactory.keys.scanning import fingerprint, scan
from iafactory.run import BASE

from .sample import ALNUM, CHARGILY, HEX, KEYS, some

OTHERS = {
    "chargily": CHARGILY,
    "ours": "iaf" + "_" + some(ALNUM, 43),
    "telegram": "712345678" + ":AA" + some(ALNUM, 33),
    "whatsapp": "EA" + "A" + some(ALNUM, 160),
    "webhook": "whsec" + "_" + some(ALNUM, 44),
    "admin": "sk-ant" + "-admin01-" + some(ALNUM, 93) + "AA",
    "gemini_new": "AQ" + "." + some(ALNUM, 50),
    "legacy": "sk" + "-" + some(ALNUM, 20) + "T3Blbk" + "FJ" + some(ALNUM, 20),
}


def run(*arguments: str) -> tuple[str, int]:
    output = StringIO()
    try:
        call_command("scan_secrets", *arguments, stdout=output, stderr=StringIO())
    except CommandError as error:
        return output.getvalue(), error.returncode
    return output.getvalue(), 0


def git(folder: Path, *command: str) -> None:
    who = ("-c", "user.name=Sara", "-c", "user.email=sara@example.dz", "-c", "commit.gpgsign=false")
    subprocess.run(["git", "-C", str(folder), *who, *command], check=True, capture_output=True)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    git(tmp_path, "init", "--quiet")
    (tmp_path / ".gitignore").write_text(".env.local\n")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-m", "Begin")
    return tmp_path


@pytest.mark.parametrize("name", [*KEYS, *OTHERS])
@pytest.mark.parametrize(
    "form", ['{name}_api_key = "{key}"', "# {name}\n{key}", "{{'{name}': '{key}'}}", "{name}: {key}"]
)
def test_each_kind_is_found_once(name: str, form: str) -> None:
    key = {**KEYS, **OTHERS}[name]
    found = list(scan(form.format(name=name, key=key), "settings.py"))
    assert [finding.fingerprint for finding in found] == [fingerprint(key)]
    assert key not in str(found[0])
    assert key[-8:] not in str(found[0])


@pytest.mark.parametrize("name", KEYS)
def test_each_is_found_where_it_is_configured(name: str) -> None:
    assert len(list(scan(f"{name.upper()}_API_KEY={KEYS[name]}\n", ".env"))) == 1
    assert len(list(scan(f"export {name.upper()}_API_KEY='{KEYS[name]}' # mine\n", "run.sh"))) == 1


@pytest.mark.parametrize(
    "text",
    [
        "GROQ_API_KEY=gsk_" + "x" * 52,
        "GROQ_API_KEY=" + "gsk_test",
        "OPENROUTER_API_KEY=sk-or-v1-" + "0" * 64,
        "OPENAI_API_KEY=your-key-goes-here-0123456789",
        "API_SECRET_KEY=${SECRET_FROM_THE_VAULT_2026}",
        'DEEPSEEK_API_KEY = os.environ["DEEPSEEK_API_KEY_2"]',
        "settings.WHATSAPP_TOKEN = settings.TELEGRAM_BOT_TOKEN2",
        # A word of the right length, and a digest, which are no keys without the word.
        some(ALNUM, 32),
        f"sha256:{some(HEX, 64)}",
        f"{KEYS['groq']}tail",
        "postgresql://user:password@127.0.0.1/db",
        "mistral commit " + some(HEX, 40),
    ],
)
def test_what_is_no_secret(text: str) -> None:
    assert list(scan(text, "file.txt")) == []


def test_a_password_in_an_address() -> None:
    text = f"POSTGRES_URL=postgresql://iaf:{some(ALNUM, 24)}@db.example.dz:5432/iafactory"
    assert [finding.about for finding in scan(text, "x")] == ["password in an address"]


def test_a_private_key() -> None:
    assert len(list(scan("-----BEGIN RSA PRIVATE" + " KEY-----\nMIIE", "x"))) == 1


def test_a_key_in_an_endless_line() -> None:
    text = "a" * 19_990 + " " + KEYS["groq"] + " " + "b" * 30_000
    assert {finding.fingerprint for finding in scan(text, "app.min.js")} == {fingerprint(KEYS["groq"])}


def test_a_line_may_be_allowed(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text(f'A = "{KEYS["groq"]}"  # scan_secrets: allow (of a test)\n')
    assert run(str(tmp_path)) == ("Secrets found: 0; texts scanned: 1.\n", 0)
    (tmp_path / "b.py").write_text(f'B = "{KEYS["xai"]}"\n')
    said, status = run(str(tmp_path))
    assert (status, "b.py:1: xAI key, xai-… (84 characters)" in said) == (1, True)
    (tmp_path / ".scan-secrets-allow").write_text(f"# known\n{fingerprint(KEYS['xai'])} revoked in 2025\n")
    assert run(str(tmp_path))[1] == 0


def test_binary_and_ignored_files_are_passed(repository: Path) -> None:
    (repository / ".env.local").write_text(f"GROQ_API_KEY={KEYS['groq']}\n")
    (repository / "picture.png").write_bytes(b"\x89PNG\0" + KEYS["groq"].encode())
    assert run(str(repository))[1] == 0
    (repository / "notes.txt").write_bytes(b"\xff\xfe" + f"groq {KEYS['groq']}".encode("utf-16-le"))
    said, status = run(str(repository))
    assert status == 1
    assert "notes.txt:1: Groq key" in said


def test_a_file_by_name(repository: Path) -> None:
    (repository / ".env.local").write_text(f"\nGROQ_API_KEY={KEYS['groq']}\n")
    said, status = run(str(repository / ".env.local"))
    assert (status, ".env.local:2: Groq key" in said) == (1, True)


def test_what_is_staged(repository: Path) -> None:
    file = repository / "a b.py"
    file.write_text(f'KEY = "{KEYS["openrouter"]}"\n')
    assert run("--staged", str(repository))[1] == 0
    git(repository, "add", ".")
    # The hook looks at what is staged, not at what stands in the folder now.
    file.write_text("KEY = None\n")
    said, status = run("--staged", str(repository))
    assert (status, "a b.py:1: OpenRouter key" in said) == (1, True)
    git(repository, "add", ".")
    assert run("--staged", str(repository))[1] == 0


def test_history_keeps_what_was_removed(repository: Path) -> None:
    file = repository / "settings.py"
    file.write_text(f'KEY = "{KEYS["anthropic"]}"\n')
    git(repository, "add", ".")
    git(repository, "commit", "-m", "Add settings")
    first = subprocess.run(
        ["git", "-C", str(repository), "rev-parse", "--short", "HEAD"], capture_output=True, text=True
    )
    file.write_text("KEY = None\n")
    git(repository, "commit", "-am", f"Take the key out; it was {KEYS['huggingface']}")
    assert run(str(repository))[1] == 0
    said, status = run("--history", str(repository))
    assert status == 1
    assert f"settings.py:1 (commit {first.stdout.strip()}): Anthropic key" in said
    assert "message of " in said
    assert "Secrets found: 2;" in said
    assert not any(key in said for key in KEYS.values())


def test_history_sees_other_branches(repository: Path) -> None:
    git(repository, "checkout", "--quiet", "-b", "try")
    (repository / "x").write_text(f"cohere {KEYS['cohere']}\n")
    git(repository, "add", ".")
    git(repository, "commit", "-m", "Try")
    git(repository, "checkout", "--quiet", "-")
    assert run("--history", str(repository))[1] == 1


def test_no_repository(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="not a git repository"):
        call_command("scan_secrets", "--history", str(tmp_path))
    with pytest.raises(CommandError, match="There is no"):
        call_command("scan_secrets", str(tmp_path / "nowhere"))


def test_this_repository_is_clean() -> None:
    assert run(str(BASE))[1] == 0
    assert run("--history", str(BASE))[1] == 0

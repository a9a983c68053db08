"""What is scanned: a folder, what is staged for a commit, or everything that the history of a repository holds."""

import os
import subprocess
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

# A larger file is data; no key was ever pasted there by hand.
LARGEST = 5 * 1024 * 1024
PASSED_FOLDERS = {".git", ".hg", ".svn", "node_modules", ".venv", "venv", "__pycache__", ".mypy_cache", ".ruff_cache"}
BOMS = {b"\xff\xfe": "utf-16-le", b"\xfe\xff": "utf-16-be"}


class NoRepository(Exception):
    pass


@dataclass(frozen=True, slots=True)
class Source:
    """A text and where it stands; `blob` is git's name of it, where it comes from history."""

    path: str
    text: str
    blob: str = ""


def of_folder(path: Path) -> Iterator[Source]:
    """A file, or all files of a folder but binary ones and those that git ignores."""
    if path.is_file():
        yield from read(path, path.name)
        return
    for name in names_in(path):
        file = path / name
        if file.is_file() and not file.is_symlink():
            yield from read(file, name)


def names_in(folder: Path) -> list[str]:
    if is_repository(folder):
        listed = git(folder, "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", ".")
        return sorted({os.fsdecode(name) for name in listed.split(b"\0") if name})
    found = []
    for place, folders, files in os.walk(folder):
        folders[:] = sorted(set(folders) - PASSED_FOLDERS)
        found += [str((Path(place) / name).relative_to(folder)) for name in sorted(files)]
    return found


def read(file: Path, name: str) -> Iterator[Source]:
    if file.stat().st_size <= LARGEST and (text := decoded(file.read_bytes())) is not None:
        yield Source(name, text)


def decoded(content: bytes) -> str | None:
    """None for what is not text."""
    if content[:2] in BOMS:
        return content.decode(BOMS[content[:2]], errors="replace")
    if b"\0" in content[:8192]:
        return None
    return content.decode(errors="replace")


def staged(folder: Path) -> Iterator[Source]:
    """What the next commit would add or change, as it is staged."""
    changes = git(folder, "diff", "--cached", "--raw", "-z", "--no-abbrev", "--no-renames", "--diff-filter=ACMT")
    fields = [os.fsdecode(field) for field in changes.split(b"\0")]
    # Of each: `:100644 100644 <blob before> <blob staged> M`, and the path.
    yield from contents(
        folder, [(head.split()[3], path) for head, path in zip(fields[::2], fields[1::2], strict=False)]
    )


def history(folder: Path) -> list[tuple[str, str]]:
    """Every blob that a branch, a tag or the stash leads to, once each, with a path that it had."""
    listed = git(folder, "rev-list", "--objects", "--all")
    pairs = [line.partition(" ") for line in listed.decode(errors="surrogateescape").splitlines()]
    return [(blob, path) for blob, _, path in pairs if path]


def contents(folder: Path, wanted: Sequence[tuple[str, str]]) -> Iterator[Source]:
    """The texts of git objects, by one process for all of them."""
    with subprocess.Popen(
        ["git", "-C", str(folder), "cat-file", "--batch"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for name, path in wanted:
            process.stdin.write(os.fsencode(name) + b"\n")
            process.stdin.flush()
            head = process.stdout.readline().split()
            if head[-1] == b"missing":
                continue
            content = process.stdout.read(int(head[-1]) + 1)[:-1]
            if head[-2] != b"blob" or len(content) > LARGEST or (text := decoded(content)) is None:
                continue
            yield Source(path, text, name)
        process.stdin.close()


def messages(folder: Path) -> Iterator[Source]:
    """People paste keys into commit messages too."""
    told = git(folder, "log", "--all", "--format=%h%x00%B%x00").decode(errors="replace").split("\0")
    for commit, message in zip(told[::2], told[1::2], strict=False):
        yield Source(f"message of {commit.strip()}", message)


def commit_of(folder: Path, blob: str) -> str:
    """The first commit that has it."""
    found = git(folder, "log", "--all", "--reverse", "--format=%h", f"--find-object={blob}").decode().split()
    return found[0] if found else ""


def is_repository(folder: Path) -> bool:
    try:
        return git(folder, "rev-parse", "--is-inside-work-tree").strip() == b"true"
    except NoRepository:
        return False


def git(folder: Path, *command: str) -> bytes:
    try:
        done = subprocess.run(["git", "-C", str(folder), *command], capture_output=True, check=True)
    except (subprocess.CalledProcessError, FileNotFoundError) as error:
        raise NoRepository(f"{folder} is not a git repository, or git is missing.") from error
    return done.stdout


def allowed_in(folder: Path) -> Iterable[str]:
    """The fingerprints of `.scan-secrets-allow` beside what is scanned: one a line, with the reason after it."""
    file = (folder if folder.is_dir() else folder.parent) / ".scan-secrets-allow"
    lines = file.read_text().splitlines() if file.is_file() else []
    return [line.split()[0] for line in lines if line.strip() and not line.startswith("#")]

"""Runs the commands of a page in order, as a reader would who pastes them.

* Each ```sh block is run by bash in the reader's folder, a clone of this repository. What it
  exports is set for the next one. An exit code other than 0 fails, with the line of the block.
* `<!-- runs until Ctrl-C: TEXT -->` before a block: it is interrupted once it prints TEXT.
* `<!-- exit code N -->` before a block: it must end with this exit code.
* `<!-- not run: REASON -->` before a block: it can't be run here, and is only counted.
* A ```text block after a block is what that prints. Each of its lines must occur in the output; a
  number matches any number, and `…` matches anything.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from demo.signals import default_signals

ROOT = Path(__file__).resolve().parents[2]
FENCE = re.compile(
    r"(?:^<!-- (?P<note>[^>]*) -->\n+)?^(?P<indent> *)```(?P<kind>\w+)\n(?P<text>.*?)^ *```$",
    re.MULTILINE | re.DOTALL,
)
SECONDS = 900


@dataclass(frozen=True)
class Block:
    """One fenced block of a page."""

    page: Path
    line: int
    """Of its first command."""
    kind: str
    text: str
    note: str
    """The comment before it."""

    @property
    def place(self) -> str:
        return f"{self.page.name}:{self.line}"

    @property
    def is_run(self) -> bool:
        return self.kind == "sh" and not self.note.startswith("not run: ")


def blocks_of(page: Path) -> list[Block]:
    """Every fenced block of a page, in order."""
    text = page.read_text()
    return [
        Block(
            page=page,
            line=text.count("\n", 0, found.start("text")) + 1,
            kind=found["kind"],
            text=re.sub(rf"^{found['indent']}", "", found["text"], flags=re.MULTILINE),
            note=found["note"] or "",
        )
        for found in FENCE.finditer(text)
    ]


@dataclass(frozen=True)
class Reader:
    """A reader of a page: the folder to work in, and an environment."""

    folder: Path
    env: Mapping[str, str]

    def follow(self, page: Path, since: str = "", until: str = "") -> None:
        """Run the blocks of a page, or between two of its headings, and compare their output."""
        lines = page.read_text().splitlines()
        first = lines.index(since) if since else 0
        last = lines.index(until) if until else len(lines)
        printed, place = "", "nothing"
        for block in (b for b in blocks_of(page) if first < b.line <= last):
            if block.is_run:
                printed, place = self.run(block), block.place
            elif block.kind == "sh":
                printed, place = "", "nothing"
            elif block.kind == "text" and place != "nothing":
                missing = list(unseen(block.text, printed))
                assert not missing, (
                    f"{block.place}: {missing} isn't in what {place} says:\n{printed}"
                )

    def run_line(self, line: str) -> str:
        """Run a command that is in no page; return what it printed."""
        return self.run(Block(Path("a test"), 1, "sh", line, ""))

    def run(self, block: Block) -> str:
        """Run a block; return what it printed, including errors.

        Raises:
            AssertionError: its exit code is not the one that the page gives.
        """
        state = self.folder / ".exported"
        known = f"source {state}\n" if state.exists() else ""
        script = f"set -euo pipefail\n{known}{block.text}\nexport -p > {state}\n"
        with default_signals():
            process = subprocess.Popen(
                ["bash", "-c", script],
                cwd=self.folder, env=dict(self.env), text=True, stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip
        with process:
            try:
                printed = self._listen(process, block)
            finally:
                if process.poll() is None:
                    os.killpg(process.pid, signal.SIGKILL)
        due = re.fullmatch(r"exit code (\d+)", block.note)
        code = int(due[1]) if due else 0
        assert process.returncode == code, f"{block.place}: {process.returncode}\n{printed}"
        return printed

    def _listen(self, process: subprocess.Popen[str], block: Block) -> str:
        """Return what is printed until the end or until Ctrl-C."""
        printed = ""
        if block.note.startswith("runs until Ctrl-C: "):
            printed = read_until(process, block.note.partition(": ")[2])
            os.killpg(process.pid, signal.SIGINT)
        return printed + process.communicate(timeout=SECONDS)[0]


def read_until(process: subprocess.Popen[str], text: str) -> str:
    """Return what is printed up to and including a line that contains `text`."""
    printed = ""
    for line in process.stdout or ():
        printed += line
        if text in line:
            return printed
    raise AssertionError(f"never said {text!r}:\n{printed}")


def unseen(shown: str, printed: str) -> Iterator[str]:
    """Yield the lines of a page's output that were not printed."""
    text = " ".join(printed.split())
    for line in filter(None, (" ".join(line.split()) for line in shown.splitlines())):
        pattern = re.escape(line).replace("…", ".*?")
        if not re.search(re.sub(r"\d+", r"\\d+", pattern), text):
            yield line


SHIMS = {
    # The environment exists, and `make` would rebuild it: only check that the targets exist.
    "make": 'for target in "$@"; do grep -q "^$target:" Makefile || exit 2; done',
    # The real CDK command line, with wheels for this machine in the layers (functions run here, not
    # on Lambda) and without questions.
    "npx": f"""shift
case $1 in
  deploy) more="--require-approval=never" ;;
  destroy) more="--force" ;;
  *) more= ;;
esac
exec {ROOT}/node_modules/.bin/cdk "$@" $more -c architecture=host $CDK_MORE --no-notices --ci""",
}
LINKED = ("Makefile", "cdk.json", "demo", "infra", "lambdas", "node_modules", "requirements",
          "requirements.txt", "statemachine", ".venv", "README.md", "docs")  # fmt: skip


def settle(folder: Path, env: Mapping[str, str], cdk_options: str = "") -> Reader:
    """Return a reader in a folder that looks like a clone of this repository, with the shims.

    The CDK command line gets `cdk_options`, too.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name in LINKED:
        (folder / name).symlink_to(ROOT / name)
    tools = folder / ".shims"
    tools.mkdir()
    for name, text in SHIMS.items():
        (tools / name).write_text(f"#!/bin/bash\n{text}\n")
        (tools / name).chmod(0o755)
    path = f"{tools}{os.pathsep}{ROOT / '.venv/bin'}{os.pathsep}{os.environ['PATH']}"
    code = f"{ROOT / 'lambdas'}{os.pathsep}{ROOT}"
    more = {"PATH": path, "PYTHONPATH": code, "CDK_MORE": cdk_options}
    return Reader(folder, {**os.environ, **env, **more})

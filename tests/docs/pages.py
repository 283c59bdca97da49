"""A page's commands: found, and run in order, as a reader would who pastes them.

* Each ```sh block is run by bash in the reader's folder, a clone of this repository; what it
  exports is there for the next one. An exit code other than 0 fails, with the line of the block.
* `<!-- runs until Ctrl-C: TEXT -->` before a block: it is interrupted once it prints TEXT.
* `<!-- exit code N -->` before a block: it shall end so.
* `<!-- not run: REASON -->` before a block: it can't be run here, and is only counted.
* A ```text block after a block is what that prints: each of its lines is looked for, any number
  standing for any other and `…` for anything.
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
SECONDS = 300


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
    """Who reads a page: a folder to type in, and an environment."""

    folder: Path
    env: Mapping[str, str]

    def follow(self, page: Path) -> None:
        """Do what a page says, from its first block to its last."""
        printed, place = "", "nothing"
        for block in blocks_of(page):
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
        """Run a command that no page has; what it printed."""
        return self.run(Block(Path("a test"), 1, "sh", line, ""))

    def run(self, block: Block) -> str:
        """Run a block; what it printed, errors too.

        Raises:
            AssertionError: it ended otherwise than the page says.
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
        """What is printed until the end, which Ctrl-C may bring."""
        printed = ""
        if block.note.startswith("runs until Ctrl-C: "):
            printed = read_until(process, block.note.partition(": ")[2])
            os.killpg(process.pid, signal.SIGINT)
        return printed + process.communicate(timeout=SECONDS)[0]


def read_until(process: subprocess.Popen[str], text: str) -> str:
    """What is printed up to and with a line that holds `text`."""
    printed = ""
    for line in process.stdout or ():
        printed += line
        if text in line:
            return printed
    raise AssertionError(f"never said {text!r}:\n{printed}")


def unseen(shown: str, printed: str) -> Iterator[str]:
    """Lines of a page's output that were not printed."""
    text = " ".join(printed.split())
    for line in filter(None, (" ".join(line.split()) for line in shown.splitlines())):
        pattern = re.escape(line).replace("…", ".*?")
        if not re.search(re.sub(r"\d+", r"\\d+", pattern), text):
            yield line


SHIMS = {
    # The environment stands already, and `make` would rebuild it: only its targets are looked for.
    "make": 'for target in "$@"; do grep -q "^$target:" Makefile || exit 2; done',
    # The real CDK command line, with this machine's wheels in the layers (functions run here, not
    # on Lambda) and nobody at the terminal to say yes.
    "npx": f"""shift
case $1 in
  deploy) more="--require-approval=never" ;;
  destroy) more="--force" ;;
  *) more= ;;
esac
exec {ROOT}/node_modules/.bin/cdk "$@" $more -c architecture=host --no-notices --ci""",
}
LINKED = ("Makefile", "cdk.json", "demo", "infra", "lambdas", "node_modules", "requirements",
          "requirements.txt", "statemachine", ".venv", "README.md", "docs")  # fmt: skip


def settle(folder: Path, env: Mapping[str, str]) -> Reader:
    """Give a reader a folder that looks like a clone of this repository, and the shims."""
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
    return Reader(folder, {**os.environ, **env, "PATH": path, "PYTHONPATH": code})

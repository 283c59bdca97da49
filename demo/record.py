"""`python -m demo.record`: the README's pictures, made from one run of `make demo`.

1. `make demo` runs in a terminal of its own; what it prints is kept with the time of each piece.
2. While it serves, a browser opens the link and the report that it printed: two screenshots.
3. Ctrl-C. A terminal (pyte) is fed with the pieces, drawn after each of them, and saved as a GIF.

Waits are cut to `LONGEST` seconds (those that the demo prints are the real ones), and links to
where a viewer's state begins.
Needs Chromium and DejaVu Sans Mono. `python -m demo.record --raw FILE` keeps the pieces, too;
`--from FILE` draws them again without a run.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import os
import pty
import re
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyte
from PIL import Image, ImageDraw, ImageFont

from demo.browser import CHROMIUM_FLAGS, find_chromium, open_page
from demo.deploy import ROOT
from demo.signals import default_signals

DOCS = ROOT / "docs"
COLUMNS, ROWS = 92, 16
LONGEST, SHORTEST, LAST = 0.6, 0.05, 8.0
"""Seconds: that a frame stands at most, that pieces of two frames are apart, of the last frame."""
TIMEOUT = 900
# The environment stands already: its making is neither recorded nor wanted here.
COMMAND = ["make", "-o", ".venv/.ready", "-o", "node_modules/.ready", "demo"]
READY = "served until Ctrl-C"

FONT, SIZE = "DejaVuSansMono.ttf", 26
PAPER, INK = (24, 26, 31), (214, 218, 224)
COLOURS = {
    "green": (126, 200, 120), "red": (235, 110, 100), "blue": (110, 165, 240),
    "cyan": (95, 190, 200), "magenta": (200, 130, 215), "brown": (220, 185, 100),
}  # fmt: skip
"""By pyte's names; everything else is drawn in ink."""

Piece = tuple[float, str]
"""Seconds since the start, and what was printed then."""


def main() -> None:
    """Make all three pictures."""
    parser = argparse.ArgumentParser(prog="python -m demo.record", description=__doc__)
    parser.add_argument("--raw", type=Path, help="keep what was printed, JSON")
    parser.add_argument("--from", dest="given", type=Path, help="draw this again; no run")
    options = parser.parse_args()
    if options.given:
        pieces = [(t, text) for t, text in json.loads(options.given.read_text())]
    else:
        pieces = run_demo()
    if options.raw:
        options.raw.write_text(json.dumps(pieces))
    draw(pieces, DOCS / "demo.gif")


def run_demo() -> list[Piece]:
    """Run `make demo`, take the screenshots while it serves, stop it; return what it printed.

    Raises:
        RuntimeError: it ended early.
    """
    with default_signals():
        process, terminal = pty.fork()
    if process == 0:  # the child, in a terminal of its own
        os.chdir(ROOT)
        os.environ.update(TERM="xterm-256color", COLUMNS=str(COLUMNS), LINES=str(ROWS))
        os.execvp(COMMAND[0], COMMAND)  # noqa: S606 - no shell wanted
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
    pieces: list[Piece] = []
    try:
        for piece in read(terminal):
            pieces.append(piece)
            if READY in piece[1]:
                take_screenshots("".join(text for _, text in pieces))
                os.write(terminal, b"\x03")
    finally:
        os.kill(process, signal.SIGTERM)
        os.waitpid(process, 0)
    text = "".join(text for _, text in pieces)
    if READY not in text:
        raise RuntimeError(f"make demo ended early:\n{text}")
    # What is printed while the pictures are taken and after Ctrl-C is not of interest.
    end = next(i for i, (_, text) in enumerate(pieces) if READY in text)
    return pieces[: end + 1]


def read(terminal: int) -> Iterator[Piece]:
    """Give what is printed until the terminal closes."""
    begun = time.monotonic()
    rest = b""
    while time.monotonic() - begun < TIMEOUT:
        try:
            data = rest + os.read(terminal, 65536)
        except OSError:  # so Linux says that the other side is gone
            return
        if not data:
            return
        text = data.decode(errors="ignore")
        rest = data[len(text.encode()) :]
        yield time.monotonic() - begun, text


def take_screenshots(text: str) -> None:
    """Open what the demo printed: the brain in Neuroglancer, and its report."""
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text).replace("\r\n", "\n")
    (link,) = re.findall(r"view --offline\): (\S+)", plain)
    (report,) = re.findall(r"^report: (\S+)", plain, re.MULTILINE)
    with open_page(link) as page:
        page.show()
        page.screenshot(DOCS / "brain.png")
    photograph(ROOT / report, DOCS / "report.png")


def photograph(report: Path, picture: Path) -> None:
    """Save what is seen of a report first."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as tools:
        browser = tools.chromium.launch(executable_path=find_chromium(), args=CHROMIUM_FLAGS)
        page = browser.new_page(viewport={"width": 1100, "height": 1200})
        page.goto(report.as_uri())
        page.screenshot(path=str(picture))
        browser.close()
    # Grey pictures and a few colours of text: a palette holds them, in a third of the bytes.
    Image.open(picture).convert("RGB").quantize(256, dither=Image.Dither.NONE).save(
        picture, optimize=True
    )


def draw(pieces: Sequence[Piece], path: Path) -> None:
    """Draw a terminal's pieces as a GIF."""
    screen = pyte.Screen(COLUMNS, ROWS)
    stream = pyte.Stream(screen)
    stream.feed("$ make demo\r\n")
    shown, since = list(screen.display), 0.0
    frames, seconds = [paint(screen)], []
    for at, (when, text) in enumerate(pieces):
        stream.feed(re.sub(r"(#!)%7B\S+", r"\1…", text))
        ended = at + 1 == len(pieces)
        if not ended and (pieces[at + 1][0] - when < SHORTEST or screen.display == shown):
            continue  # the next piece comes at once, or nothing changed
        frames.append(paint(screen))
        seconds.append(max(min(when - since, LONGEST), 0.1))
        shown, since = list(screen.display), when
    seconds.append(LAST)
    first, *others = frames
    times = [round(s * 1000) for s in seconds]
    first.save(path, save_all=True, append_images=others, duration=times, loop=0, optimize=True)


def paint(screen: pyte.Screen) -> Image.Image:
    """Draw a screen, in few colours."""
    font = ImageFont.truetype(FONT, SIZE)
    wide, high = round(font.getlength("M")), round(SIZE * 1.3)
    margin = SIZE
    size = (COLUMNS * wide + 2 * margin, ROWS * high + 2 * margin)
    image = Image.new("RGB", size, PAPER)
    pen = ImageDraw.Draw(image)
    for row in range(screen.lines):
        for column in range(screen.columns):
            cell = screen.buffer[row][column]
            if cell.data.strip():
                place = (margin + column * wide, margin + row * high)
                pen.text(place, cell.data, font=font, fill=colour(cell))
    return image.quantize(palette=palette(), dither=Image.Dither.NONE)


def colour(cell: Any) -> tuple[int, int, int]:
    """Return a cell's colour; pyte keeps 256-colour ones as RRGGBB."""
    name = cell.fg.removeprefix("bright")
    if re.fullmatch(r"[0-9a-f]{6}", name):
        return (int(name[:2], 16), int(name[2:4], 16), int(name[4:], 16))
    return COLOURS.get(name, INK)


def palette() -> Image.Image:
    """Return the palette: four steps from paper to each colour, for smooth letters."""
    tones = [INK, *COLOURS.values()]
    steps = [
        tuple(round(p + (c - p) * k / 4) for p, c in zip(PAPER, tone, strict=True))
        for tone in tones
        for k in range(1, 5)
    ]
    image = Image.new("P", (1, 1))
    flat = [n for entry in (PAPER, *steps) for n in entry]
    image.putpalette(flat + flat[:3] * (256 - len(flat) // 3))
    return image


def check_tools() -> None:
    """Say what is missing."""
    if find_chromium() is None:
        raise SystemExit("demo.record: Chromium is not installed")
    subprocess.run(["make", "--version"], check=True, stdout=subprocess.DEVNULL)


if __name__ == "__main__":
    check_tools()
    main()

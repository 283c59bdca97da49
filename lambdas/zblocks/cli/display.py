"""The progress of a run: a bar on a terminal, otherwise a line now and then; failures at once."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

from zblocks.cli.output import PLAIN_EVERY, say
from zblocks.planning.bill import show_dollars
from zblocks.run.progress import State, duration

if TYPE_CHECKING:
    from rich.progress import Progress


class Display:
    """Shows the states of one run, one after the other."""

    def __init__(self) -> None:
        self._bar = _make_bar() if sys.stderr.isatty() else None
        self._failures = 0
        self._printed = 0.0
        self._last = ""

    def __enter__(self) -> Display:
        if self._bar:
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar:
            self._bar.stop()

    def show(self, state: State) -> None:
        """Print new failures; then move the bar, or print a line if it is time."""
        for line in state.failures[self._failures :]:
            say(f"failed: {line}", red=True)  # above the bar: it redirects stderr
        self._failures = len(state.failures)
        counts, pace = counts_of(state), pace_of(state)
        if self._bar:
            self._bar.update(
                self._bar.task_ids[0],
                total=state.voxels_expected if state.blocks else None,
                completed=state.voxels_done,
                visible=True,
                counts=counts,
                pace=pace,
            )
            return
        now, line = time.monotonic(), ", ".join(part for part in (counts, pace) if part)
        if line != self._last and (now - self._printed > PLAIN_EVERY or state.settled):
            self._printed, self._last = now, line
            say(line)


def _make_bar() -> Progress:
    """Return a bar that counts voxels, so that it moves within blocks, too."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn

    counts, pace = TextColumn("{task.fields[counts]}"), TextColumn("{task.fields[pace]}")
    console = Console(stderr=True, soft_wrap=True, highlight=False)
    bar = Progress(counts, BarColumn(), pace, console=console)
    bar.add_task("", total=None, visible=False, counts="", pace="")
    return bar


def counts_of(state: State) -> str:
    """Return how many blocks are done, running and failed."""
    if not state.blocks:
        return state.phase
    parts = [f"{state.running} running"] if state.running and not state.settled else []
    parts += [f"{state.failed} failed"] if state.failed else []
    parts += [state.phase] if state.settled and state.phase else []
    return ", ".join([f"blocks {state.done}/{state.blocks}", *parts])


def pace_of(state: State) -> str:
    """Return the speed, the cost so far and the time left."""
    parts = [f"{state.rate / 1e6:.1f} Mvoxel/s"] if state.voxels_done else []
    parts += [f"${show_dollars(state.dollars)} so far"] if state.dollars is not None else []
    parts += [f"{duration(state.eta)} to go"] if state.eta is not None else []
    return ", ".join(parts)

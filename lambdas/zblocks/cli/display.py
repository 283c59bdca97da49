"""How far a run is: a bar on a terminal, a line now and then elsewhere; failures as they happen."""

from __future__ import annotations

import time

from rich.progress import BarColumn, Progress, TaskID, TextColumn

from zblocks.cli.command import PLAIN_EVERY, errors
from zblocks.planning.bill import show_dollars
from zblocks.run.progress import State, duration


class Display:
    """Shows states, one after the other."""

    def __init__(self) -> None:
        self._bar = Progress(
            TextColumn("{task.fields[counts]}"),
            BarColumn(),
            TextColumn("{task.fields[pace]}"),
            console=errors,
        )
        self._task: TaskID | None = None
        self._said = 0.0
        self._told = 0
        self._last = ""

    def __enter__(self) -> Display:
        if errors.is_terminal:
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def show(self, state: State) -> None:
        """Show a state."""
        for line in state.failures[self._told :]:
            errors.print(f"failed: {line}", markup=False, style="red")
        self._told = len(state.failures)
        counts, pace = counts_of(state), pace_of(state)
        if errors.is_terminal:
            self._draw(state, counts, pace)
            return
        now, line = time.monotonic(), ", ".join(part for part in (counts, pace) if part)
        soon = now - self._said > PLAIN_EVERY or state.settled
        if line != self._last and soon:
            self._said, self._last = now, line
            errors.print(line, markup=False)

    def _draw(self, state: State, counts: str, pace: str) -> None:
        """Move the bar: it runs in voxels, so that it moves within blocks, too."""
        if self._task is None:
            self._task = self._bar.add_task("", total=None, counts="", pace="")
        total = state.voxels_due if state.blocks else None
        done = state.voxels_done
        self._bar.update(self._task, total=total, completed=done, counts=counts, pace=pace)


def counts_of(state: State) -> str:
    """Say how many blocks there are in which state."""
    if not state.blocks:
        return state.phase
    parts = [f"{state.running} running"] if state.running and not state.settled else []
    parts += [f"{state.failed} failed"] if state.failed else []
    parts += [state.phase] if state.settled and state.phase else []
    return ", ".join([f"blocks {state.done}/{state.blocks}", *parts])


def pace_of(state: State) -> str:
    """Say how fast it goes, what it has cost, and how long it will last."""
    parts = [f"{state.rate / 1e6:.1f} Mvoxel/s"] if state.voxels_done else []
    parts += [f"${show_dollars(state.dollars)} so far"] if state.dollars is not None else []
    parts += [f"{duration(state.eta)} to go"] if state.eta is not None else []
    return ", ".join(parts)

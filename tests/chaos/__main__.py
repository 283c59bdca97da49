"""`make chaos`: seeds of faults and kills; prints what was injected and survived."""

from __future__ import annotations

import argparse
import logging
import os
import sys
import tempfile
from collections import Counter
from pathlib import Path

import boto3
from moto.server import ThreadedMotoServer

from tests.chaos.seeds import Outcome, run_seed
from tests.flow.conftest import AWS


def main() -> None:
    """Run the seeds; exit with 1 if one of them is lost."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--seeds", type=int, default=50)
    parser.add_argument("--seed", type=int, help="only this one")
    options = parser.parse_args()
    os.environ |= AWS
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    upstream = f"http://localhost:{server.get_host_and_port()[1]}"
    s3 = boto3.client("s3", endpoint_url=upstream, region_name="us-east-1")
    s3.create_bucket(Bucket="volumes")
    seeds = range(options.seeds) if options.seed is None else [options.seed]
    outcomes = []
    for seed in seeds:
        with tempfile.TemporaryDirectory(prefix="zblocks-chaos-") as name:
            outcome = run_seed(seed, Path(name), s3, upstream, stalls=int(seed % 10 == 9))
        outcomes.append(outcome)
        print(describe(outcome), flush=True)
    server.stop()
    print(summary(outcomes))
    sys.exit(any(o.trouble for o in outcomes))


def describe(one: Outcome) -> str:
    """Return a line on one seed."""
    kills = ", ".join(f"{n} {k}" for k, n in one.kills.items()) or "none"
    end = one.trouble or "identical"
    again = f"; run it again: python -m tests.chaos --seed {one.seed}" if one.trouble else ""
    return (
        f"seed {one.seed:3}: {one.starts} starts, killed {kills}, {sum(one.injected.values())} "
        f"faults in {one.requests} requests: {end}{again}"
    )


def summary(outcomes: list[Outcome]) -> str:
    """Return the figures of all seeds, as a table."""
    injected: Counter[str] = sum((o.injected for o in outcomes), Counter())
    kills: Counter[str] = sum((o.kills for o in outcomes), Counter())
    lost = [o.seed for o in outcomes if o.trouble]
    rows = [
        ("seeds, identical to the clean run", f"{len(outcomes) - len(lost)} of {len(outcomes)}"),
        ("requests", f"{sum(o.requests for o in outcomes):,}"),
        *((f"faults: {name}", f"{n:,}") for name, n in sorted(injected.items())),
        *((f"killed: {name}", f"{n:,}") for name, n in sorted(kills.items())),
        ("blocks converted", f"{sum(o.blocks for o in outcomes):,}"),
        ("receipted blocks converted again", f"{sum(o.redone for o in outcomes):,}"),
    ]
    return "\n".join(["| | |", "|---|---|", *(f"| {a} | {b} |" for a, b in rows)])


if __name__ == "__main__":
    main()

"""Kill the services that store spans while spans arrive, and count what is there afterwards.

``python -m benchmarks.chaos [--rounds N] [--seconds S]`` starts an embedded ClickHouse, a Valkey, a
collector and two writers under the supervisor that ``assay up`` uses. In every round retrying clients send
2,000 spans/s in overlapping batches while each of the four kinds of process is killed with ``kill -9``, in
random order at random moments. Prints one JSON object per round to standard error and one for all to standard
output; exits with 1 where a count is wrong.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import statistics
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

from tests.support.chaos import Outcome, Plan, round_of
from tests.support.pipeline import running_pipeline


async def run(args: argparse.Namespace, directory: Path) -> list[Outcome]:
    outcomes = []
    async with running_pipeline(directory, writers=args.writers, durability=args.durability) as pipeline:
        for number in range(args.rounds):
            plan = Plan(seconds=args.seconds, rate=args.rate, kills=args.kills, seed=args.seed + number)
            outcome = await round_of(pipeline, plan)
            print(json.dumps(outcome.as_dict()), file=sys.stderr, flush=True)
            outcomes.append(outcome)
    return outcomes


def summary(outcomes: list[Outcome]) -> dict[str, Any]:
    """All rounds together."""
    counts = ("sent", "acknowledged", "deliveries", "stored", "missing", "duplicated", "unknown", "rejected")
    kills: Counter[str] = Counter()
    recovery: dict[str, list[float]] = {}
    for outcome in outcomes:
        kills.update(outcome.kills)
        for service, seconds in outcome.recovery_s.items():
            recovery.setdefault(service, []).extend(seconds)
    return {
        "rounds": len(outcomes),
        "kills": dict(kills),
        **{name: sum(getattr(outcome, name) for outcome in outcomes) for name in counts},
        "rollup_differences": sum(sum(o.rollup_differences.values()) for o in outcomes),
        "recovery_s": {
            service: {"p50": round(statistics.median(found), 2), "max": max(found)}
            for service, found in recovery.items()
        },
        "exact": all(outcome.exact for outcome in outcomes),
    }


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.chaos", description=__doc__)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=60, help="of sending in each round")
    parser.add_argument("--rate", type=float, default=2_000, help="spans per second")
    parser.add_argument("--kills", type=int, default=1, help="of each service in each round")
    parser.add_argument("--writers", type=int, default=2)
    parser.add_argument("--seed", type=int, default=1, help="of the first round")
    parser.add_argument("--durability", choices=("process", "power"), default="process")
    parser.add_argument("--dir", type=Path, help="keep state and logs here")
    args = parser.parse_args()
    # The driver reports every connection that a kill breaks.
    logging.disable(logging.ERROR)
    with tempfile.TemporaryDirectory() as folder:
        outcomes = asyncio.run(run(args, (args.dir or Path(folder)).resolve()))
    found = summary(outcomes)
    print(json.dumps(found, indent=2))
    sys.exit(0 if found["exact"] else 1)


if __name__ == "__main__":
    main()

"""How long `netdsl summary` of ResNet-152 takes from a cold process, and how that grows with the length of a program.

    python benchmarks/start_up.py [--runs 20]

Prints medians of wall-clock and processor seconds. The goals: ResNet-152 in 0.25 s; 10,000 layers from `repeat` in
0.25 s more than an empty net, 10,000 written out in 1 s more.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median
from time import perf_counter

ROOT = Path(__file__).parents[1]
RESNET = ROOT / "examples" / "resnet.net"
CACHE = tempfile.TemporaryDirectory()
LENGTHS = (0, 1_000, 3_000, 10_000, 30_000)


def seconds(words: list[str]) -> tuple[float, float]:
    """Wall-clock and processor time of one command line."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    start = perf_counter()
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONPYCACHEPREFIX": CACHE.name}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)  # compiled once, as where netdsl is installed
    command = [sys.executable, "-m", "netdsl", *words]
    subprocess.run(command, env=environment, stdout=subprocess.DEVNULL, check=True)
    wall = perf_counter() - start
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def report(name: str, words: list[str], runs: int) -> None:
    """One line of the table."""
    walls, processors = zip(*(seconds(words) for _ in range(runs)), strict=True)
    print(f"{name:<34} {median(walls):8.3f} {median(processors):8.3f}", flush=True)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=20)
    runs = parser.parse_args().runs
    print(f"{'':<34} {'wall s':>8} {'cpu s':>8}")
    seconds(["summary", str(RESNET), "--net", "ResNet152"])
    report("summary of ResNet-152", ["summary", str(RESNET), "--net", "ResNet152"], runs)
    with tempfile.TemporaryDirectory() as folder:
        for length in LENGTHS:
            for form, body in (("repeated", f"  repeat {length} {{ relu }}\n"), ("written out", "  relu\n" * length)):
                path = Path(folder) / "long.net"
                path.write_text(f"net Long {{\n  input image: 3x8x8\n  relu\n{body}}}\n")
                report(f"check of {length:,} layers, {form}", ["check", str(path)], max(runs // 4, 1))


if __name__ == "__main__":
    main()

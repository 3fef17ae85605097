"""Where NumPy modules spend their time, layer by layer, against what this machine's BLAS does in a large product.

    python benchmarks/cpu_layers.py --nets ViTB16[,...] [--batches 1] [--threads 2] [--rounds 15] [--write]

Each line is a statement of a module's forward pass, the slowest first: its time (the median), its share of the whole,
and where its arithmetic is products, their rate and that as a share of the rate of large products, measured in as many
threads at once. Below, the sums over kernels. With several threads a statement's time is that of the calling thread,
waiting for others counted where it waits; of several images, that of its own share. `--write` keeps the table as
benchmarks/results/layers-NET-batch-threads.txt.
"""

from __future__ import annotations

import argparse
import ast
import re
import sys
import time
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor

import cpu  # first: it keeps NumPy's products to one thread each
import numpy as np

import netdsl
from netdsl.ir.fused import Fused
from netdsl.passes.manager import run_passes
from netdsl.passes.pipeline import CHANNELS_LAST

PRODUCTS = ("conv", "upconv", "fc", "matmul", "attend")
"""Operators whose arithmetic is products: the layers that have a rate."""
SIDE, TIMES = 768, 15
"""Of the large product, and how often it is made."""


def product_rate(threads: int) -> float:
    """Operations a second and a core of the BLAS, in products of 768 x 768 matrices, one a thread at once."""

    def seconds(_: int) -> float:
        a = np.random.default_rng(0).standard_normal((SIDE, SIDE)).astype(np.float32)
        out, found = np.empty_like(a), []
        for _ in range(TIMES):
            start = time.perf_counter()
            np.matmul(a, a, out=out)
            found.append(time.perf_counter() - start)
        return float(np.median(found))

    with ThreadPoolExecutor(threads) as pool:
        return 2 * SIDE**3 / float(np.mean(list(pool.map(seconds, range(threads)))))


def costs(net: netdsl.Network) -> list[tuple[str, int]]:
    """Operator and multiply-accumulates of each layer of the optimised graph, in order."""
    graph, _ = run_passes(net.graph, CHANNELS_LAST)
    found = []
    for node in graph.nodes:
        anchor = node.op.anchor if isinstance(node.op, Fused) else node.op
        cost = node.op.cost(tuple(v.type for v in node.operands), tuple(v.type for v in node.outputs))
        found.append((anchor.word, cost.macs))
    return found


def kernel_and_result(text: str) -> tuple[str, str]:
    """Of a statement, the kernel that it calls and the buffer that it fills."""
    call = ast.parse(text).body[0]
    if not isinstance(call, ast.Expr) or not isinstance(call.value, ast.Call):
        return text, ""
    function, operands = call.value.func, call.value.args
    out = [item.value for item in call.value.keywords if item.arg == "out"]
    if ast.unparse(function) == "b.do":
        function, *operands = operands
        filled = out or operands[:1]
    else:  # crew, what is read (elementwise kernels have none), what is filled
        filled = [item for item in operands[1:3] if ast.unparse(item).startswith("b.")]
    return ast.unparse(function), re.sub(r"^b\.(\w+).*", r"\1", ast.unparse(filled[-1])) if filled else ""


def table(name: str, batch: int, threads: int, rounds: int) -> list[str]:
    """The lines for one net."""
    net = cpu.example(name)
    model, _ = cpu.generated(net, cpu.reference(name, net.graph), threads)
    x = np.random.default_rng(0).standard_normal((batch, *net.graph.inputs[0].type.shape)).astype(np.float32)
    times = sys.modules[cpu.GENERATED].statement_times(model, {"image": x}, rounds)
    spent = {text: float(np.median(found)) for text, found in times.items()}
    work = [macs for word, macs in costs(net) if word in PRODUCTS]
    products = [text for text in spent if text.startswith(("conv_", "linear(", "b.do(np.matmul,", "attention("))]
    macs = dict(zip(products, work, strict=True))
    rate, total = product_rate(threads), sum(spent.values())
    images, cores = (batch, threads) if batch == 1 else (batch // min(threads, batch), 1)  # the caller's
    written = [
        f"{name}, batch {batch}, {threads} threads: {total * 1e3:.1f} ms; large products {rate / 1e9:.0f} GF/s a core",
        f"{'ms':>9} {'of all':>7} {'GF/s':>6} {'share':>6}  {'kernel':<16} result",
    ]
    sums: dict[str, float] = defaultdict(float)
    done: dict[str, int] = defaultdict(int)
    for text, seconds in slowest(spent):
        kernel, result = kernel_and_result(text)
        sums[kernel] += seconds
        done[kernel] += 2 * macs.get(text, 0) * images
        written.append(row(seconds, total, 2 * macs.get(text, 0) * images, rate * cores, f"{kernel:<16} {result}"))
    written.append("in all:")
    written += [row(seconds, total, done[kernel], rate * cores, kernel) for kernel, seconds in slowest(sums)]
    return written


def slowest(times: dict[str, float]) -> list[tuple[str, float]]:
    """The items, the longest times first."""
    return sorted(times.items(), key=lambda item: -item[1])


def row(seconds: float, total: float, operations: int, rate: float, text: str) -> str:
    """A line of the table."""
    speed = f"{operations / seconds / 1e9:6.0f} {operations / seconds / rate:6.2f}" if operations else " " * 13
    return f"{seconds * 1e3:9.3f} {seconds / total:7.1%} {speed}  {text}"


def main() -> None:
    """Print the tables, and keep them if told to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nets", required=True)
    parser.add_argument("--batches", default="1")
    parser.add_argument("--threads", default="2")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    for name in options.nets.split(","):
        for batch in map(int, options.batches.split(",")):
            for threads in map(int, options.threads.split(",")):
                text = "\n".join(table(name, batch, threads, options.rounds)) + "\n"
                print(text, flush=True)
                if options.write:
                    cpu.RESULTS.mkdir(exist_ok=True)
                    (cpu.RESULTS / f"layers-{name}-{batch}-{threads}.txt").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()

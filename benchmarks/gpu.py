"""Generated Triton modules beside PyTorch on one NVIDIA GPU, in one process, medians of interleaved runs.

    python benchmarks/gpu_modules.py build/gpu-bench            # where netdsl is; needs no GPU
    python benchmarks/gpu.py build/gpu-bench [--out benchmarks/results] [--minutes 9] [--only ResNet50] [--all]

The second needs the folder, torch, triton and safetensors, not netdsl. It begins with what matters most and writes each
line of its table as it is measured; started again, it goes on where it stopped. Each net is measured beside CUDA graphs
of cuDNN's kernels first, which takes seconds, then once more with torch.compile as well, for at most `--seconds` a row:
what compiles longer costs no other result. `--all` adds PyTorch's other configurations. Of lines for one row the last
counts. Before anything is timed, every contender is compared with PyTorch in exact
float32; one that is wrong is reported, and no longer counts. `gpu_plot.py` draws the results.

Every contender holds four batches of random data and passes over them in turn. All take part in every round, in an
order that turns, so that a disturbance meets all. One more column has the second-level cache flushed before each pass.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from gpu_contenders import DTYPES, GRAPHS, STRONGEST, Pass, Prepare, baselines, generated, with_usual_norms

Row = dict[str, Any]

TOLERANCE = {"float16": 1e-2, "bfloat16": 8e-2, "tf32": 1e-2, "float32": 2e-5}
"""Largest difference over the largest element, for a whole network."""
BUFFERS = 4
"""Batches of data that each contender passes over in turn."""
ROUNDS = 25
FLUSH_BYTES = 256 << 20
"""More than any GPU's second-level cache."""
OURS = "netdsl"
PEERS = {"graphs": GRAPHS, "strongest": STRONGEST, "all": ()}
"""Whom a row has beside ours; all where none is named."""


def rows(nets: list[str], everyone: bool) -> Iterator[tuple[str, str, int, str]]:
    """What is measured, the most important first: net, element type, batch, beside whom (a key of PEERS)."""
    first = [net for net in ("ResNet50", "VGG16") if net in nets]
    others = [net for net in nets if net not in first]
    groups = [("float16", first, (1, 8, 32, 128)), ("float16", others, (1, 8, 32, 128))]
    groups += [(dtype, [*first, *others], (1, 32)) for dtype in ("bfloat16", "tf32")]
    for dtype, members, batches in groups:
        for peers in ("all",) if everyone else ("graphs", "strongest"):
            yield from ((net, dtype, batch, peers) for net in members for batch in batches)


def measure(folder: Path, net: str, dtype: str, batch: int, peers: str, rounds: int) -> Row:
    """One line of the table."""
    torch.manual_seed(0)
    torch.backends.cudnn.benchmark = True
    module = load_module(folder / f"{net}_{dtype}.py")
    model = with_usual_norms(load_module(folder / f"{net}_torch.py").MODEL())
    settle(model)
    ((image, _, _),) = module.INPUTS.values()
    inputs = [torch.randn(batch, *image, device="cuda") for _ in range(BUFFERS)]
    wanted = exact(model, inputs[0])
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = dtype == "tf32"
    makers = {OURS: lambda: generated(module, model.state_dict())}
    makers |= {name: make for name, make in baselines(model, dtype).items() if name in (PEERS[peers] or (name,))}
    passes: dict[str, list[Pass]] = {}
    found: dict[str, Row] = {}
    for name, make in makers.items():
        start = time.perf_counter()
        try:
            passes[name] = ready(make(), inputs)
            seconds = time.perf_counter() - start
            error = difference(passes[name][0](), wanted)
            found[name] = {"prepare_s": seconds, "error": error, "kernels": kernels(passes[name][0])}
            if error > TOLERANCE[dtype]:
                found[name]["wrong"] = f"differs by {error:.1e} of the largest element"
        except Exception as problem:
            passes.pop(name, None)
            found[name] = {"failed": str(problem).strip().splitlines()[0][:200] if str(problem) else repr(problem)}
            traceback.print_exc(limit=3)
    for name, times in race(passes, rounds).items():
        found[name] |= times
    return {"net": net, "dtype": dtype, "batch": batch, "contenders": found}


def ready(prepare: Prepare, inputs: list[torch.Tensor]) -> list[Pass]:
    """A pass over each of the inputs, warm."""
    passes = [prepare(x) for x in inputs]
    for _ in range(2):
        for run in passes:
            run()
    torch.cuda.synchronize()
    return passes


def settle(model: torch.nn.Module) -> None:
    """Weights that keep the size of activations, and norms that do something."""
    for module in model.modules():
        if isinstance(module, torch.nn.Conv2d | torch.nn.ConvTranspose2d | torch.nn.Linear):
            torch.nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.normal_(module.running_mean, 0, 0.1)
            torch.nn.init.uniform_(module.running_var, 0.8, 1.2)
            torch.nn.init.uniform_(module.weight, 0.4, 0.8)
    model.eval().requires_grad_(False)


def exact(model: torch.nn.Module, x: torch.Tensor) -> torch.Tensor:
    """What everyone is compared with: PyTorch in float32 without shortcuts."""
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    model.cuda()
    result = torch.cat([model(part) for part in x.split(16)])
    model.cpu()
    return result


def difference(found: torch.Tensor, wanted: torch.Tensor) -> float:
    """The largest difference over the largest element; infinite where something is not a number."""
    gap = (found.float() - wanted).abs().max() / wanted.abs().max()
    return float(gap) if bool(gap.isfinite()) else float("inf")


def kernels(run: Pass) -> int | None:
    """Kernels of one pass, copies and fills not counted; None where the machine does not let them be counted."""
    try:
        with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as profile:
            run()
            torch.cuda.synchronize()
    except (AssertionError, RuntimeError):
        return None
    names = [event.name for event in profile.events() if event.device_type == torch.autograd.DeviceType.CUDA]
    return sum(not name.startswith(("Memcpy", "Memset")) for name in names)


def race(passes: dict[str, list[Pass]], rounds: int) -> dict[str, Row]:
    """Milliseconds of one pass of everyone: p10, median and p90; then with the second-level cache flushed."""
    flush = torch.empty(FLUSH_BYTES, dtype=torch.uint8, device="cuda")
    warm: dict[str, list[float]] = {name: [] for name in passes}
    cold: dict[str, list[float]] = {name: [] for name in passes}
    order = list(passes)
    for _ in range(rounds if passes else 0):
        for name in order:
            warm[name].append(spent([*passes[name], *passes[name]]) / (2 * BUFFERS))
            flush.zero_()
            cold[name].append(spent(passes[name][:1]))
        order = [*order[1:], order[0]]
    return {name: {"ms": deciles(warm[name]), "cold_ms": deciles(cold[name])} for name in passes}


def spent(passes: list[Pass]) -> float:
    """Milliseconds of these passes, one after the other."""
    start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    start.record()
    for run in passes:
        run()
    end.record()
    end.synchronize()
    return start.elapsed_time(end)


def deciles(times: list[float]) -> list[float]:
    """The first, the median and the last."""
    times = sorted(times)
    return [times[int(len(times) * share)] for share in (0.1, 0.5, 0.9)]


def line(row: Row) -> str:
    """A row of the table: our median, the ratio of the best correct other to it, and what else a row says of ours."""
    name = f"{row['net']:<12} {row['dtype']:<9} batch {row['batch']:<4}"
    if "failed" in row:
        return f"{name} failed: {row['failed']}"
    timed = {who: x for who, x in row["contenders"].items() if "ms" in x and "wrong" not in x}
    if OURS not in timed:
        return f"{name} ours: {row['contenders'][OURS]}"
    ours = timed.pop(OURS)
    low, own, high = ours["ms"]
    text = f"{name} {own:8.3f} ms ({low:.3f} to {high:.3f})"
    if timed:
        best = min(timed, key=lambda who: timed[who]["ms"][1])
        text += f"  {timed[best]['ms'][1] / own:5.2f} x as fast as {best}"
    text += f"  {row['limit_ms'] / own:4.0%} of the limit" if "limit_ms" in row else ""
    text += f"  {ours['kernels']} kernels  error {ours['error']:.0e}  {ours['prepare_s']:.0f} s to prepare"
    out = {who: x.get("failed") or x.get("wrong") for who, x in row["contenders"].items() if who not in (OURS, *timed)}
    return "\n".join((text, *(f"    without {who}: {why}" for who, why in out.items())))


def load_module(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def main() -> int:
    """Measure what is still missing, in processes of their own, until the time is spent."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    parser.add_argument("--minutes", type=float, default=9)
    parser.add_argument("--seconds", type=float, default=120, help="of one row, at most (120)")
    parser.add_argument("--only", default="", help="nets, with commas between them")
    parser.add_argument("--all", action="store_true", help="all of PyTorch's configurations")
    parser.add_argument("--batch", type=int, nargs="+", default=[], help="these batches alone")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help=f"rounds of each row ({ROUNDS})")
    one_row = ("NET", "DTYPE", "BATCH", "PEERS")
    parser.add_argument("--one", nargs=4, metavar=one_row, help="measure one row and print it")
    options = parser.parse_args()
    if options.one:
        net, dtype, batch, peers = options.one
        assert dtype in DTYPES
        with torch.inference_mode():
            print(json.dumps(measure(options.folder, net, dtype, int(batch), peers, options.rounds)))
        return 0
    end = time.monotonic() + 60 * options.minutes
    device = torch.cuda.get_device_name()
    path = options.out / f"gpu-{datetime.date.today().isoformat()}-{device.replace(' ', '-').lower()}.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        import triton

        about = {"device": device, "torch": torch.__version__, "triton": triton.__version__}
        path.write_text(json.dumps(about) + "\n", encoding="utf-8")
    done = [json.loads(text) for text in path.read_text(encoding="utf-8").splitlines()[1:]]
    there = {(row["net"], row["dtype"], row["batch"], row["peers"]) for row in done if "failed" not in row}
    predicted = json.loads((options.folder / "predicted.json").read_text(encoding="utf-8"))
    limit = {name: {"limit_ms": times["limit_ms"]} for name, times in predicted.items()}
    nets = [item.stem.removesuffix("_torch") for item in sorted(options.folder.glob("*_torch.py"))]
    nets = [net for net in nets if not options.only or net in options.only.split(",")]
    for net, dtype, batch, peers in rows(nets, options.all):
        left = end - time.monotonic()
        wanted = batch in (options.batch or [batch]) and (options.folder / f"{net}_{dtype}.py").exists()
        if not wanted or (net, dtype, batch, peers) in there or left < 20:
            continue
        row = {"net": net, "dtype": dtype, "batch": batch, "peers": peers}
        row |= one(options, row, min(left, options.seconds))
        row |= limit.get(f"{net} {dtype} {batch}", {})
        with path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
        print(line(row), flush=True)
    return 0


def one(options: argparse.Namespace, row: Row, seconds: float) -> Row:
    """One row, measured in a process of its own, so that what fails there ends there."""
    command = [
        sys.executable,
        __file__,
        str(options.folder),
        "--one",
        *map(str, row.values()),
        "--rounds",
        str(options.rounds),
    ]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, start_new_session=True) as child:
        try:
            shown, problems = child.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            return {"failed": f"not done in {seconds:.0f} s"}
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)  # with the processes in which torch.compile tries kernels
    if child.returncode:
        return {"failed": (problems.strip().splitlines() or ["no message"])[-1][:300]}
    lines = [line for line in shown.splitlines() if line.startswith('{"net"')]
    found: Row = json.loads(lines[-1]) if lines else {"failed": "it printed no row"}
    return found


if __name__ == "__main__":
    sys.exit(main())

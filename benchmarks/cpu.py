"""Generated NumPy modules beside PyTorch and ONNX Runtime on this processor, in one process, with equal threads.

    python benchmarks/cpu.py [--nets ResNet50,VGG16] [--batches 1,4,8] [--threads 1,2] [--rounds 15] [--compile]
                             [--tune] [--note TEXT] [--write]
    python benchmarks/cpu.py --layers ResNet50 [--batches 1] [--threads 1] [--rounds 15]

Needs torch and torchvision; ONNX Runtime takes part where it and onnx are installed. Every contender computes twice in
every round, in an order that turns, so that a disturbance meets all; the second time counts, when the threads of others
have gone to sleep; medians are compared. Before anything is timed, all results are compared with PyTorch's.

`--compile` adds torch.compile with freezing, which takes minutes; with `--tune` our modules tune themselves first, for
that batch and these threads; `--write` puts the table (JSON) and a plot (SVG) into benchmarks/results/, named after the
day. `--layers` prints instead where one net spends its time: the time of each layer, the rate of its products, and that
rate as a share of what this machine's BLAS does in a large one.
"""

# ruff: noqa: E402
from __future__ import annotations

import os

for library in ("OPENBLAS", "MKL", "VECLIB"):
    os.environ[f"{library}_NUM_THREADS"] = "1"  # of NumPy's products: a module has threads of its own

import argparse
import contextlib
import copy
import datetime
import io
import json
import linecache
import platform
import sys
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType
from typing import Any

import numpy as np
import torch

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

import netdsl
from netdsl.ir.fused import Fused
from netdsl.passes.manager import run_passes
from netdsl.passes.pipeline import CHANNELS_LAST
from netdsl.weights import from_state_dict, write

NETS = {
    "ResNet18": ("resnet.net", "resnet18", ()),
    "ResNet50": ("resnet.net", "resnet50", ()),
    "VGG16": ("vgg.net", "vgg16", ()),
    "MobileNetV2": ("mobilenet2.net", "mobilenet_v2", ()),
    "UNetSame": ("unet.net", "", ("512x512", "256x256")),
    "DenseNet121": ("densenet.net", "densenet121", ()),
    "ViTB16": ("vit.net", "vit_b_16", ()),
}
"""File of the example, name in torchvision (none: the module is below), text of it to replace."""
PRODUCTS = ("conv", "upconv", "fc", "matmul", "attend")
"""Operators whose arithmetic is products: the layers that have a rate."""

OPERATORS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "roi_align(Tensor input, Tensor rois, float spatial_scale, int pooled_height, int pooled_width, "
    "int sampling_ratio, bool aligned) -> Tensor",
)
"""What torchvision's import wants declared where its compiled library fits another build of PyTorch."""

GENERATED = "generated_net"
"""The name under which a module is loaded."""

Array = Any
Contender = Callable[[Array], Array]


def models() -> ModuleType:
    """`torchvision.models`."""
    try:
        import torchvision
    except RuntimeError:
        for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
            del sys.modules[name]
        declared = torch.library.Library("torchvision", "FRAGMENT")
        for operator in OPERATORS:
            declared.define(operator)
        import torchvision
    return torchvision.models  # type: ignore[no-any-return]


class UNet(torch.nn.Module):
    """Ronneberger et al. 2015, with padding, as examples/unet.net has it."""

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        widths = (64, 128, 256, 512, 1024)
        self.down = torch.nn.ModuleList(
            self.double(before, width) for before, width in zip((channels, *widths), widths, strict=False)
        )
        self.up = torch.nn.ModuleList(
            torch.nn.ModuleList((torch.nn.ConvTranspose2d(2 * width, width, 2, 2), self.double(2 * width, width)))
            for width in widths[-2::-1]
        )
        self.last = torch.nn.Conv2d(widths[0], classes, 1)

    @staticmethod
    def double(before: int, width: int) -> torch.nn.Module:
        layers: list[torch.nn.Module] = []
        for channels in (before, width):
            layers += [torch.nn.Conv2d(channels, width, 3, padding=1), torch.nn.ReLU(inplace=True)]
        return torch.nn.Sequential(*layers)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        skips = []
        for level, block in enumerate(self.down):
            x = block(torch.nn.functional.max_pool2d(x, 2) if level else x)
            skips.append(x)
        for (up, join), skip in zip(self.up, skips[-2::-1], strict=True):
            x = join(torch.cat([skip, up(x)], 1))
        return self.last(x)  # type: ignore[no-any-return]


def reference(name: str, graph: Any) -> torch.nn.Module:
    """The PyTorch module, its batch norms with statistics that are not the identity."""
    torch.manual_seed(0)
    known = NETS[name][1]
    (image,), (result,) = graph.inputs, graph.outputs
    model = getattr(models(), known)(weights=None) if known else UNet(image.type.shape[0], result.type.shape[0])
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.normal_(module.running_mean, 0, 0.1)
            torch.nn.init.uniform_(module.running_var, 0.5, 1.5)
    for weight in model.parameters():
        if not weight.any():  # a head of zeros would make everybody's results equal
            torch.nn.init.normal_(weight, 0, 0.02)
    return model.eval()  # type: ignore[no-any-return]


def generated(
    net: netdsl.Network, model: torch.nn.Module, threads: int, tuned_for: Array = None
) -> tuple[Contender, dict[str, float]]:
    """Our module with PyTorch's weights; how long compiling and loading took. It tunes itself for an input."""
    state = {name: tensor.detach().numpy() for name, tensor in model.state_dict().items()}
    net.compile()  # the first reads templates
    start = time.perf_counter()
    source = net.compile().source
    seconds = {"compile_s": time.perf_counter() - start, "lines": source.count("\n")}
    with TemporaryDirectory() as folder:
        path = Path(folder) / "weights.safetensors"
        write(path, from_state_dict(net.graph, state))
        start = time.perf_counter()
        loaded = loaded_module(source).load(path, threads=threads)
        seconds["load_s"] = time.perf_counter() - start
        if tuned_for is not None:
            found = Path(folder) / "tuned.json"
            start = time.perf_counter()
            with contextlib.redirect_stdout(io.StringIO()):
                sys.modules[GENERATED].tune_file(loaded, {"image": tuned_for}, str(found))
            seconds["tune_s"] = time.perf_counter() - start
            loaded = loaded_module(net.compile(tuned=found).source).load(path, threads=threads)
    return loaded, seconds


def loaded_module(source: str) -> Any:
    """A module of a text, with its lines for those who look for them."""
    sys.modules[GENERATED] = module = ModuleType(GENERATED)
    linecache.cache[f"<{GENERATED}>"] = (len(source), None, source.splitlines(keepends=True), f"<{GENERATED}>")
    exec(compile(source, f"<{GENERATED}>", "exec"), module.__dict__)
    return module


def contenders(model: torch.nn.Module, example: Array, threads: int, compiled: bool) -> dict[str, Contender]:
    """The others. Each takes and gives NumPy arrays that share PyTorch's memory, so that nothing is copied."""
    found: dict[str, Contender] = {"eager NCHW": lambda x: model(torch.from_numpy(x)).numpy()}
    last = copy.deepcopy(model).to(memory_format=torch.channels_last)
    found["eager channels-last"] = lambda x: last(torch.from_numpy(x).to(memory_format=torch.channels_last)).numpy()
    if compiled:
        from torch._inductor import config

        config.freezing = True
        fast = torch.compile(copy.deepcopy(model))
        found["torch.compile, frozen"] = lambda x: fast(torch.from_numpy(x)).numpy()
    try:
        import onnxruntime
    except ImportError:
        print("ONNX Runtime is not installed: it does not take part", flush=True)
        return found
    file = io.BytesIO()
    torch.backends.mha.set_fastpath_enabled(False)  # type: ignore[no-untyped-call]  # ONNX has no such operator
    torch.onnx.export(model, (torch.from_numpy(example),), file, dynamo=False, input_names=["image"])
    torch.backends.mha.set_fastpath_enabled(True)  # type: ignore[no-untyped-call]
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(file.getvalue(), options, providers=["CPUExecutionProvider"])
    found["ONNX Runtime"] = lambda x: session.run(None, {"image": x})[0]
    return found


def example(name: str) -> netdsl.Network:
    """A net of the examples, at the size at which it is measured."""
    file, _, replaced = NETS[name]
    text = (ROOT / "examples" / file).read_text(encoding="utf-8")
    with TemporaryDirectory() as folder:
        path = Path(folder) / file
        path.write_text(text.replace(*replaced) if replaced else text, encoding="utf-8")
        return netdsl.load(path, net=name)


def measure(name: str, batch: int, threads: int, rounds: int, compiled: bool, tuned: bool) -> dict[str, Any]:
    """One net at one batch with so many threads: milliseconds of everyone, medians with first and last decile."""
    torch.set_num_threads(threads)
    net = example(name)
    model = reference(name, net.graph)
    (image,) = net.graph.inputs
    x = np.random.default_rng(0).standard_normal((batch, *image.type.shape)).astype(np.float32)
    ours, seconds = generated(net, model, threads, x if tuned else None)
    everyone = {"netdsl": ours, **contenders(model, x, threads, compiled)}
    wanted = everyone["eager NCHW"](x)
    errors = {who: float(abs(run(x) - wanted).max() / abs(wanted).max()) for who, run in everyone.items()}
    assert max(errors.values()) <= 2e-5, errors
    times: dict[str, list[float]] = {who: [] for who in everyone}
    order = list(everyone)
    for _ in range(rounds):
        for who in order:
            everyone[who](x)  # the threads of the one before look for work for some more milliseconds
            start = time.perf_counter()
            everyone[who](x)
            times[who].append((time.perf_counter() - start) * 1e3)
        order = [*order[1:], order[0]]
    found = {who: [float(value) for value in np.percentile(t, [10, 50, 90])] for who, t in times.items()}
    return {"net": name, "batch": batch, "threads": threads, "ms": found, "error": errors["netdsl"], **seconds}


def product_rate() -> float:
    """Operations a second of the BLAS on one core, in a product of 768 x 768 matrices."""
    a = np.random.default_rng(0).standard_normal((768, 768)).astype(np.float32)
    out, seconds = np.empty_like(a), []
    for _ in range(15):
        start = time.thread_time()
        np.matmul(a, a, out=out)
        seconds.append(time.thread_time() - start)
    return 2 * len(a) ** 3 / min(seconds)  # type: ignore[no-any-return]


def print_layers(name: str, batch: int, threads: int, rounds: int) -> None:
    """The statements of a module's forward pass, the slowest first: medians of `rounds` passes."""
    net = example(name)
    model, _ = generated(net, reference(name, net.graph), threads)
    image = net.graph.inputs[0].type.shape
    x = np.random.default_rng(0).standard_normal((batch, *image)).astype(np.float32)
    times = sys.modules[GENERATED].statement_times(model, {"image": x}, rounds)
    traced = batch // min(threads, batch)  # the share of the caller's thread
    spent = {text: float(np.median(found)) for text, found in times.items()}
    work = [macs for word, macs in costs(net) if word in PRODUCTS]
    products = [text for text in spent if text.startswith(("conv_", "linear(", "b.do(np.matmul,", "attention("))]
    rate, macs = product_rate(), dict(zip(products, work, strict=True))
    cores = threads if batch == 1 else 1
    total = sum(spent.values())
    print(f"{name}, batch {batch}, {threads} threads: {total * 1e3:.1f} ms; a product: {rate / 1e9:.0f} GF/s a core")
    for text, seconds in sorted(spent.items(), key=lambda item: -item[1]):
        speed = 2 * macs[text] * traced / seconds if text in macs else 0.0
        share = f"{speed / 1e9:6.0f} GF/s {speed / rate / cores:6.2f}" if speed else " " * 18
        print(f"{seconds * 1e3:9.3f} ms {seconds / total:6.1%} {share}  {text[:110]}")


def costs(net: netdsl.Network) -> list[tuple[str, int]]:
    """Operator and multiply-accumulates of each layer of the optimised graph, in order."""
    graph, _ = run_passes(net.graph, CHANNELS_LAST)
    found = []
    for node in graph.nodes:
        anchor = node.op.anchor if isinstance(node.op, Fused) else node.op
        cost = node.op.cost(tuple(v.type for v in node.operands), tuple(v.type for v in node.outputs))
        found.append((anchor.word, cost.macs))
    return found


def line(row: dict[str, Any]) -> str:
    """A row of the table: our median, and it as a ratio of everyone else's."""
    ours = row["ms"]["netdsl"][1]
    ratios = "  ".join(f"{ours / ms[1]:5.2f} x {who}" for who, ms in row["ms"].items() if who != "netdsl")
    return f"{row['net']:<12} batch {row['batch']:<2} threads {row['threads']}  {ours:8.1f} ms  {ratios}"


def plot(rows: list[dict[str, Any]], title: str) -> str:
    """Our time as a ratio of each of the others', a bar each; the line is at 1."""
    others = sorted({who for row in rows for who in row["ms"]} - {"netdsl"})
    colours = dict(zip(others, ("#4878a8", "#88b0d8", "#58a068", "#d08848"), strict=False))
    scale, left, thick = 220, 230, 9
    parts, y = [], 60
    for row in rows:
        label = f"{row['net']}, batch {row['batch']}, {row['threads']} thread{'s' if row['threads'] > 1 else ''}"
        parts.append(f'<text x="{left - 8}" y="{y + 14}" text-anchor="end">{label}</text>')
        for who in others:
            if who in row["ms"]:
                ratio = row["ms"]["netdsl"][1] / row["ms"][who][1]
                width = min(ratio, 3) * scale
                parts.append(f'<rect x="{left}" y="{y}" width="{width:.0f}" height="{thick}" fill="{colours[who]}"/>')
                parts.append(f'<text x="{left + width + 4:.0f}" y="{y + 8}" font-size="9">{ratio:.2f}</text>')
            y += thick + 1
        y += 8
    one = left + scale
    keys = [
        f'<rect x="{left + 150 * i}" y="32" width="10" height="10" fill="{colours[who]}"/>'
        f'<text x="{left + 150 * i + 14}" y="41">{who}</text>'
        for i, who in enumerate(others)
    ]
    body = "\n".join(
        [
            f'<text x="10" y="18" font-size="13">{title}</text>',
            *keys,
            *parts,
            f'<line x1="{one}" y1="54" x2="{one}" y2="{y}" stroke="#444" stroke-dasharray="3 3"/>',
        ]
    )
    size = f'width="{left + 3 * scale + 60}" height="{y + 10}"'
    style = 'font-family="sans-serif" font-size="11"'
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} {style}>\n'
        f'<rect width="100%" height="100%" fill="#fff"/>\n{body}\n</svg>\n'
    )


def main() -> None:
    """Measure, print, and write if told to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nets", default=",".join(NETS))
    parser.add_argument("--layers", metavar="NET", help="where one net spends its time, instead of the tables")
    parser.add_argument("--batches")
    parser.add_argument("--threads")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--tune", action="store_true")
    parser.add_argument("--note", default="", help="what else must be known, such as who shared the machine")
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    batches = [int(text) for text in (options.batches or ("1" if options.layers else "1,4,8")).split(",")]
    counts = [int(text) for text in (options.threads or ("1" if options.layers else "1,2")).split(",")]
    rows = []
    if options.layers:
        for threads in counts:
            for batch in batches:
                print_layers(options.layers, batch, threads, options.rounds)
        return
    with torch.inference_mode():
        for threads in counts:
            for name in options.nets.split(","):
                for batch in batches:
                    rows.append(measure(name, batch, threads, options.rounds, options.compile, options.tune))
                    print(line(rows[-1]), flush=True)
    if not options.write:
        return
    today = datetime.date.today().isoformat()
    machine = f"{os.cpu_count()} x {processor()}, numpy {np.__version__}, torch {torch.__version__}"
    folder = ROOT / "benchmarks" / "results"
    folder.mkdir(exist_ok=True)
    content = {"date": today, "machine": machine, "note": options.note, "rounds": options.rounds, "rows": rows}
    (folder / f"cpu-{today}.json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    title = "Time of netdsl's NumPy modules over that of others (median; below 1 is faster)"
    (folder / f"cpu-{today}.svg").write_text(plot(rows, title), encoding="utf-8")


def processor() -> str:
    """The processor's name."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((text.partition(":")[2].strip() for text in lines if text.startswith("model name")), platform.machine())


if __name__ == "__main__":
    main()

"""Generated NumPy modules beside PyTorch and ONNX Runtime on this processor, in one process, with equal threads.

    python benchmarks/cpu.py [--nets ResNet50,VGG16] [--batches 1,4,8] [--threads 1,2] [--rounds 15] [--compile]
                             [--tune] [--note TEXT] [--write | --to FILE.json]

Needs torch and torchvision; ONNX Runtime takes part where it and onnx are installed. Every contender computes twice in
every round, in an order that turns, so that a disturbance meets all; the second time counts, when the threads of others
have gone to sleep; medians are compared. Before anything is timed, all results are compared with PyTorch's.

Rounds in which others used more than a tenth of the processors' time do not count, where enough are left (Linux).

`--compile` adds torch.compile with freezing, which takes minutes; with `--tune` our modules tune themselves first, for
that batch and these threads. `--write` puts each row into benchmarks/results/cpu-DAY.json as soon as it is there, and
at the end draws all rows beside it (`cpu_plot.py`); `--to` names another file. Rows that the file holds already are not
measured again: whoever is interrupted goes on with the same command, and pieces add up.
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
RESULTS = ROOT / "benchmarks" / "results"
sys.path.insert(0, str(ROOT))

from cpu_plot import write_plot

import netdsl
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


OPERATORS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "roi_align(Tensor input, Tensor rois, float spatial_scale, int pooled_height, int pooled_width, "
    "int sampling_ratio, bool aligned) -> Tensor",
)
"""What torchvision's import wants declared where its compiled library fits another build of PyTorch."""

GENERATED = "generated_net"
"""The name under which a module is loaded."""

QUIET, ENOUGH = 0.1, 5
"""The share of the processors' time that others may use in a round that counts, and how many such rounds must be."""

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
    measured: list[tuple[float, dict[str, float]]] = []
    order = list(everyone)
    for _ in range(rounds):
        times = {}
        others, begin = used_by_others(), time.perf_counter()
        for who in order:
            everyone[who](x)  # the threads of the one before look for work for some more milliseconds
            start = time.perf_counter()
            everyone[who](x)
            times[who] = (time.perf_counter() - start) * 1e3
        share = (used_by_others() - others) / (time.perf_counter() - begin) / (os.cpu_count() or 1)
        measured.append((share, times))
        order = [*order[1:], order[0]]
    quiet = [item for item in measured if item[0] <= QUIET]
    counted = quiet if len(quiet) >= min(ENOUGH, rounds) else measured
    found = {
        who: [float(value) for value in np.percentile([times[who] for _, times in counted], [10, 50, 90])]
        for who in everyone
    }
    about = {"rounds": len(counted), "others": round(float(np.mean([share for share, _ in counted])), 3)}
    return {"net": name, "batch": batch, "threads": threads, "ms": found, "error": errors["netdsl"], **about, **seconds}


def used_by_others() -> float:
    """Seconds of processor time, of all processors, that went to anybody but this process; 0 where Linux is not."""
    try:
        with open("/proc/stat", encoding="ascii") as file:
            user, nice, system, _, _, interrupts, soft, stolen, *_ = map(int, file.readline().split()[1:])
    except OSError:
        return 0.0
    own = time.clock_gettime(time.CLOCK_PROCESS_CPUTIME_ID)
    return (user + nice + system + interrupts + soft + stolen) / os.sysconf("SC_CLK_TCK") - own


def line(row: dict[str, Any]) -> str:
    """A row of the table: our median, and it as a ratio of everyone else's."""
    ours = row["ms"]["netdsl"][1]
    ratios = "  ".join(f"{ours / ms[1]:5.2f} x {who}" for who, ms in row["ms"].items() if who != "netdsl")
    about = f"{row['rounds']} rounds, others {row['others']:.0%}"
    return f"{row['net']:<12} batch {row['batch']:<2} threads {row['threads']}  {ours:8.1f} ms  {ratios}  ({about})"


def main() -> None:
    """Measure, print, and write if told to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nets", default=",".join(NETS))
    parser.add_argument("--batches", help="1 and 8 if not said, and 4 for VGG16")
    parser.add_argument("--threads", default="1,2")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--tune", action="store_true")
    parser.add_argument("--note", default="", help="what else must be known, such as who shared the machine")
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--to", type=Path)
    options = parser.parse_args()
    today = datetime.date.today().isoformat()
    path = options.to or (RESULTS / f"cpu-{today}.json" if options.write else None)
    machine = f"{os.cpu_count()} x {processor()}, numpy {np.__version__}, torch {torch.__version__}"
    content: dict[str, Any] = {"date": today, "machine": machine, "note": options.note, "rows": []}
    if path and path.exists():
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["machine"] != machine:
            sys.exit(f"{path} was measured on {content['machine']}, this is {machine}: name another file with --to")
    rows = content["rows"]
    there = {(row["net"], row["batch"], row["threads"]) for row in rows}
    with torch.inference_mode():
        for threads in map(int, options.threads.split(",")):
            for name in options.nets.split(","):
                batches = options.batches or ("1,4,8" if name == "VGG16" else "1,8")
                for batch in map(int, batches.split(",")):
                    if (name, batch, threads) in there:
                        continue
                    rows.append(measure(name, batch, threads, options.rounds, options.compile, options.tune))
                    print(line(rows[-1]), flush=True)
                    if path:
                        path.parent.mkdir(exist_ok=True)
                        path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    if path:
        write_plot(path)


def processor() -> str:
    """The processor's name."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((text.partition(":")[2].strip() for text in lines if text.startswith("model name")), platform.machine())


if __name__ == "__main__":
    main()

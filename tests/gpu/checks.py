"""Generated modules on a GPU. Needs what `generate.py` wrote, torch, triton and safetensors; neither netdsl nor pytest:

python tests/gpu/checks.py build/gpu [MINUTES]
"""

from __future__ import annotations

import importlib.util
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import active_children, get_context
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from safetensors.torch import load_file
from torch_nets import in_order, mini, resnet50, shaken, vgg16

TOLERANCE = {"float32": 5e-6, "tf32": 2e-3, "float16": 2e-3, "bfloat16": 1.6e-2}
"""Largest difference over the largest element, for one layer."""
NETWORK_TOLERANCE = {"float32": 2e-5, "tf32": 1e-2, "float16": 1e-2, "bfloat16": 8e-2}
LATE = "no time was left"
NETWORKS: dict[str, Callable[[], torch.nn.Module]] = {"mini": mini, "resnet50": resnet50, "vgg16": vgg16}


def cases(folder: Path) -> list[str]:
    """The modules of a folder, by name: `conv_float16`, `net_resnet50_tf32`."""
    return sorted(path.stem for path in folder.glob("*_*.py"))


def check(folder: Path, name: str) -> None:
    """Assert that one module agrees with what is known of it."""
    if name.startswith("net_"):
        check_network(folder, name)
    else:
        check_operator(folder, name)


def check_operator(folder: Path, name: str) -> None:
    """All samples of an operator, against the reference; the captured pass gives the same bits."""
    word, _, dtype = name.rpartition("_")
    module = load_module(folder / f"{name}.py")
    device = module.usable(torch.device("cuda"))
    data = {key: tensor.to(device) for key, tensor in load_file(folder / f"{word}.safetensors").items()}
    model = module.Model({key: data[f"given {key}"] for key in module.WEIGHTS}, device)
    inputs = [data[f"given {key}"] for key in module.INPUTS]
    results = as_tuple(model(*inputs))
    for key, found in zip(module.OUTPUTS, results, strict=True):
        worst = difference(found, data[f"wanted {key}"])
        assert worst <= TOLERANCE[dtype], f"{name} {key} differs by {worst:.2e} of the largest element"
    batch = module.check_inputs(inputs, device)
    for first, second in zip(results, as_tuple(model.capture(batch)(*inputs)), strict=True):
        assert torch.equal(first, second), f"{name}: the captured pass differs"


def check_network(folder: Path, name: str) -> None:
    """A published network against PyTorch in float64, at several batches, on streams and threads of its own."""
    _, net, dtype = name.split("_")
    module = load_module(folder / f"{name}.py")
    device = module.usable(torch.device("cuda"))
    theirs = shaken(NETWORKS[net]())
    model = module.Model(in_order(theirs, module.WEIGHTS), device)
    ((shape, _, _),) = module.INPUTS.values()
    count, repeats = (33, 5) if shape[-1] > 32 else (9, 1)
    x = torch.randn(count, *shape, generator=torch.Generator().manual_seed(1)).to(device)
    with torch.inference_mode():
        theirs = theirs.to(device).double()
        wanted = torch.cat([theirs(part.double()) for part in x.split(8)])
    for batch in (1, 2, count, 5, 1):
        worst = difference(model(x[:batch]), wanted[:batch])
        assert worst <= NETWORK_TOLERANCE[dtype], (
            f"{name} at batch {batch} differs by {worst:.2e} of the largest element"
        )
    one, four = model.capture(1), model.capture(4)
    for captured, part in ((one, x[:1]), (four, x[1:5]), (one, x[7:8])):
        assert torch.equal(captured(part), model(part)), f"{name}: the captured pass differs"
    parts = x[: count - 1].split(4)
    alone = [model(part) for part in parts]
    # The model, two captured passes, and one that two threads share.
    for calls in ([model] * len(parts), [four, model.capture(4)], [four, four]):
        for found, expected in zip(at_once(calls, parts, repeats), alone, strict=False):
            assert torch.equal(found, expected), f"{name}: threads or streams disturb each other"


def at_once(calls: Sequence[Callable[[Any], Any]], parts: Sequence[Any], repeats: int) -> list[Any]:
    """What each call makes of its part, the last of some times, all at once: in threads and on streams of their own."""
    found: list[Any] = [None] * len(calls)

    def work(index: int) -> None:
        with torch.cuda.stream(torch.cuda.Stream()):
            for _ in range(repeats):
                found[index] = calls[index](parts[index])

    threads = [threading.Thread(target=work, args=(index,)) for index in range(len(calls))]
    torch.cuda.synchronize()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    torch.cuda.synchronize()
    return found


def difference(found: Any, wanted: Any) -> float:
    """The largest difference over the largest element; infinite where shape, infinities or NaN differ."""
    if found.shape != wanted.shape:
        return float("inf")
    found, wanted = found.double(), wanted.double()
    finite = wanted.isfinite()
    if not torch.equal(found[~finite].nan_to_num(), wanted[~finite].nan_to_num()) or not finite.any():
        return float("inf")
    gap, scale = (found[finite] - wanted[finite]).abs().max(), wanted[finite].abs().max()
    return float(gap / scale) if scale else float(gap)


def as_tuple(results: Any) -> tuple[Any, ...]:
    return results if isinstance(results, tuple) else (results,)


def load_module(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def outcome(folder: Path, name: str) -> str:
    """Empty, or what went wrong."""
    try:
        check(folder, name)
    except Exception:
        return traceback.format_exc()
    return ""


def outcomes(folder: Path, names: list[str], processes: int, end: float) -> Iterator[tuple[str, str]]:
    """What came of each case, as it is done. Compiling takes longest, on the CPU: several processes share the GPU."""
    pool = ProcessPoolExecutor(processes, mp_context=get_context("spawn"))
    running = {pool.submit(outcome, folder, name): name for name in names}
    try:
        for done in as_completed(running, max(end - time.monotonic(), 0)):
            yield running[done], repr(done.exception()) if done.exception() else done.result()
    except TimeoutError:
        for unfinished, name in running.items():
            if not unfinished.done():
                yield name, LATE
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
        for worker in active_children():
            worker.terminate()


def main() -> int:
    """All cases, networks first; the failures last. One that leaves the GPU in disorder fails those after it as well:
    what failed is tried once more, each in a process of its own."""
    folder, minutes = Path(sys.argv[1]), float(sys.argv[2]) if len(sys.argv) > 2 else 9.0
    end = time.monotonic() + 60 * minutes
    names = sorted(cases(folder), key=lambda name: not name.startswith("net_"))
    failures: dict[str, str] = {}
    for name, text in outcomes(folder, names, 8, end):
        print(f"{'FAILED' if text else 'ok':6} {name}", flush=True)
        if text:
            failures[name] = text
    for name in failures:
        ((_, text),) = outcomes(folder, [name], 1, end)
        if text != LATE:
            failures[name] = text
            print(f"{'FAILED' if text else 'ok':6} {name}, alone", flush=True)
    left = [f"{name}: {text.strip().splitlines()[-1]}" for name, text in failures.items() if text]
    print(f"{len(left)} failed on {torch.cuda.get_device_name()}", *left, sep="\n")
    return 1 if left else 0


if __name__ == "__main__":
    sys.exit(main())

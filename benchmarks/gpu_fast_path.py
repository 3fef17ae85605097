"""The share of dense arithmetic that Hopper's matrix units do: `python benchmarks/gpu_fast_path.py`.

Every kernel of a pass in float16 is compiled ahead of time for sm_90: PyTorch and Triton are needed, and no GPU. What
wgmma does not do is listed with the reason; `--write` keeps the table in `results/`. Takes half an hour on one core.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

from gpu_modules import EXAMPLES, NETS

import netdsl
from netdsl.codegen.triton.aot import Compiled, load_module, sweep, without_wgmma

RESULTS = Path(__file__).parent / "results" / "fast-path.md"
ARCH = 90
HEAD = """# What runs on Hopper's matrix units

Written by `python benchmarks/gpu_fast_path.py --write`: float16, every kernel of a pass compiled for sm_90 by Triton
{}. Nothing was run. Registers are of a thread; depthwise convolutions are no dense arithmetic, and wait for memory.
"""
COLUMNS = ("net", "batch", "kernels", "spills", "most registers", "most shared bytes", "share by wgmma", "the rest")


def row(name: str, batch: int, path: Path) -> tuple[str, ...]:
    """A net's line of the table."""
    module = load_module(path)
    items = list(sweep(module, [ARCH], [batch]))
    share, slow = without_wgmma(module, items)
    total = sum(slow.values()) / (1 - share) if slow else 1
    rest = [f"{macs / total:.1%} {layer}: {reason(layer, items)}" for layer, macs in slow.items()]
    return (
        name,
        str(batch),
        str(len(items)),
        str(sum(item.stack > 0 for item in items)),
        str(max(item.registers for item in items)),
        str(max(item.shared for item in items)),
        f"{share:.1%}",
        "; ".join(rest),
    )


def reason(layer: str, items: Sequence[Compiled]) -> str:
    """Why another unit does a layer."""
    (item,) = (item for item in items if layer in item.layers and not item.wgmma)
    if not item.mma:
        return f"`{item.kernel}` has no product"
    rows = int(item.tile.split("x")[0])
    return f"`{item.kernel}` by mma, {f'{rows} rows at once, of 64 for wgmma' if rows < 64 else item.tile}"


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("nets", nargs="*", help=f"some of {', '.join(NETS)}; all by default")
    parser.add_argument("--batch", type=int, nargs="+", default=[1, 128])
    parser.add_argument("--write", action="store_true", help="keep the table in results/")
    options = parser.parse_args()
    lines = [f"| {' | '.join(COLUMNS)} |", "|---" * len(COLUMNS) + "|"]
    print(*lines, sep="\n")
    with tempfile.TemporaryDirectory() as folder:
        for name in options.nets or NETS:
            file, shape = NETS[name]
            path = Path(folder) / f"{name}.py"
            netdsl.load(EXAMPLES / file, net=name, shape=shape).compile(backend="triton", dtype="float16").write(path)
            for batch in options.batch:
                lines.append(f"| {' | '.join(row(name, batch, path))} |")
                print(lines[-1], flush=True)
    if options.write:
        head = HEAD.format(metadata.version("triton"))
        RESULTS.write_text("\n".join((head, *lines)) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

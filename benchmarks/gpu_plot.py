"""Draws what `gpu.py` measured: `python benchmarks/gpu_plot.py benchmarks/results/gpu-....jsonl`. Needs no GPU.

A group of bars for each row: ours, the best correct other, and the limit, which is computed and so is drawn as a line.
The picture (SVG) stands beside the results, under their name. What a cost model predicts has no place in it.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

COLOURS = {"netdsl": "#4878a8", "best other": "#d08848"}
LEFT, SCALE, THICK = 230, 420, 10


def bars(row: dict[str, Any]) -> dict[str, tuple[float, str]]:
    """Milliseconds of ours and of the best correct other, each with its label; empty where ours was not measured."""
    timed = {who: x["ms"][1] for who, x in row.get("contenders", {}).items() if "ms" in x and "wrong" not in x}
    if "netdsl" not in timed:
        return {}
    own = timed.pop("netdsl")
    found = {"netdsl": (own, f"{own:.3f} ms")}
    if timed:
        who = min(timed, key=timed.__getitem__)
        found["best other"] = (timed[who], f"{timed[who]:.3f} ms, {who} ({timed[who] / own:.2f} x ours)")
    return found


def plot(rows: list[dict[str, Any]], title: str) -> str:
    """The picture. Bars of a row are shares of its longest, so that batch 1 and 128 can both be read."""
    parts, y = [], 60
    for row in rows:
        found = bars(row)
        if not found:
            continue
        longest = max(ms for ms, _ in found.values())
        label = f"{row['net']}, {row['dtype']}, batch {row['batch']}"
        parts.append(f'<text x="{LEFT - 8}" y="{y + 14}" text-anchor="end">{label}</text>')
        for who, (ms, text) in found.items():
            width = ms / longest * SCALE
            parts.append(f'<rect x="{LEFT}" y="{y}" width="{width:.0f}" height="{THICK}" fill="{COLOURS[who]}"/>')
            parts.append(f'<text x="{LEFT + width + 4:.0f}" y="{y + 9}" font-size="9">{text}</text>')
            y += THICK + 1
        if "limit_ms" in row:
            at = LEFT + row["limit_ms"] / longest * SCALE
            top = y - len(found) * (THICK + 1) - 2
            parts.append(f'<line x1="{at:.0f}" y1="{top}" x2="{at:.0f}" y2="{y + 1}" stroke="#222" stroke-width="2"/>')
        y += 9
    keys = [
        f'<rect x="{LEFT + 110 * place}" y="32" width="10" height="10" fill="{colour}"/>'
        f'<text x="{LEFT + 110 * place + 14}" y="41">{who}</text>'
        for place, (who, colour) in enumerate(COLOURS.items())
    ]
    keys.append(f'<text x="{LEFT + 220}" y="41">| limit of the layers, computed</text>')
    body = "\n".join([f'<text x="10" y="18" font-size="13">{title}</text>', *keys, *parts])
    size = f'width="{LEFT + SCALE + 330}" height="{y + 10}"'
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="sans-serif" font-size="11">\n'
        f'<rect width="100%" height="100%" fill="#fff"/>\n{body}\n</svg>\n'
    )


def main(path: Path) -> None:
    """Write the picture beside the results."""
    about, *lines = map(json.loads, path.read_text(encoding="utf-8").splitlines())
    rows = list({(row["net"], row["dtype"], row["batch"]): row for row in lines if bars(row)}.values())
    title = f"{about['device']}, PyTorch {about['torch']}, Triton {about['triton']}: milliseconds of a pass"
    path.with_suffix(".svg").write_text(plot(rows, title), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))

"""Draws what `cpu.py` measured: `python benchmarks/cpu_plot.py benchmarks/results/cpu-....json`.

The picture (SVG) stands beside the results, under their name.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

TITLE = "Time of netdsl's NumPy modules over that of others (median; below 1 is faster)"


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


def write_plot(path: Path) -> None:
    """Draw a file of results."""
    rows = json.loads(path.read_text(encoding="utf-8"))["rows"]
    path.with_suffix(".svg").write_text(plot(rows, TITLE), encoding="utf-8")


if __name__ == "__main__":
    write_plot(Path(sys.argv[1]))

"""Prewitt's and Sobel's filters on a picture of axes: each answers to lines of its own direction only."""

from pathlib import Path

import numpy as np
from pictures import Array, picture, shown

import netdsl

AXES = """
...#.....
...#.....
...#.....
...#.....
...#.....
...#.....
#########
...#.....
...#.....
"""
PREWITT = np.array([[-1, 0, 1], [-1, 0, 1], [-1, 0, 1]], np.float32)
SOBEL = np.array([[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]], np.float32)
FILTERS = {
    "Prewitt, upright edges": PREWITT,
    "Prewitt, level edges": PREWITT.T,
    "Sobel, upright edges": SOBEL,
    "Sobel, level edges": SOBEL.T,
}


def run(image: Array) -> Array:
    """A picture 9 x 9 under each filter, 4 x 7 x 7."""
    net = netdsl.load(str(Path(__file__).with_name("edges.net")))
    return net.run(image[None, None], {"edges.weight": np.stack(list(FILTERS.values()))[:, None]})[0]


if __name__ == "__main__":
    for name, edges in zip(FILTERS, run(picture(AXES)), strict=True):
        print(f"{name}:\n{shown(edges)}\n")

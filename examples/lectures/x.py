"""The X on nine by nine pixels, ink 1 and paper -1, filtered by its own diagonals and crossing, then pooled."""

from pathlib import Path

import numpy as np
from pictures import Array, picture, shown

import netdsl

X = """
.........
.#.....#.
..#...#..
...#.#...
....#....
...#.#...
..#...#..
.#.....#.
.........
"""
FEATURES = {
    "the falling diagonal": "#.. .#. ..#",
    "the crossing": "#.# .#. #.#",
    "the rising diagonal": "..# .#. #..",
}


def run() -> tuple[Array, Array]:
    """The picture under each feature, 3 x 7 x 7, and that pooled, 3 x 4 x 4. A perfect match is 1."""
    net = netdsl.load(str(Path(__file__).with_name("x.net")))
    kernels = np.stack([picture(feature, paper=-1) / 9 for feature in FEATURES.values()])
    filtered, pooled = net.run(picture(X, paper=-1)[None, None], {"filtered.weight": kernels[:, None]})
    return filtered[0], pooled[0]


if __name__ == "__main__":
    for name, filtered, pooled in zip(FEATURES, *run(), strict=True):
        print(f"{name}:\n{shown(filtered, 2)}\npooled:\n{shown(pooled, 2)}\n")

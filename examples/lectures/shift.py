"""The same shape at two places: the map moves as the shape did (equivariance), what was found stays (invariance)."""

from pathlib import Path

import numpy as np
from pictures import Array, picture, shown

import netdsl

SHAPE = picture("###. #..# #..# ###.")
FILTERS = np.random.default_rng(0).standard_normal((4, 1, 3, 3)).astype(np.float32)


def run(top: int, left: int) -> tuple[Array, Array]:
    """The map, 4 x 12 x 12, and what was found, 4, of the shape at a place that leaves a margin of one pixel."""
    net = netdsl.load(str(Path(__file__).with_name("shift.net")))
    image = np.zeros((1, 1, 12, 12), np.float32)
    image[..., top : top + 4, left : left + 4] = SHAPE
    map_, found = net.run(image, {"conv.weight": FILTERS})
    return map_[0], found[0]


if __name__ == "__main__":
    (before, found), (after, found_after) = run(1, 2), run(5, 6)
    print("the strongest answer of each filter (row, column), and its value:")
    for a, b, x, y in zip(before, after, found, found_after, strict=True):
        places = [np.unravel_index(m.argmax(), m.shape) for m in (a, b)]
        print(*(f"({row}, {column})" for row, column in places), shown(np.array([[x, y]]), 2), sep="  ")

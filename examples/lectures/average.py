"""Average pooling as a depthwise convolution whose four weights are all a quarter."""

from pathlib import Path

import numpy as np
from pictures import Array

import netdsl


def run(image: Array) -> tuple[Array, Array]:
    """An image 3 x 6 x 8, averaged and convolved: both 3 x 3 x 4."""
    net = netdsl.load(str(Path(__file__).with_name("average.net")))
    averaged, convolved = net.run(image[None], {"convolved.weight": np.full((3, 1, 2, 2), 1 / 4, np.float32)})
    return averaged[0], convolved[0]


if __name__ == "__main__":
    averaged, convolved = run(np.random.default_rng(0).random((3, 6, 8), np.float32))
    print("equal to six decimals:", np.allclose(averaged, convolved, rtol=0, atol=1e-6))

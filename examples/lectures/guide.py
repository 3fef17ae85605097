"""Figure 1.1 of Dumoulin & Visin: nine numbers by hand, and the mistake of flipping the kernel."""

from pathlib import Path

import numpy as np
from pictures import Array, shown

import netdsl

IMAGE = np.array(
    [[3, 3, 2, 1, 0], [0, 0, 1, 3, 1], [3, 1, 2, 2, 3], [2, 0, 0, 2, 2], [2, 0, 0, 0, 1]],
    np.float32,
)
KERNEL = np.array([[0, 1, 2], [2, 2, 0], [0, 1, 2]], np.float32)


def convolve(kernel: Array) -> Array:
    """The image under a kernel, 3 x 3."""
    net = netdsl.load(str(Path(__file__).with_name("guide.net")))
    return net.run(IMAGE[None, None], {"conv.weight": kernel[None, None]})[0, 0]


if __name__ == "__main__":
    print("as networks do it (cross-correlation):")
    print(shown(convolve(KERNEL)))
    print("flipped, as in signal processing, which is another answer:")
    print(shown(convolve(KERNEL[::-1, ::-1].copy())))

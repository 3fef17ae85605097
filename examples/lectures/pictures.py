"""What the scripts here share: pictures as text, numbers as text."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]


def picture(text: str, paper: float = 0.0, ink: float = 1.0) -> Array:
    """A picture drawn with `#` (ink) on `.` (paper), H x W."""
    return np.array([[ink if mark == "#" else paper for mark in line] for line in text.split()], np.float32)


def shown(image: NDArray[Any], decimals: int = 0) -> str:
    """Numbers in columns; digits after the last one kept are cut off, as lecture slides do."""
    cut = np.trunc(np.round(image * 10**decimals, 3)) / 10**decimals + 0.0
    texts = [[f"{value:.{decimals}f}" for value in row] for row in cut]
    width = max(len(text) for row in texts for text in row)
    return "\n".join(" ".join(text.rjust(width) for text in row) for row in texts)

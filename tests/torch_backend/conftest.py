"""Graphs, weights and inputs of other tests serve here too: their folders join the path as pytest would put them."""

import sys
from pathlib import Path

for folder in ("numpy_backend", "passes", "examples", "random_nets", "reference"):
    sys.path.append(str(Path(__file__).parents[1] / folder))

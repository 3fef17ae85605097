"""The random nets serve here too: their folders join the path as pytest would put them there."""

import sys
from pathlib import Path

for folder in ("random_nets", "reference"):
    sys.path.append(str(Path(__file__).parents[1] / folder))

"""Small nets of the pass tests serve here too: their folder joins the path as pytest would put it there."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1] / "passes"))

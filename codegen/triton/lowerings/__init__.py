"""Lowerings by family: each takes a site and adds launches to the planner. `LOWERINGS` is in `table.py`."""

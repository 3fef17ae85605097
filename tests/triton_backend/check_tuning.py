"""Run by a test in a folder with `net.py` and its weights, under Triton's interpreter, with clocks that are made up."""

from __future__ import annotations

import json
import math
import os
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

sys.path.insert(0, os.getcwd())
import net  # type: ignore[import-not-found]

target = int(sys.argv[1])
BOXES = target == 90
WEIGHTS = "net.safetensors"
Tile = dict[str, Any]


def fresh(launch: Callable[..., None] | None = None) -> Any:
    model = net.load(WEIGHTS, target=target)
    model.launch = launch or model.launch
    return model


def clock(cost: Callable[[Tile], float]) -> Callable[[Callable[[], object]], float]:
    """Time by the constants of the launches, of which none is made."""

    def measure(work: Callable[[], object]) -> float:
        del seen[:]
        made.append(False)
        work()
        made.pop()
        assert seen
        return sum(map(cost, seen))

    return measure


seen: list[Tile] = []
made: list[bool] = []
usual = net.launch


def watched(layer: str, kernel: Any, programs: int, *arguments: Any, **constants: Any) -> None:
    if made:
        seen.append(constants)
    else:
        usual(layer, kernel, programs, *arguments, **constants)


def far(tile: Tile) -> float:
    """Microseconds that grow with the distance from one tile, the best."""
    wanted = {"BN": 128, "num_stages": 3, "BK": 16} | ({"SPLIT": 2} | ({"num_warps": 8} if BOXES else {"BM": 64}))
    return 1 + sum(abs(math.log2(tile.get(name, 1) / best)) for name, best in wanted.items())


def numbers(tile: tuple[Any, ...]) -> Tile:
    rows, columns, depth, warps, stages, split = tile
    return {"BM": rows, "BN": columns, "BK": depth, "num_warps": warps, "num_stages": stages, "SPLIT": split}


inputs = [torch.randn((2, 16, 2, 4), generator=torch.Generator().manual_seed(0))]
# The search goes to the best tile step by step.
path = "tuned.json"
net.tune_file(fresh(watched), inputs, path, clock=clock(far))
first = json.loads(Path(path).read_text())
winners = first["tiles"]
assert first["device"] == "interpreter"
chains = [shape for shape in net.WORK if "BC" in net.SHAPES[shape]]
shapes = chains or list(net.WORK)
assert [winner["shape"] for winner in winners] == shapes
for winner in winners:
    assert isinstance(winner["tile"][0], list) == BOXES, winner
    assert far(numbers(winner["tile"])) == (2 if chains else 1), winner
    assert winner["after_us"] < winner["before_us"]


# Tiles that give other results, write too little, or fail, are never taken, however fast.
BAD = 64 if chains else 128  # columns of no tile that the model chose


def spoil(how: str, layer: str, kernel: Any, programs: int, *arguments: Any, **tile: Any) -> None:
    bad = tile.get("BN") == BAD
    watched(layer, kernel, programs // 2 if bad and how == "short" else programs, *arguments, **tile)
    if bad and not made and how == "wrong":
        y = arguments[kernel.arg_names.index("y")]
        y = y if isinstance(y, torch.Tensor) else y.base
        y.view(-1)[0] += 0.1


def failing(tile: Tile) -> float:
    if tile["BN"] == BAD:
        raise RuntimeError("out of resource: shared memory")
    return far(tile)


def only_bad(tile: Tile) -> float:
    return 1.0 if tile["BN"] == BAD else 2.0


for how, cost in (("wrong", only_bad), ("short", only_bad), ("none", failing)):
    winners = net.tune(fresh(partial(spoil, how)), inputs, clock(cost))
    assert all(winner["tile"][1] != BAD for winner in winners), (how, winners)

# A clock that finds everything equal changes nothing; one that cannot measure stops at once.
for winner in net.tune(fresh(watched), inputs, lambda work: 5.0):
    assert winner["tile"] == [tile for least, tile in net.TILES[target][winner["shape"]] if least <= 2][-1]
with pytest.raises(net.ModelError, match="timing needs an NVIDIA GPU"):
    net.tune(fresh(watched), inputs)

# Every neighbour of a tile that is allowed is allowed, and has the tile as a neighbour.
for shape, entries in net.TILES[target].items():
    for tile in (tile for _, tile in entries if tile):
        for other in net.near(shape, tile):
            assert net.allowed(shape, other), other
            assert tile in net.near(shape, other) or not net.allowed(shape, tile), (tile, other)

# The file: written whole or not at all; other batches are added to it, other devices and nets are not.
for time in (5.0, 6.0):
    net.tune_file(fresh(watched), [inputs[0][:1]], path, clock=lambda work, time=time: time)
second = json.loads(Path(path).read_text())
assert [(item["shape"], item["samples"]) for item in second["tiles"]] == [(s, n) for n in (2, 1) for s in shapes]
assert second["tiles"][-1]["after_us"] == 6.0


def refused(text: bytes, said: str) -> None:
    Path(path).write_bytes(text)
    with pytest.raises(net.ModelError, match=said):
        net.tune_file(fresh(watched), inputs, path, clock=lambda work: 5.0)
    assert Path(path).read_bytes() == text


refused(json.dumps(first | {"device": "NVIDIA H200"}).encode(), "its device is NVIDIA H200, here interpreter")
refused(json.dumps(first | {"net": "Other"}).encode(), "its net is Other, here")
for text in (b"", b"[" * 100_000, b"[]", b"\xff", b"{}", json.dumps(first | {"tiles": [{}]}).encode()):
    refused(text, "not a file of tuned tiles; replace it with --force")
net.tune_file(fresh(watched), inputs, path, force=True, clock=lambda work: 5.0)
assert [item["before_us"] for item in json.loads(Path(path).read_text())["tiles"]] == [5.0] * len(shapes)
Path(path).write_text(json.dumps(first))
with pytest.raises(net.ModelError, match=r"cannot write none/tuned\.json: No such file or directory"):
    net.tune_file(fresh(watched), inputs, "none/tuned.json", clock=lambda work: 5.0)
assert not list(Path().glob("*.part"))

# The profile: every layer once, in order, with its share of the limit and what was predicted.
net.profile(fresh(watched), [inputs[0][:1]], lambda work: 20.0 if work() is not None else 0.0)

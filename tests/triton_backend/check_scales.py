"""Run by a test in a folder with `eights.py`, its weights and two files of inputs, under Triton's interpreter."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

sys.path.insert(0, os.getcwd())
import eights  # type: ignore[import-not-found]

WEIGHTS, SCALES = "eights.safetensors", "eights.scales.json"
x = torch.from_numpy(np.concatenate([np.load("few.npy"), np.load("more.npy")]))
plain = eights.load(WEIGHTS)
calibrated = eights.load(WEIGHTS)
calibrated.calibrate(x)
wanted = calibrated(x)
assert not torch.equal(plain(x), wanted)

# The script calibrates by all samples of all files, and uses what it wrote.
script = ["--weights", WEIGHTS]
assert eights.main([*script, "--calibrate", "few.npy", "x=more.npy"]) == 0
assert torch.equal(eights.load(WEIGHTS, scales=SCALES)(x), wanted)
for options, name in ((["--scales", SCALES], "scaled.npy"), ([], "plain.npy")):
    assert eights.main([*script, *options, "--input", "few.npy", "--output", name]) == 0
assert np.array_equal(np.load("scaled.npy"), wanted[:1].numpy())
assert np.array_equal(np.load("plain.npy"), plain(x[:1]).numpy())
text = Path(SCALES).read_text()
found = json.loads(text)
eights.save_scales(calibrated, "again.json")
assert Path("again.json").read_text() == text
assert sorted(found["scales"]) == sorted(eights.SCALES) != []

# What the script refuses, it refuses in a line, and the file stays.
np.save("small.npy", np.zeros((1, 8, 2, 2), np.float32))
for arguments, status in (
    (["--calibrate", "few.npy"], 2),
    (["--calibrate", "y=few.npy", "--force"], 2),
    (["--calibrate", ".", "--force"], 2),
    (["--calibrate", "none.npy", "--force"], 1),
    (["--calibrate", "few.npy", "small.npy", "--force"], 1),
    (["--scales", "none.json", "--input", "few.npy"], 1),
):
    assert eights.main([*script, *arguments]) == status, arguments
assert Path(SCALES).read_text() == text


def refused(said: str, data: bytes, weights: str = WEIGHTS) -> None:
    Path("bad.json").write_bytes(data)
    with pytest.raises(eights.ModelError, match=said):
        eights.load(weights, scales="bad.json")


first, *others = found["scales"]
rest = {name: found["scales"][name] for name in others}
for junk in (b"", b"\xff", b"[" * 100_000, b"[]", b"3", b"{}", json.dumps(found | {"scales": 3}).encode()):
    refused("not a file of float8 scales", junk)
refused("not a file of float8 scales", json.dumps(found | {"format": "netdsl tuned tiles 2"}).encode())
refused("its net is Other, here Eights", json.dumps(found | {"net": "Other"}).encode())
refused(f"has no {first}; calibrate again", json.dumps(found | {"scales": rest}).encode())
refused("has a more; calibrate again", json.dumps(found | {"scales": found["scales"] | {"more": 1.0}}).encode())
for scale in (0.0, -1.0, 3.0, 2.0**30, float("nan"), float("inf"), True, "1", None, 10**400):
    refused(f"{first} is ", json.dumps(found | {"scales": rest | {first: scale}}).encode())
tensors = load_file(WEIGHTS)
tensors["last.bias"][0] += 1
save_file(tensors, "other.safetensors")
refused("made with other weights than these; calibrate again", text.encode(), "other.safetensors")
with pytest.raises(eights.ModelError, match="not an ordinary file"):
    eights.load(WEIGHTS, scales=Path())
with pytest.raises(eights.ModelError, match="there are no samples"):
    calibrated.calibrate(x[:0])
with pytest.raises(eights.ModelError, match="no tiles for target 80, but for 90, 89"):
    eights.load(WEIGHTS, target=80)

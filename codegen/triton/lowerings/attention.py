"""Attention between projected sequences, as one kernel that never stores the scores (Dao et al. 2022)."""

from __future__ import annotations

from math import e, log2, sqrt

from netdsl.codegen.triton.index import row_stride
from netdsl.codegen.triton.kernels import AttentionKernel, Call
from netdsl.codegen.triton.lowerings.spatial import times
from netdsl.codegen.triton.planner import Planner, kernel_stem
from netdsl.codegen.triton.site import Site
from netdsl.codegen.triton.tiling import power_above
from netdsl.ops.attention import Attend, parts


def attend(planner: Planner, site: Site) -> None:
    """A program takes a tile of queries of one head through all keys that they may see."""
    op = site.op
    assert isinstance(op, Attend)
    assert not site.tail
    tensors, mask = parts(tuple([value.type for value in site.operands]))
    q, kv = tensors[0], tensors[-1]
    queries, width = site.result.type.shape
    depth, packed = width // op.heads, len(tensors) == 1
    hidden = hidden_ok = ""
    if mask:
        hidden, hidden_ok = f"n * {mask.size} + key[None, :]", "key_ok[None, :]"
    if mask and mask.rank == 2:
        hidden = f"n * {mask.size} + (row * {kv.shape[0]})[:, None] + key[None, :]"
        hidden_ok = "row_ok[:, None] & key_ok[None, :]"
    spec = AttentionKernel(op.causal, hidden, hidden_ok, planner.precision, planner.element)
    tile = planner.tiling.attention(depth, planner.dtype)
    scale = log2(e) / sqrt(depth) if op.scaled else log2(e)
    constants: dict[str, float] = {
        "SCALE": scale, "HEADS": op.heads, "T": queries, "S": kv.shape[0], "D": depth,
        "QZ": row_stride(q), "QT": q.shape[1], "KZ": row_stride(kv), "KS": kv.shape[1],
        "K": width if packed else 0, "V": 2 * width if packed else width,
        "BM": tile.m, "BN": tile.n, "BD": max(power_above(depth), 16),
        "num_warps": tile.warps, "num_stages": tile.stages,
    }  # fmt: skip
    heads, count = times(op.heads, site.result.type), times(op.heads * queries, site.result.type)
    call = Call(f"{heads} * {-(-queries // tile.m)}", count, tuple(constants.items()))
    reads = (planner.read(site.operands[0]), *map(planner.read, site.operands[not packed :]))
    words = [word for word, there in (("causal", op.causal), ("masked", mask is not None)) if there]
    planner.launch(site, "attention", kernel_stem("attention", *words), spec, reads, call)

"""The order of the passes, and why."""

from __future__ import annotations

from netdsl.passes.dead_code import DeadCode
from netdsl.passes.expand import Expand
from netdsl.passes.fold_batch_norm import FoldBatchNorm
from netdsl.passes.fuse import Fuse
from netdsl.passes.hoist import Hoist
from netdsl.passes.layout import AssignLayout
from netdsl.passes.manager import Pass
from netdsl.passes.merge_equal import MergeEqual
from netdsl.passes.simplify import Simplify
from netdsl.passes.split_batch_norm import SplitBatchNorm

OPTIMIZE: tuple[Pass, ...] = (
    # Operators that are made of others become those, which everything below knows.
    Expand(),
    # What does nothing at inference goes first: a dropout between a convolution and its norm would hide the pair.
    Simplify(),
    # What weights alone decide leaves the graph that runs for every input.
    Hoist(),
    # Two equal values become one with two users, which the passes below must see.
    MergeEqual(),
    # Dead nodes would count as users, and keep a norm from folding.
    DeadCode(),
    # A norm right after a layer costs nothing inside it. Needs single users, so after the two above.
    FoldBatchNorm(),
    # The norms that are left become elementwise, so that they fuse like everything else.
    SplitBatchNorm(),
    # Last, for nothing looks inside a fused node.
    Fuse(),
)
"""For every backend. Values stay channels first."""

CHANNELS_LAST: tuple[Pass, ...] = (
    *OPTIMIZE,
    # After fusion, so that a chain takes its anchor's layout as a whole, and no copy comes between its parts.
    AssignLayout(),
)
"""For backends whose kernels read feature maps channels last."""

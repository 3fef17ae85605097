"""Batch norm that nothing absorbed, as one multiplication and one addition, which fuse like any others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from netdsl.ir.graph import Graph
from netdsl.ir.rewrite import Rewriter
from netdsl.ops.elementwise import Add
from netdsl.ops.norm import BatchNorm
from netdsl.ops.shape import Reshape
from netdsl.passes.fold_batch_norm import affine_form
from netdsl.passes.manager import Remarks


@dataclass(frozen=True)
class SplitBatchNorm:
    """Turns every `bn` into `mul` and `add` with one number a channel, worked out in the prelude.

    As in DenseNet, where norms come before convolutions, or after an addition.
    """

    name: ClassVar[str] = "split-batch-norm"

    def run(self, graph: Graph, remarks: Remarks) -> Graph:
        """The graph without `bn`."""
        rewriter = Rewriter(graph)
        for node in graph.nodes:
            now = rewriter.current(node)
            if not isinstance(now.op, BatchNorm):
                rewriter.add(now)
                continue
            # bn(x) = s x + t
            x = now.inputs[0]
            form = affine_form(rewriter, now)
            spread = Reshape((x.type.shape[0], *(1,) * (x.type.rank - 1)))
            factor, offset = form.factor, form.offset(rewriter, now)
            if x.type.rank > 1:
                factor = rewriter.make(spread, (factor,), f"{now.name}.spread", now, prelude=True)
                offset = rewriter.make(spread, (offset,), f"{now.name}.spread", now, prelude=True)
            scaled = rewriter.make(form.times, (x, factor), f"{now.name}.scaled", now, layout=x.type.layout)
            shifted = rewriter.make(Add(), (scaled, offset), now.name, now, layout=x.type.layout)
            rewriter.stand_for(node.outputs[0], shifted)
        return rewriter.finish()

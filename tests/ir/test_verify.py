"""The verifier catches every fault that is planted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from netdsl.ir.build import GraphBuilder
from netdsl.ir.graph import Graph, InvalidGraph, Node, Parameter, Value
from netdsl.ir.verify import verify
from netdsl.ops.activation import Relu
from netdsl.ops.base import ONES
from netdsl.ops.conv import Conv
from netdsl.ops.elementwise import Add, Scale
from netdsl.passes.fuse import Fuse
from netdsl.passes.manager import Remarks, run_passes
from netdsl.tensor import Layout, TensorType


def sound() -> Graph:
    builder = GraphBuilder("sound")
    x = builder.input("x", TensorType((3, 8, 8)))
    w = builder.parameter("w", (3, 1, 1), ONES)
    (s,) = builder.node(Scale(2.0), (w,), name="scaled", prelude=True)
    (y,) = builder.node(Add(), (x, s), name="add")
    (y,) = builder.node(Conv(4, (3,), padding=(1,)), (y,), name="conv")
    (y,) = builder.node(Relu(), (y,), name="relu")
    return builder.result("y", y).finish()


def change(graph: Graph, index: int, **fields: object) -> Graph:
    nodes = list(graph.nodes)
    nodes[index] = replace(nodes[index], **fields)  # type: ignore[arg-type]
    return replace(graph, nodes=tuple(nodes))


def wrong_shape(graph: Graph) -> Graph:
    return change(graph, 2, outputs=(Value("relu", TensorType((4, 8, 9))),))


def wrong_batch(graph: Graph) -> Graph:
    return change(graph, 2, outputs=(Value("relu", TensorType((4, 8, 8), batch=0)),))


def used_before_definition(graph: Graph) -> Graph:
    return replace(graph, nodes=(graph.nodes[1], graph.nodes[0], graph.nodes[2]))


def of_another_graph(graph: Graph) -> Graph:
    return change(graph, 0, inputs=(sound().inputs[0], graph.nodes[0].inputs[1]))


def missing_weight(graph: Graph) -> Graph:
    return change(graph, 1, inputs=graph.nodes[1].inputs[:-1])


def too_many_inputs(graph: Graph) -> Graph:
    return change(graph, 2, inputs=graph.nodes[2].inputs * 2)


def too_few_operands(graph: Graph) -> Graph:
    return change(graph, 0, inputs=graph.nodes[0].inputs[:1])


def misshapen_weight(graph: Graph) -> Graph:
    wrong = Value("conv.weight", TensorType((4, 3, 3, 2), batch=0))
    parameters = tuple(replace(p, value=wrong) if p.value.name == wrong.name else p for p in graph.parameters)
    x, _, bias = graph.nodes[1].inputs
    return change(replace(graph, parameters=parameters), 1, inputs=(x, wrong, bias))


def weight_with_batch(graph: Graph) -> Graph:
    extra = Parameter(Value("extra", TensorType((3,))), ONES)
    return replace(graph, parameters=(*graph.parameters, extra))


def defined_twice(graph: Graph) -> Graph:
    return replace(graph, nodes=(*graph.nodes, graph.nodes[0]))


def named_twice(graph: Graph) -> Graph:
    again = Node(Relu(), graph.outputs, (Value("relu", graph.outputs[0].type),), "again")
    return replace(graph, nodes=(*graph.nodes, again))


def not_resolved(graph: Graph) -> Graph:
    return change(graph, 1, op=Conv(4, (3,), padding=(1,)))


def refused_operands(graph: Graph) -> Graph:
    return change(graph, 1, op=replace(graph.nodes[1].op, groups=2))  # type: ignore[call-arg]


def undefined_result(graph: Graph) -> Graph:
    return replace(graph, results=(*graph.results, ("z", Value("z", TensorType((3,))))))


def equal_results(graph: Graph) -> Graph:
    return replace(graph, results=graph.results * 2)


def prelude_on_inputs(graph: Graph) -> Graph:
    out = Value("early", graph.inputs[0].type)
    return replace(graph, prelude=(*graph.prelude, Node(Relu(), graph.inputs, (out,), "early")))


def mixed_layouts(graph: Graph) -> Graph:
    value = graph.nodes[2].outputs[0]
    laid = Value("relu", value.type._replace(layout=Layout.CHANNELS_LAST))
    return replace(change(graph, 2, outputs=(laid,)), results=(("y", laid),))


def fused_wrongly(graph: Graph) -> Graph:
    fused = Fuse().run(graph, Remarks())
    body = fused.nodes[-1].op.body  # type: ignore[attr-defined]
    broken = replace(body, results=(("y", body.nodes[0].outputs[0]),))
    return change(fused, -1, op=replace(fused.nodes[-1].op, body=broken))  # type: ignore[call-arg]


FAULTS: dict[Callable[[Graph], Graph], str] = {
    wrong_shape: "makes (f32[N,4,8,8]), but its results are",
    wrong_batch: "makes (f32[N,4,8,8]), but its results are",
    used_before_definition: "node conv reads %add before it is defined",
    of_another_graph: "node add reads %x before it is defined",
    missing_weight: "node conv needs the weights",
    too_many_inputs: "node relu needs the weights ()",
    too_few_operands: "add takes 2 to any number of operands",
    misshapen_weight: "node conv needs the weights",
    weight_with_batch: "the weight %extra: f32[N,3] depends on the sample",
    defined_twice: "node add defines %add a second time",
    named_twice: "node again takes the name %relu",
    not_resolved: "node conv is not resolved",
    refused_operands: "node conv refuses its operands",
    undefined_result: "result z is %z, which nothing defines",
    equal_results: "two results have the same name",
    prelude_on_inputs: "node early reads %x before it is defined",
    mixed_layouts: "node relu mixes storage orders",
    fused_wrongly: "is not its last value",
}


def test_sound() -> None:
    verify(sound())


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_planted_faults(fault: Callable[[Graph], Graph]) -> None:
    with pytest.raises(InvalidGraph) as caught:
        verify(fault(sound()))
    assert FAULTS[fault] in str(caught.value)
    assert "graph sound(" in str(caught.value), "the graph is printed"


def test_the_pass_is_named() -> None:
    class Breaks:
        name = "breaks"

        def run(self, graph: Graph, remarks: Remarks) -> Graph:
            return wrong_shape(graph)

    with pytest.raises(InvalidGraph, match=r"^after breaks: node relu makes"):
        run_passes(sound(), (Breaks(),))

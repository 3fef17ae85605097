"""Who is timed on a GPU: a generated module, and PyTorch in every configuration that may be the fastest.

Each contender is prepared for one batch of samples: `prepare(inputs)` gives a function without arguments that queues
one pass over these inputs and returns its result. CUDA-graphed ones are captured once for each of the inputs.
"""

from __future__ import annotations

import copy
import operator
from collections.abc import Callable
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.fx.experimental.optimization import fuse

Pass = Callable[[], Tensor]
Prepare = Callable[[Tensor], Pass]

DTYPES = {"float16": torch.float16, "bfloat16": torch.bfloat16, "tf32": torch.float32, "float32": torch.float32}

GRAPHS = ("cudnn fused, graph", "folded NHWC, graph")
"""What takes seconds to prepare, and has won on one network or another: measured first."""
STRONGEST = (*GRAPHS, "compile max-autotune")
"""The same with what takes minutes."""


def with_usual_norms(model: nn.Module) -> nn.Module:
    """The model with PyTorch's own batch norms, which its tools know, in place of a class derived from theirs."""
    for name, child in model.named_children():
        if isinstance(child, nn.modules.batchnorm._BatchNorm):
            norm = nn.BatchNorm2d(child.num_features, child.eps)
            norm.load_state_dict(child.state_dict(), strict=False)  # it counts batches too
            setattr(model, name, norm)
        else:
            with_usual_norms(child)
    return model


def generated(module: ModuleType, state: dict[str, Tensor]) -> Prepare:
    """The generated module, captured."""
    device = module.usable(torch.device("cuda"))
    model = module.Model({name: state[name].float() for name in module.WEIGHTS}, device)

    def prepare(x: Tensor) -> Pass:
        captured = model.capture(len(x))
        captured.inputs[0].copy_(x)

        def run() -> Tensor:
            captured.replay()
            return captured.outputs[0]

        return run

    return prepare


def baselines(model: nn.Module, dtype: str) -> dict[str, Callable[[], Prepare]]:
    """PyTorch's configurations by name, each made when it is asked for; the strongest first."""
    kind = DTYPES[dtype]
    last = torch.channels_last

    def cast(source: nn.Module, layout: torch.memory_format = last) -> nn.Module:
        return copy.deepcopy(source).to("cuda", kind, memory_format=layout).eval()

    def folded() -> nn.Module:
        norms = any(isinstance(part, nn.modules.batchnorm._BatchNorm) for part in model.modules())
        return fuse(copy.deepcopy(model).eval()) if norms else copy.deepcopy(model)

    def compiled(mode: str, backends: str) -> Callable[[], Prepare]:
        return lambda: _compiled(cast(model), mode, backends)

    return {
        "cudnn fused, graph": lambda: _graphed(cudnn_fused(cast(folded())), last),
        "folded NHWC, graph": lambda: _graphed(cast(folded()), last),
        "compile max-autotune": compiled("max-autotune", "ATEN"),
        "compile max-autotune, Triton convolutions": compiled("max-autotune", "ATEN,TRITON"),
        "compile reduce-overhead": compiled("reduce-overhead", "ATEN"),
        "compile": compiled("default", "ATEN"),
        "eager NHWC": lambda: _direct(cast(model), last),
        "eager NCHW": lambda: _direct(cast(model, torch.contiguous_format), torch.contiguous_format),
    }


def _input(x: Tensor, model: nn.Module, layout: torch.memory_format) -> Tensor:
    """A batch as a model takes it: its element type, and its layout where the batch has maps."""
    x = x.to(next(model.parameters()).dtype)
    return x.contiguous(memory_format=layout) if x.ndim == 4 else x


def _direct(model: nn.Module, layout: torch.memory_format) -> Prepare:
    """Kernels launched one by one, as PyTorch's users run it."""

    def prepare(x: Tensor) -> Pass:
        given = _input(x, model, layout)
        return lambda: model(given)

    return prepare


def _graphed(model: nn.Module, layout: torch.memory_format) -> Prepare:
    """All launches of a pass as one CUDA graph."""

    def prepare(x: Tensor) -> Pass:
        given = _input(x, model, layout)
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(3):  # cuDNN measures its algorithms, which must not happen while a graph is recorded
                model(given)
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            result = model(given)

        def replay() -> Tensor:
            graph.replay()
            return result

        return replay

    return prepare


def _compiled(model: nn.Module, mode: str, backends: str) -> Prepare:
    """torch.compile with frozen weights: Inductor folds batch norms into them."""
    from torch._inductor import config

    config.freezing = True
    config.max_autotune_conv_backends = backends
    torch._dynamo.reset()
    fast = torch.compile(model, mode=mode)

    def prepare(x: Tensor) -> Pass:
        given = _input(x, model, torch.channels_last)
        # Spares a CUDA-graphed pass the copy of its input; a guard would compile anew for each of the batches.
        torch._dynamo.mark_static_address(given, guard=False)
        for _ in range(3):
            fast(given)
        return lambda: fast(given)

    return prepare


# cuDNN computes convolution + bias + (residual) + relu in one kernel, but no front end of PyTorch asks it to.


def cudnn_fused(model: nn.Module) -> nn.Module:
    """A folded model whose relus, and adds before them, are done by the convolutions' own kernels."""
    try:
        traced = fx.symbolic_trace(model)
    except (TypeError, RuntimeError, fx.proxy.TraceError) as problem:
        raise ValueError(f"torch.fx cannot trace it: {problem}") from problem
    modules = dict(traced.named_modules())
    for node in list(traced.graph.nodes):
        if not _is_relu(node, modules):
            continue
        source = node.args[0]
        if _is_conv(source, modules) and len(source.users) == 1:
            _replace(
                traced.graph, node, modules[source.target], (source.args[0],), torch.ops.aten.cudnn_convolution_relu
            )
        elif _is_add(source) and len(source.users) == 1:
            # The convolution that runs last is the one that can take the other side along.
            order = {other: index for index, other in enumerate(traced.graph.nodes)}
            sides = sorted(source.args[:2], key=lambda side: order[side], reverse=True)
            own = next((side for side in sides if _is_conv(side, modules) and len(side.users) == 1), None)
            if own is not None:
                other = sides[1 - sides.index(own)]
                fused = torch.ops.aten.cudnn_convolution_add_relu
                _replace(traced.graph, node, modules[own.target], (own.args[0], other), fused)
    traced.graph.eliminate_dead_code()
    traced.recompile()
    return traced


def _replace(graph: fx.Graph, relu: fx.Node, conv: nn.Conv2d, given: tuple[fx.Node, ...], fused: Any) -> None:
    """Put the fused operator in the relu's place."""
    settings = (list(conv.stride), list(conv.padding), list(conv.dilation), conv.groups)
    x, *others = given

    def run(x: Tensor, *others: Tensor) -> Tensor:
        joined = (others[0], 1.0) if others else ()
        return fused(x, conv.weight, *joined, conv.bias, *settings)

    with graph.inserting_after(relu):
        new = graph.call_function(run, (x, *others))
    relu.replace_all_uses_with(new)
    graph.erase_node(relu)


def _is_relu(node: fx.Node, modules: dict[str, nn.Module]) -> bool:
    if node.op == "call_module":
        return isinstance(modules[node.target], nn.ReLU)
    return node.op == "call_function" and node.target in (torch.relu, nn.functional.relu)


def _is_conv(node: Any, modules: dict[str, nn.Module]) -> bool:
    return isinstance(node, fx.Node) and node.op == "call_module" and type(modules[node.target]) is nn.Conv2d


def _is_add(node: Any) -> bool:
    return isinstance(node, fx.Node) and node.op == "call_function" and node.target in (operator.add, torch.add)

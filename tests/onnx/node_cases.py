"""The onnx package's backend tests of single nodes: which of them are looked at, and what becomes of each.

The operators and cases were written down before any was run; `python tests/onnx/node_cases.py` runs them all and
rewrites `docs/onnx-node-tests.md`.
"""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

from netdsl.codegen.numpy.backend import compile_graph
from netdsl.diagnostics import NetError
from netdsl.limits import DEFAULT_LIMITS
from netdsl.onnx.read.file import import_onnx, parse_model
from netdsl.onnx.read.model import read_parsed
from netdsl.onnx.read.ports import Port, Reading
from netdsl.reference.interpret import interpret
from netdsl.tensor import DType
from netdsl.tensorfile import pack

TABLE = Path(__file__).parents[2] / "docs" / "onnx-node-tests.md"

FAMILIES = {
    "convolution": "Conv ConvTranspose",
    "pooling": "AveragePool MaxPool GlobalAveragePool GlobalMaxPool LpPool MaxUnpool",
    "normalisation": "BatchNormalization InstanceNormalization LayerNormalization GroupNormalization LRN "
    "LpNormalization MeanVarianceNormalization RMSNormalization",
    "activation": "Relu LeakyRelu PRelu Elu Selu Celu Gelu HardSigmoid HardSwish Mish Sigmoid Tanh Softplus Softsign "
    "Softmax LogSoftmax Hardmax ThresholdedRelu Shrink Swish Clip",
    "element-wise": "Abs Acos Acosh Asin Asinh Atan Atanh Cos Cosh Sin Sinh Tan Add Sub Mul Div Pow Max Min Mean Sum "
    "Neg Exp Log Sqrt Erf Ceil Floor Round Reciprocal Sign Where",
    "shape": "Concat DepthToSpace SpaceToDepth Expand Flatten Pad Reshape Slice Split Squeeze Unsqueeze Tile Transpose "
    "Gather",
    "reduction": "ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum "
    "ReduceSumSquare",
    "resize": "Resize Upsample",
    "matmul": "MatMul Gemm",
    "attention": "Attention RotaryEmbedding",
}
"""Operators by family. Cases called `..._expanded` repeat another case by its definition and are left out."""

PASSED = "passed"
BFLOAT16 = 1 / 64
"""How far steps that are each rounded to 8 bits may lead from steps that are not."""


class Case(NamedTuple):
    """One test of the package: a model of one node, with inputs and outputs."""

    name: str
    family: str
    operator: str
    model: Any
    inputs: tuple[Any, ...]
    outputs: tuple[Any, ...]
    rtol: float
    atol: float


class Verdict(NamedTuple):
    """`passed`, or why not; `bound` are the inputs that were given as constants, for they settle weights or shapes."""

    text: str
    bound: tuple[str, ...] = ()


@cache
def cases() -> tuple[Case, ...]:
    """All cases of the families, in the order of the families and of the package."""
    import_onnx()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the package's own cases divide by zero and overflow
        from onnx.backend.test.loader import load_model_tests

        found = load_model_tests(kind="node")
    families = {operator: family for family, operators in FAMILIES.items() for operator in operators.split()}
    order = list(families)
    kept = []
    for test in found:
        nodes = test.model.graph.node
        if len(nodes) == 1 and nodes[0].op_type in families and not test.name.endswith("_expanded"):
            inputs, outputs = test.data_sets[0]
            operator = nodes[0].op_type
            kept.append(
                Case(
                    test.name.removeprefix("test_"),
                    families[operator],
                    operator,
                    test.model,
                    tuple(inputs),
                    tuple(outputs),
                    test.rtol,
                    test.atol,
                )
            )
    return tuple(sorted(kept, key=lambda case: order.index(case.operator)))


def readings(case: Case) -> Iterator[tuple[Reading, dict[str, Any], tuple[str, ...]]]:
    """Ways to read a case: all inputs as inputs; whole numbers as constants; all inputs but the first as constants."""
    names = [value.name for value in case.model.graph.input]
    given = dict(zip(names, case.inputs, strict=True))
    whole = tuple(name for name in names[1:] if np.asarray(given[name]).dtype == np.int64)
    model = parse_model(import_onnx(), case.model.SerializeToString(), case.name, ".", DEFAULT_LIMITS)
    refusal: NetError | None = None
    for bound in dict.fromkeys(((), whole, tuple(names[1:]))):
        try:
            constants = {name: as_numbers(given[name]) for name in bound}
            reading = read_parsed(model, "Case", {}, constants)
        except NetError as error:
            refusal = error
            continue
        yield reading, given, bound
        return
    assert refusal is not None
    raise refusal


def as_numbers(array: Any) -> Any:
    """Half precision as float32; the rest as it is."""
    array = np.asarray(array)
    return array.astype(np.float32) if array.dtype.name in ("float16", "bfloat16") else array


def fed(reading: Reading, given: dict[str, Any], dtype: Any) -> dict[str, Any]:
    """The inputs as the net takes them: samples along the first axis."""
    arrays = {port: np.asarray(given[port.onnx]).astype(dtype) for port in reading.inputs}
    count = next((len(array) for port, array in arrays.items() if port.batch_axis == 0), 1)
    shapes = {value.name: value.type.shape for value in reading.graph.inputs}
    return {
        port.name: array
        if port.batch_axis == 0
        else np.broadcast_to(array.reshape(shapes[port.name]), (count, *shapes[port.name])).copy()
        for port, array in arrays.items()
    }


def seen(port: Port, array: Any, shape: tuple[int, ...]) -> Any:
    """An output as ONNX has it."""
    if port.batch_axis is None:
        return array[0].reshape(shape)
    return np.moveaxis(array.reshape(len(array), *array.shape[1:]), 0, min(port.batch_axis, array.ndim - 1)).reshape(
        shape
    )


def disagreement(case: Case, reading: Reading, results: tuple[Any, ...]) -> str:
    """Where the results differ from the package's, or nothing."""
    for port, array, wanted in zip(reading.outputs, results, case.outputs, strict=True):
        wanted = np.asarray(wanted)
        if array[:1].size * (len(array) if port.batch_axis is not None else 1) != wanted.size:
            return f"the output {port.onnx} has another size"
        found = seen(port, array, wanted.shape)
        if wanted.dtype.kind in "iub":
            if not np.array_equal(found.astype(np.float64), wanted.astype(np.float64)):
                return f"the output {port.onnx} differs"
            continue
        found = found.astype(wanted.dtype).astype(np.float64)
        wide = wanted.astype(np.float64)
        finite = np.isfinite(wide)
        largest = np.abs(wide[finite]).max(initial=0)
        limit = np.maximum(2e-5 * largest, case.rtol * np.abs(np.where(finite, wide, 0)) + case.atol)
        same = np.array_equal(found[~finite], wide[~finite], equal_nan=True)
        if not same or (np.abs(found[finite] - wide[finite]) > limit[finite]).any():
            return f"the output {port.onnx} differs"
    return ""


def dtype_of(case: Case) -> Any:
    """What a case is computed in: float64 where it has float64 or large whole numbers."""
    kinds = {np.asarray(array).dtype.name for array in case.inputs}
    return np.float64 if "float64" in kinds else np.float32


def verdict(case: Case) -> Verdict:
    """Read the case and run it on the reference and on the NumPy module."""
    dtype = dtype_of(case)
    try:
        reading, given, bound = next(readings(case))
    except NetError as error:
        return Verdict(error.diagnostics[0].message.split(": ", 1)[-1])
    inputs = fed(reading, given, dtype)
    results = interpret(reading.graph, inputs, reading.weights, dtype)
    found = load_module(reading, dtype)(*(inputs[value.name] for value in reading.graph.inputs))
    compiled = found if isinstance(found, tuple) else (found,)
    for which, arrays in (("reference", results), ("NumPy module", compiled)):
        wrong = disagreement(case, reading, arrays)
        rounded = "bfloat16" in {np.asarray(array).dtype.name for array in case.outputs}
        if wrong and rounded and not disagreement(case._replace(rtol=BFLOAT16), reading, arrays):
            return Verdict(
                "computed in float32: where bfloat16 rounds between the steps, it differs by 1 in 64 at most"
            )
        if wrong:
            return Verdict(f"WRONG on the {which}: {wrong}")
    return Verdict(PASSED, bound)


def document(found: dict[str, Verdict]) -> str:
    """The checked-in table."""
    rows, totals = [], []
    for family in FAMILIES:
        mine = [case for case in cases() if case.family == family]
        passed = sum(found[case.name].text == PASSED for case in mine)
        totals.append(f"| {family} | {passed} | {len(mine)} |")
        rows += [f"\n## {family.capitalize()}\n", "| operator | case | verdict |", "|---|---|---|"]
        for case in mine:
            text, bound = found[case.name]
            note = f"; bound: {', '.join(f'`{name}`' for name in bound)}" if bound else ""
            rows.append(f"| {case.operator} | {case.name} | {text}{note} |")
    passed = sum(verdict.text == PASSED for verdict in found.values())
    totals.append(f"| all | {passed} | {len(found)} |")
    return "\n".join([HEAD, "| family | passed | cases |", "|---|---|---|", *totals, *rows]) + "\n"


HEAD = """# The onnx package's node tests

Written by `python tests/onnx/node_cases.py`; `tests/onnx/test_onnx_nodes.py` holds every line of it. The cases are all
of these operators that the package (1.23.2) has, but for those called `..._expanded`, which repeat another by its
definition. A case passes where reading it gives a graph with which both the reference interpreter and the NumPy module
give the outputs that the package ships, within its own tolerance or 2e-5 of the largest element.

The first axis of the inputs is taken as the batch; where that fails, the whole case is one sample. Whole numbers and
truth values are real numbers in the net; half precision is computed in float32. `bound` names inputs that were given
as constants: they are weights, or settle shapes, which in a program are known. Everything else says why it cannot be
expressed.
"""


def load_module(reading: Reading, dtype: Any) -> Any:
    """The NumPy module of a graph, with its weights."""
    source = compile_graph(reading.graph, DType.FLOAT64 if dtype is np.float64 else DType.FLOAT32).source
    module = ModuleType("node_case")
    exec(compile(source, "node_case.py", "exec"), module.__dict__)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "weights.safetensors"
        path.write_bytes(pack({name: array.astype(dtype) for name, array in reading.weights.items()}))
        return module.load(str(path))


def main() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = {case.name: verdict(case) for case in cases()}
    TABLE.write_text(document(found))
    for name, (text, _) in found.items():
        if text != PASSED:
            print(name, text)


if __name__ == "__main__":
    main()

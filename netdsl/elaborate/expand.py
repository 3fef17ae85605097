"""Expansion of a net: its parameters, its statements, its results."""

from __future__ import annotations

from collections.abc import Mapping

from netdsl import codes
from netdsl.diagnostics import Frame, Label, Report
from netdsl.elaborate import calls
from netdsl.elaborate.caller import Namespaces
from netdsl.elaborate.context import Context
from netdsl.elaborate.initial import initial
from netdsl.elaborate.links import Linker
from netdsl.elaborate.mistakes import Mistake
from netdsl.elaborate.values import POISON, Datum, Family, Poison, SharedLayer, WordRef, kind
from netdsl.ir.build import GraphBuilder
from netdsl.ir.graph import Value
from netdsl.limits import Limits
from netdsl.source import Span
from netdsl.syntax import ast
from netdsl.tensor import DType, TensorType

_DTYPES = {None: DType.FLOAT32, "int": DType.INT64, "bool": DType.BOOL}


class Expander(Linker):
    """Expands one net. Mistakes go to the report, and what depends on them is POISON.

    named   the tensors that the program gives names to, and where.
    """

    def __init__(
        self,
        net: ast.Definition,
        namespaces: Namespaces,
        shapes: Mapping[str, tuple[int, ...]],
        training: bool,
        limits: Limits,
        report: Report,
    ) -> None:
        super().__init__(GraphBuilder(net.name.name, net.span), namespaces, training, limits, report)
        self.net = net
        self.shapes = shapes
        self.named: dict[Value, Span] = {}
        self._outputs: list[tuple[str, Value]] = []
        self._has_output = False
        self._reported: set[tuple[str, Span]] = set()

    def run(self, settings: Mapping[str, object]) -> None:
        """Expand the whole net into `self.builder`, and declare its results."""
        context = self.new_context(self.net, Frame(self.net.name.name))
        try:
            place = self.net.name.span
            given = [(name, self._setting(name, value, context), place) for name, value in settings.items()]
            calls.bind_parameters(self.net, (), given, self.net.name.span, context, self.evaluate)
        except Mistake as mistake:
            return self.mistake(mistake, context)
        self.active.append(self.net)
        self.body(self.net.body, context)
        self.end(context)
        if not self._has_output:
            try:
                self._results(context.it_name or "output", context.it, context)
            except Mistake as mistake:
                self.mistake(mistake, context)
        for name, value in self._outputs:
            self.builder.result(name, value)
        return None

    def _setting(self, name: str, value: object, context: Context) -> Datum:
        """A parameter of the net as its caller gives it: an expression of the command line, or a plain value."""
        if isinstance(value, ast.Expr):
            try:
                return self.evaluate(value, context)
            except Mistake as mistake:
                if mistake.code.is_limit:
                    raise
                help = mistake.help
                if help is None and isinstance(value, ast.Name):
                    help = f"""a text stands in quotes: `--set '{name}="{value.name}"'`"""
                raise Mistake(codes.BAD_OPTION, mistake.message, value.span, help=help) from None
        if isinstance(value, int) and value.bit_length() > self.limits.integer_bits:
            message = f"`{name}` is a whole number of more than {self.limits.integer_bits} bits, which is the limit"
            raise Mistake(codes.NUMBER_TOO_LARGE, message, self.net.name.span)
        if isinstance(value, bool | int | float | str):
            return value
        if isinstance(value, list | tuple):
            return [self._setting(name, item, context) for item in value]
        raise Mistake(
            codes.BAD_VALUE,
            f"a parameter is a number, a string, a boolean or a list, not {type(value).__name__}",
            self.net.name.span,
        )

    def _results(self, name: str, value: Datum | None, context: Context) -> None:
        if isinstance(value, Poison):
            return
        if value is None:
            raise Mistake(codes.NO_VALUE, f"the net `{self.net.name.name}` has no result", self.net.name.span)
        if isinstance(value, Family):
            for keys, member in value.members.items():
                self._results(".".join([name, *map(str, keys)]), member, context)
        elif isinstance(value, Value):
            if value.type.batch > 1:
                raise Mistake(
                    codes.BAD_OPERANDS,
                    f"`{name}` is made inside `each`, once for each of {value.type.batch} rows",
                    self.layers.made_at.get(value, self.net.name.span),
                    help="an output is what a whole `each` makes: `each { ... } as name`",
                )
            self._outputs.append((name, value))
        else:
            raise Mistake(codes.BAD_OPERANDS, f"an output is a tensor, but this is {kind(value)}", self.net.name.span)

    def body(self, body: ast.Body, context: Context) -> None:
        """Expand the statements of a body, in order. A mistake in one does not stop the next."""
        self.spend("statements", len(body.statements), body.span, context)
        for statement in body.statements:
            if isinstance(statement, ast.Chain):
                self.chain(statement, context)
                continue
            try:
                self._statement(statement, context)
            except Mistake as mistake:
                self.mistake(mistake, context)
                self._poison(statement, context)

    def mistake(self, mistake: Mistake, context: Context) -> None:
        """Report a mistake; one that a block makes in every expansion is told once."""
        key = (mistake.code, mistake.label.span)
        if key not in self._reported:
            self._reported.add(key)
            self.report.add(mistake.diagnostic(context.frame))

    def _poison(self, statement: ast.Statement, context: Context) -> None:
        name = getattr(statement, "target", None) or getattr(statement, "name", None)
        if isinstance(name, ast.Name | ast.Target) and context.scope.find(name.name) is None:
            context.scope.set(name.name, POISON, name.span)
        if isinstance(statement, ast.Input) and context.it is None:
            context.it = POISON

    def _statement(self, statement: ast.Statement, context: Context) -> None:
        match statement:
            case ast.Let():
                self._let(statement, context)
            case ast.Input():
                self._input(statement, context)
            case ast.Param():
                self._param(statement, context)
            case ast.Share():
                self._share(statement, context)
            case ast.Assert():
                self._assert(statement, context)
            case ast.Output():
                self._output(statement, context)
            case ast.Chain():
                self.chain(statement, context)

    def _let(self, let: ast.Let, context: Context) -> None:
        if isinstance(let.value, ast.Chain):
            before, name = context.it, context.it_name
            self.chain(let.value, context)
            value = context.it
            context.it, context.it_name = before, name
            assert value is not None
        else:
            value = self.evaluate(let.value, context)
        self.bind(let.target, value, context, "let")

    def bind(self, target: ast.Target, value: Datum, context: Context, what: str) -> None:
        """Give a name, or a member of a family, its value."""
        if target.name == "it":
            raise Mistake(
                codes.RESERVED_NAME, "`it` is the current tensor, so nothing can be given this name", target.span
            )
        if not isinstance(value, Value | Family | Poison):
            self.reserve(target.name, target.span, "a number or a list")
        if target.keys:
            context.scope.add(target.name, self.keys(target.keys, context), value, target.span)
        else:
            context.scope.set(target.name, value, target.span, what)
        if isinstance(value, Value):
            self.named.setdefault(value, target.span)

    def _input(self, item: ast.Input, context: Context) -> None:
        name = item.target.name
        if context.definition.kind == "block":
            if item.target.keys:
                raise Mistake(
                    codes.WRONG_PLACE,
                    "a block takes a family as a whole, by its name",
                    item.target.span,
                    help=f"write `input {name}`; a call passes the family, `{name}=...`",
                )
            if name not in context.extra:
                raise Mistake(
                    codes.MISSING_ARGUMENT,
                    f"the block `{context.definition.name.name}` needs its input `{name}`",
                    context.frame.span or item.span,
                    secondary=(Label(item.span, "declared here"),),
                    help=f"pass it by name: `{context.definition.name.name}(..., {name}=...)`",
                )
            value = calls.block_input(context.extra[name], name)
            context.scope.set(name, value, item.target.span, "input")
            return
        shape = self._input_shape(item, context)
        if shape is None:
            self.bind(item.target, POISON, context, "input")
            context.it = POISON if context.it is None else context.it
            return
        if item.target.keys:
            name = self.target_name(item.target, context)
        tensor = self.builder.input(name, TensorType(shape, _DTYPES[item.dtype]))
        self.layers.made_at[tensor] = item.span
        self.bind(item.target, tensor, context, "input")
        if context.it is None:
            context.it = tensor

    def _input_shape(self, item: ast.Input, context: Context) -> tuple[int, ...] | None:
        given = None if item.target.keys else self.shapes.get(item.target.name)
        if given is None:
            if item.shape is None:
                raise Mistake(
                    codes.MISSING_ARGUMENT,
                    f"the input `{item.target.name}` of a net needs its shape",
                    item.span,
                    help=f"write it after a colon: `input {item.target.name}: 3x224x224`",
                )
            extents = self.extents(item.shape, context)
            if extents is None:
                return None
            given = tuple(extent for extent in extents if extent is not None)
            if len(given) < len(extents):
                name = item.target.name
                raise Mistake(
                    codes.BAD_VALUE,
                    "`?` stands only in shapes that are checked",
                    item.shape.span,
                    help=f"give a size, or a parameter of the net; callers change it by `--shape {name}=...`",
                )
        if min(given, default=1) < 1:
            name = item.target.name
            raise Mistake(
                codes.BAD_VALUE, f"the extents of `{name}` are at least 1, but one is {min(given)}", item.span
            )
        self.layers.check_elements(given, "the input", item.span)
        if len(given) > self.limits.rank:
            raise Mistake(
                codes.RANK_TOO_HIGH, f"a tensor of {len(given)} axes, past the limit of {self.limits.rank}", item.span
            )
        return given

    def _param(self, param: ast.Param, context: Context) -> None:
        self._limit_rank(param.shape)
        extents = self.extents(param.shape, context)
        if extents is None:
            return self.bind(param.target, POISON, context, "param")
        shape = tuple(extent for extent in extents if extent is not None)
        if len(shape) < len(extents):
            raise Mistake(codes.BAD_VALUE, "`?` stands only in shapes that are checked", param.shape.span)
        init = initial(param.init, shape, lambda expression: self.evaluate(expression, context))
        local = self.target_name(param.target, context)
        value = self.layers.parameter(local, shape, init, param.span, context)
        return self.bind(param.target, value, context, "param")

    def _limit_rank(self, shape: ast.ShapeExpr) -> None:
        if len(shape.extents) > self.limits.rank:
            raise Mistake(
                codes.RANK_TOO_HIGH,
                f"a tensor of {len(shape.extents)} axes, past the limit of {self.limits.rank}",
                shape.span,
            )

    def _share(self, share: ast.Share, context: Context) -> None:
        call = self.settle(share.step, context)
        if call is None:
            context.scope.set(share.name.name, POISON, share.name.span)
            return
        if isinstance(call.target, WordRef) and call.positional:
            raise Mistake(
                codes.BAD_OPERANDS,
                "a shared layer is declared without tensors; it takes them where it is called",
                share.step.span,
                help=f"declare `share {share.name.name} = {share.step.word} ...` and call `{share.name.name}(x)`",
            )
        _, weights = context.layer(share.name.name + context.loops)
        context.scope.set(share.name.name, SharedLayer(call, weights), share.name.span, "share")

    def _assert(self, check: ast.Assert, context: Context) -> None:
        if self.condition(check.condition, context, "what `assert` checks") is False:
            message = "the assertion does not hold"
            if check.message is not None:
                message = calls.fill(check.message, lambda expression: self.evaluate(expression, context), self.limits)
            raise Mistake(codes.ASSERTION, message, check.span, check.condition.span.text)

    def _output(self, output: ast.Output, context: Context) -> None:
        if context.definition.kind == "block":
            raise Mistake(
                codes.WRONG_PLACE,
                "`output` names the results of a net; a block's result is its last tensor",
                output.span,
                help="end the block with the tensor or the family itself",
            )
        self._has_output = True
        for expression in output.values:
            try:
                name = expression.name if isinstance(expression, ast.Name) else "it"
                if name != "it" and context.scope.find(name) is None:
                    raise calls.unknown_tensor(name, expression.span, context)
                self._results(calls.output_name(expression), self.evaluate(expression, context), context)
            except Mistake as mistake:
                self.mistake(mistake, context)

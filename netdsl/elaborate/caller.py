"""Calling layers: what a step calls with its own values worked out; operators, blocks and shared layers."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import replace

from netdsl import codes
from netdsl.diagnostics import Code, Frame, Label, Report
from netdsl.elaborate import calls, spellings
from netdsl.elaborate.context import Context
from netdsl.elaborate.evaluate import Evaluator
from netdsl.elaborate.layers import Layers, Operand, count_tensors, operands_by_name, operands_of
from netdsl.elaborate.lower import Given, Poisoned, assign, field_values, is_literal
from netdsl.elaborate.mistakes import Mistake
from netdsl.elaborate.names import local_names, mentioned
from netdsl.elaborate.scope import Scope
from netdsl.elaborate.values import POISON, Binding, BlockRef, Call, Datum, Poison, SharedLayer, WordRef
from netdsl.ir.build import GraphBuilder
from netdsl.limits import Limits
from netdsl.ops import BY_WORD
from netdsl.ops.base import Op
from netdsl.source import Span
from netdsl.syntax import ast

_CALL_DEPTH = 100
Namespaces = Mapping[ast.Definition, Mapping[str, ast.Definition]]


class Caller(Evaluator):
    """Calls layers, and adds what they make to the graph.

    usage   every name that a body set, by its place, and whether any expansion used it.
    """

    def __init__(
        self, builder: GraphBuilder, namespaces: Namespaces, training: bool, limits: Limits, report: Report
    ) -> None:
        super().__init__(training, limits)
        self.builder = builder
        self.report = report
        self.layers = Layers(builder, report, limits)
        self.usage: dict[Span, Binding] = {}
        self.active: list[ast.Definition] = []
        self._namespaces = namespaces
        self._local: dict[int, dict[int, str]] = {}
        self._mentioned: dict[int, frozenset[str]] = {}
        self._given: dict[int, tuple[type[Op], tuple[Given, ...]]] = {}
        self._ready: dict[int, Call] = {}
        self._steps: dict[int, ast.Step] = {}

    @abstractmethod
    def body(self, body: ast.Body, context: Context) -> None:
        """Expand the statements of a body, in order."""

    def stop(self, code: Code, what: str, span: Span, limit: str | None, context: Context) -> None:
        """Report a stated limit and end the elaboration."""
        self.layers.stop(code, what, span, limit, context)

    def call_layer(self, call: ast.Call, context: Context) -> Datum:
        """The result of a layer that an expression calls; `it` stays."""
        step = self._steps.get(id(call))
        if step is None:
            step = self._steps[id(call)] = ast.Step(call.name, call.arguments, (), (), call.name_span, call.span)
        settled = self.settle(step, context)
        if settled is None:
            return POISON
        results = self.call(settled, context.local[id(call)] + context.loops, context)
        if len(results) > 1:
            raise calls.unnamed_results(len(results), call.span)
        return results[0]

    def settle(self, step: ast.Step, context: Context) -> Call | None:
        """What a step calls, with its values worked out; None where one failed before."""
        ready = self._ready.get(id(step))
        if ready is not None and context.scope.find(step.word) is None:
            return ready
        target = self._target(step, context)
        if target is None:
            return None
        positional: list[Operand] = []
        named: list[tuple[str, Datum, Span]] = []
        op = BY_WORD[target.word] if isinstance(target, WordRef) else None
        instance: Op | None = None
        tied = ""
        if op is not None:
            calls.check_parentheses(op, step)
            try:
                settings, tied = self._tie(op, step, context)
                instance = self.operator(step, op, step.values, settings, context)
                instance = replace(instance, bias=False) if tied else instance  # type: ignore[call-arg]
            except Poisoned:
                return None
        elif step.values or step.settings:
            raise calls.values_of_block(step, target)
        for argument in step.arguments or ():
            value = self.evaluate(argument.value, context)
            if argument.name is None:
                positional.append((value, argument.span))
            elif op is not None and argument.name not in op.named:
                raise calls.named_operand(op, argument)
            else:
                named.append((argument.name, value, argument.span))
        if op is not None:
            positional += operands_by_name(op, named)
        call = Call(step.word, target, step.span, tuple(positional), tuple(named), instance, tied)
        if (
            op is not None
            and not step.arguments
            and not tied
            and all(is_literal(item) for item in self._given[id(step)][1])
        ):
            # The same in every expansion; a local name that hides the word is looked for before this is used.
            self._ready[id(step)] = call
        return call

    def _tie(self, op: type[Op], step: ast.Step, context: Context) -> tuple[Sequence[ast.Setting], str]:
        """A step's other settings, and the address of the weight that `tied=` names."""
        found = [item for item in step.settings if op.ties and item.name == "tied" and item.value is not None]
        if not found:
            return step.settings, ""
        name = found[-1].value
        layer = self.evaluate(name, context) if name is not None else None
        if isinstance(layer, Poison):
            raise Poisoned
        if not isinstance(layer, SharedLayer) or len(found) > 1:
            help = "declare it: `share words = embed ...`, then `fc vocab tied=words`"
            raise Mistake(codes.BAD_ARGUMENT, "`tied` names one shared layer", found[-1].span, help=help)
        return [item for item in step.settings if item not in found], layer.weights

    def _target(self, step: ast.Step, context: Context) -> BlockRef | WordRef | SharedLayer | None:
        word = step.word
        binding = context.scope.find(word)
        if binding is not None:
            binding.used = True
            if isinstance(binding.value, Poison):
                return None
            if isinstance(binding.value, BlockRef | WordRef | SharedLayer):
                return binding.value
            raise calls.not_a_layer(step, binding)
        if word in context.blocks:
            return BlockRef(context.blocks[word])
        if word in BY_WORD and BY_WORD[word].written:
            return WordRef(word)
        if any(item.kind == "net" and item.name.name == word for item in self._namespaces):
            message = f"`{word}` is a net, and only blocks can be steps"
            raise Mistake(codes.WRONG_PLACE, message, step.word_span, help="make its body a block that both use")
        elsewhere, standard = spellings.layer(step), spellings.block(word)
        if elsewhere or standard:
            help = f"it is called `{elsewhere}` here" if elsewhere else f'`use "{standard}"` above the net brings it'
            raise Mistake(codes.UNKNOWN_WORD, f"unknown layer `{word}`", step.word_span, help=help)
        raise self.unknown_name(word, step.word_span, context, codes.UNKNOWN_WORD)

    def operator(
        self,
        step: ast.Step | ast.Branches,
        op: type[Op],
        values: Sequence[ast.Expr],
        settings: Sequence[ast.Setting],
        context: Context,
    ) -> Op:
        """An operator with the values that a step gives it. Raises Mistake, and Poisoned where one failed before."""
        known = self._given.get(id(step))
        if known is None or known[0] is not op:
            known = self._given[id(step)] = (op, assign(op, values, settings, step.word_span))
        fields = field_values(op.word, known[1], lambda expression: self.evaluate(expression, context))
        return self.layers.operator(op, fields)

    def call(self, call: Call, local: str, context: Context) -> Sequence[Datum]:
        """The results of a settled call on `it` or on its own operands."""
        target = call.target
        if isinstance(target, SharedLayer):
            return self._call_shared(call, target, local, context)
        if isinstance(target, BlockRef):
            return (self._call_block(call, target.definition, local, context),)
        assert call.op is not None
        if call.tied:
            names = (context.layer(local)[0], call.tied)
            return self._operate_shared(call.op, call.positional, names, call.span, context)
        return self.operate(call.op, call.positional, context.layer(local), call.span, context)

    def operate(
        self,
        op: Op,
        given: Sequence[Operand],
        names: tuple[str, str],
        span: Span,
        context: Context,
    ) -> Sequence[Datum]:
        """The results of an operator on the tensors given, or on `it`."""
        self.spend("operands", sum([count_tensors(value) for value, _ in given]) + 1, span, context)
        operands = operands_of(op, given, context.it, span)
        if operands is None:
            return (POISON,)
        return self.layers.apply(op, operands, names, span, context)

    def _call_block(
        self, call: Call, definition: ast.Definition, local: str, context: Context, shared: SharedLayer | None = None
    ) -> Datum:
        if definition in self.active:
            raise Mistake(
                codes.RECURSION,
                f"the block `{definition.name.name}` uses itself",
                call.span,
                secondary=(Label(definition.name.span, "defined here"),),
                help="blocks are expanded when compiled; count with `repeat` or `for` instead",
            )
        self.spend("block_calls", 1, call.span, context)
        if len(self.active) > _CALL_DEPTH:
            what = f"more than {_CALL_DEPTH} blocks, one in another"
            self.stop(codes.NESTING_TOO_DEEP, what, call.span, None, context)
        address, weights = context.layer(local)
        inner = self.new_context(definition, Frame(calls.frame_text(definition, call), call.span, context.frame))
        inner.it = context.it
        inner.address = address
        inner.weights = shared.weights if shared else weights
        inner.shared = set() if shared else context.shared
        calls.bind_parameters(definition, call.positional, call.named, call.span, inner, self.evaluate)
        self.active.append(definition)
        try:
            self.body(definition.body, inner)
        finally:
            self.active.pop()
        self.end(inner)
        return inner.it if inner.it is not None else POISON

    def _call_shared(self, call: Call, layer: SharedLayer, local: str, context: Context) -> Sequence[Datum]:
        """Call a shared layer: its operands are the call's, its own values and weights those of its declaration."""
        inner, target = layer.call, layer.call.target
        if isinstance(target, SharedLayer):
            return self._call_shared(call, target, local, context)
        if isinstance(target, WordRef):
            assert inner.op is not None
            unknown = [place for key, _, place in call.named if key not in inner.op.named]
            if unknown:
                raise Mistake(codes.BAD_OPERANDS, f"`{call.word}` takes no tensor by this name", unknown[0])
            given = (*call.positional, *operands_by_name(type(inner.op), call.named))
            names = (context.layer(local)[0], inner.tied or layer.weights)
            return self._operate_shared(inner.op, given, names, call.span, context)
        before = context.it
        if len(call.positional) > 1:
            raise Mistake(
                codes.BAD_OPERANDS,
                f"`{call.word}` works on 1 tensor, but here are {len(call.positional)}",
                call.span,
                help="pass a block's further inputs by name",
            )
        if call.positional:
            context.it = call.positional[0][0]
        try:
            merged = Call(call.word, target, call.span, inner.positional, (*inner.named, *call.named))
            return (self._call_block(merged, target.definition, local, context, layer),)
        finally:
            context.it = before

    def _operate_shared(
        self, op: Op, given: Sequence[Operand], names: tuple[str, str], span: Span, context: Context
    ) -> Sequence[Datum]:
        """The results of an operator whose weights another layer may have made."""
        outer, context.shared = context.shared, set()
        try:
            return self.operate(op, given, names, span, context)
        finally:
            context.shared = outer

    def new_context(self, definition: ast.Definition, frame: Frame) -> Context:
        """The state in which an expansion of a definition begins."""
        return Context(definition, self._namespaces[definition], Scope(), self._names(definition), frame)

    def _names(self, definition: ast.Definition) -> dict[int, str]:
        known = self._local.get(id(definition))
        if known is None:
            known = self._local[id(definition)] = local_names(definition.body)
        return known

    def leave_out(self, body: ast.Body | None, context: Context) -> None:
        """What only the side of a choice that is not taken mentions is used all the same."""
        if body is None:
            return
        names = self._mentioned.get(id(body))
        if names is None:
            names = self._mentioned[id(body)] = frozenset(mentioned(body))
        context.scope.use(names, id(body))

    def end(self, context: Context) -> None:
        """A body ends: remember which of its names were used, over all expansions of the block."""
        for binding in context.scope.bindings():
            known = self.usage.setdefault(binding.span, binding)
            known.used = known.used or binding.used

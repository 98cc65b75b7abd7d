"""Sixteen floats at a time for Numba: the few vector operations that the kernel is made of.

LLVM turns them into the widest instructions of the processor at hand (one register of AVX-512, two
of AVX2, four of NEON). Written out, because its own vectorizer gives up where it cannot prove that
rows of a matrix do not overlap.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic, models, register_model

WIDTH = 16
"""Floats in a `Lanes` value; rows of the matrices are padded to a multiple of it."""

_FLOAT, _I8, _I32 = ir.FloatType(), ir.IntType(8), ir.IntType(32)
_VECTOR = ir.VectorType(_FLOAT, WIDTH)
_FLOAT_BYTES = 4
_EXPONENT_BIAS, _EXPONENT_SHIFT = 127, 23


class Lanes(types.Type):
    """The type of a vector of float32 that lives in registers."""

    def __init__(self) -> None:
        super().__init__(name=f"float32x{WIDTH}")


@register_model(Lanes)
class _LanesModel(models.PrimitiveModel):  # type: ignore[misc]
    def __init__(self, manager: Any, kind: Any) -> None:
        super().__init__(manager, kind, _VECTOR)


_lanes = Lanes()


def _address(context: Any, builder: Any, array_type: Any, place: Sequence[Any], kind: Any) -> Any:
    array, at = place
    data = context.make_array(array_type)(context, builder, array).data
    return builder.bitcast(builder.gep(data, [at]), kind.as_pointer())


@intrinsic
def load(_typing: Any, array: Any, at: Any) -> Any:
    """The floats from `array[at]` on; `array` is one-dimensional and contiguous."""

    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        where = _address(context, builder, signature.args[0], arguments, _VECTOR)
        value = builder.load(where)
        value.align = _FLOAT_BYTES
        return value

    return _lanes(array, types.int64), build


@intrinsic
def store(_typing: Any, array: Any, at: Any, value: Any) -> Any:
    """Writes the floats from `array[at]` on."""

    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        where = _address(context, builder, signature.args[0], arguments[:2], _VECTOR)
        builder.store(arguments[2], where).align = _FLOAT_BYTES
        return context.get_dummy_value()

    return types.void(array, types.int64, _lanes), build


@intrinsic
def zero(_typing: Any) -> Any:
    def build(_context: Any, _builder: Any, _signature: Any, _arguments: Any) -> Any:
        return ir.Constant(_VECTOR, [0.0] * WIDTH)

    return _lanes(), build


@intrinsic
def splat(_typing: Any, number: Any) -> Any:
    """The same float in every lane."""

    def build(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        undefined = ir.Constant(_VECTOR, ir.Undefined)
        first = builder.insert_element(undefined, arguments[0], ir.Constant(_I32, 0))
        everywhere = ir.Constant(ir.VectorType(_I32, WIDTH), [0] * WIDTH)
        return builder.shuffle_vector(first, undefined, everywhere)

    return _lanes(types.float32), build


@intrinsic
def fma(_typing: Any, a: Any, b: Any, c: Any) -> Any:
    """a * b + c."""

    def build(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        kind = ir.FunctionType(_VECTOR, [_VECTOR] * 3)
        function = cgutils.get_or_insert_function(builder.module, kind, f"llvm.fma.v{WIDTH}f32")
        return builder.call(function, arguments)

    return _lanes(_lanes, _lanes, _lanes), build


@intrinsic
def add(_typing: Any, a: Any, b: Any) -> Any:
    def build(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return builder.fadd(*arguments)

    return _lanes(_lanes, _lanes), build


@intrinsic
def total(_typing: Any, value: Any) -> Any:
    """The sum over the lanes."""

    def build(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        kind = ir.FunctionType(_FLOAT, [_FLOAT, _VECTOR])
        name = f"llvm.vector.reduce.fadd.v{WIDTH}f32"
        function = cgutils.get_or_insert_function(builder.module, kind, name)
        start = ir.Constant(_FLOAT, 0.0)
        return builder.call(function, [start, arguments[0]], fastmath=("reassoc",))

    return types.float32(_lanes), build


@intrinsic
def power_of_two(_typing: Any, exponent: Any) -> Any:
    """2 to an integer power from -126 to 127, by writing the exponent's bits."""

    def build(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        biased = builder.add(arguments[0], ir.Constant(_I32, _EXPONENT_BIAS))
        return builder.bitcast(builder.shl(biased, ir.Constant(_I32, _EXPONENT_SHIFT)), _FLOAT)

    return types.float32(types.int32), build


@intrinsic
def exponent_of(_typing: Any, number: Any) -> Any:
    """The largest n with 2**n <= `number`, a positive normal float."""

    def build(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        bits = builder.bitcast(arguments[0], _I32)
        shifted = builder.lshr(bits, ir.Constant(_I32, _EXPONENT_SHIFT))
        return builder.sub(shifted, ir.Constant(_I32, _EXPONENT_BIAS))

    return types.int32(types.float32), build


@intrinsic
def prefetch(_typing: Any, array: Any, at: Any) -> Any:
    """Asks for the cache line of `array[at]`, which is going to be read and written."""

    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        where = _address(context, builder, signature.args[0], arguments, _I8)
        kind = ir.FunctionType(ir.VoidType(), [_I8.as_pointer(), _I32, _I32, _I32])
        function = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
        read, keep, data = (ir.Constant(_I32, number) for number in (0, 3, 1))
        builder.call(function, [where, read, keep, data])
        return context.get_dummy_value()

    return types.void(array, types.int64), build

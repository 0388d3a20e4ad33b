"""Weights of a model on the CPU, laid out once as the library that multiplies them wants them.

torch multiplies matrices of float32 with MKL, which has to lay out the weights at every call and is slow on processors
of another make. Weights that oneDNN has packed (https://uxlfoundation.github.io/oneDNN/, "memory format propagation")
take three fifths of the time for a query of all-MiniLM-L6-v2 on an AMD EPYC, and six sevenths for batches of
documents. Torch's compiler uses the same two operators.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, TypeAlias

if TYPE_CHECKING:
    import torch

_Operator: TypeAlias = Callable[..., Any]

# They are torch's own business: without them its usual way is taken.
_PACK: Final = "_reorder_linear_weight"
_MULTIPLY: Final = "_linear_pointwise"


def packed(model: torch.nn.Module, rows: int) -> torch.nn.Module:
    """The model with the weights of its linear layers packed, for inputs of about so many rows; changes it in place.

    It stays as it is where torch comes without oneDNN, or the weights are not float32. What it computes differs by
    rounding alone. A packed model cannot be moved to another device.
    """
    import torch  # noqa: PLC0415  (takes seconds)

    operators = _operators()
    if operators is None:
        return model
    pack, multiply = operators

    class PackedLinear(torch.nn.Module):
        def __init__(self, linear: torch.nn.Linear) -> None:
            super().__init__()
            self.weight = pack(linear.weight.detach(), rows)
            self.bias = linear.bias

        def forward(self, values: torch.Tensor) -> torch.Tensor:
            product: torch.Tensor = multiply(values, self.weight, self.bias, "none", [], "")
            return product

    for name, layer in list(model.named_modules()):
        # Not subclasses: they compute something else.
        if type(layer) is torch.nn.Linear and layer.weight.dtype == torch.float32:
            parent, _, own = name.rpartition(".")
            setattr(model.get_submodule(parent), own, PackedLinear(layer))
    return model


def _operators() -> tuple[_Operator, _Operator] | None:
    import torch  # noqa: PLC0415  (takes seconds)

    known = torch.ops.mkldnn
    there = hasattr(known, _PACK) and hasattr(known, _MULTIPLY)
    if not there or not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return None
    return getattr(known, _PACK), getattr(known, _MULTIPLY)

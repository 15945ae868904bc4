"""An accelerator that is not there: torch's fake tensors carry a CUDA device and refuse to mix with CPU ones, as CUDA does.

What lies there has a shape and no numbers, and NumPy may not have it; what is copied to the CPU is random numbers, and from
there on all is real. Gradients are not computed, for autograd's engine asks for a driver.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.utils._pytree import tree_flatten

SHAPED_BY_NUMBERS = ("aten._unique2", "aten.nonzero", "aten.bincount")


@contextmanager
def pretended(*modules: nn.Module) -> Iterator[None]:
    """Inside, this machine has a CUDA device, and the weights of the modules lie on it."""
    numpy, as_tensor = torch.Tensor.numpy, torch.as_tensor

    def to_numpy(tensor: torch.Tensor, **how: Any) -> Any:
        if isinstance(tensor, FakeTensor):
            raise TypeError("can't convert cuda:0 device type tensor to numpy")
        return numpy(tensor, **how)

    def to_tensor(data: Any, *args: Any, **how: Any) -> torch.Tensor:
        return data if isinstance(data, FakeTensor) and not args and not how else as_tensor(data, *args, **how)

    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings(), _Pretence(allow_non_fake_inputs=True):
        for text in ("The .grad attribute of a Tensor", "Accessing the data pointer of FakeTensor"):  # by torch itself
            warnings.filterwarnings("ignore", text)
        patch.setattr(torch.cuda, "is_available", lambda: True)
        patch.setattr(torch.cuda, "is_bf16_supported", lambda *_, **__: True)
        patch.setattr(torch.cuda, "get_device_properties", lambda _: SimpleNamespace(major=9))
        patch.setattr(torch, "as_tensor", to_tensor)
        patch.setattr(torch.Tensor, "numpy", to_numpy)
        patch.setattr(torch.Tensor, "backward", _backward)
        patch.setattr(torch.autograd, "grad", _grad)
        patch.setattr(nn.Module, "_apply", _apply)
        for module in modules:
            module.to("cuda")
        yield


class _Pretence(FakeTensorMode):
    """Fakes what touches the device, and nothing else."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs, name = kwargs or {}, str(func)
        flat, _ = tree_flatten((args, kwargs))
        fakes = [part for part in flat if isinstance(part, FakeTensor)]
        wanted = {part.type for part in flat if isinstance(part, torch.device)}
        if not fakes and "cuda" not in wanted:
            return func(*args, **kwargs)
        if "cpu" in wanted and name.startswith("aten._to_copy"):
            return _numbers(fakes[0], kwargs.get("dtype"))
        if not fakes and name.startswith("aten._to_copy"):
            return self._there(args[0], kwargs.get("dtype"))
        if name.startswith("aten._local_scalar_dense"):
            return _numbers(fakes[0]).item()
        if name.startswith(SHAPED_BY_NUMBERS):
            found = func(_numbers(fakes[0]), *args[1:], **kwargs)
            return tuple(map(self._there, found)) if isinstance(found, tuple) else self._there(found)
        return super().__torch_dispatch__(func, types, args, kwargs)

    def _there(self, like: torch.Tensor, dtype: torch.dtype | None = None) -> torch.Tensor:
        with self:
            return torch.empty(like.shape, dtype=dtype or like.dtype, device="cuda")


def _numbers(like: torch.Tensor, dtype: torch.dtype | None = None) -> torch.Tensor:
    """Some of its shape: in [0, 1), or true, or 0."""
    shape, dtype = tuple(like.shape), dtype or like.dtype
    if dtype.is_floating_point:
        return torch.rand(shape).to(dtype)
    return torch.full(shape, dtype == torch.bool, dtype=dtype)


def _apply(self: nn.Module, change: Any, recurse: bool = True) -> nn.Module:
    """`Module._apply` with new parameters: a fake one cannot be put in a real one's place."""
    for child in self.children():
        child._apply(change)
    for name, parameter in self._parameters.items():
        if parameter is not None:
            with torch.no_grad():
                self._parameters[name] = nn.Parameter(change(parameter), parameter.requires_grad)
    for name, buffer in self._buffers.items():
        if buffer is not None:
            self._buffers[name] = change(buffer)
    return self


def _grad(outputs: Any, inputs: Any, *_: Any, **__: Any) -> tuple[torch.Tensor, ...]:
    return tuple(torch.zeros_like(part) for part in ([inputs] if isinstance(inputs, torch.Tensor) else inputs))


def _backward(self: torch.Tensor, *_: Any, **__: Any) -> None:
    assert self.requires_grad, "the loss has no gradient"

"""An accelerator that is not there: torch's fake tensors carry a CUDA device and refuse to mix with CPU ones, as CUDA does."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch._subclasses.fake_tensor import FakeTensorMode


@contextmanager
def pretended(*modules: torch.nn.Module) -> Iterator[None]:
    """Inside, the weights of the modules lie on a CUDA device, without values; what is computed has shapes and devices only."""
    with FakeTensorMode(allow_non_fake_inputs=True):
        for module in {part for whole in modules for part in whole.modules()}:
            for name, parameter in list(module._parameters.items()):
                if parameter is not None:
                    module._parameters[name] = torch.nn.Parameter(_there(parameter), parameter.requires_grad)
            for name, buffer in list(module._buffers.items()):
                if buffer is not None:
                    module._buffers[name] = _there(buffer)
        yield


def _there(tensor: torch.Tensor) -> torch.Tensor:
    return torch.empty(tensor.shape, dtype=tensor.dtype, device="cuda")

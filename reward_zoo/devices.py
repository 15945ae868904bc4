"""Where networks run: the machine's accelerator if it has one, else so many cores."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from reward_zoo.errors import SpecError

if TYPE_CHECKING:
    import torch


def pick_device(name: str = "auto") -> torch.device:
    """`auto` is CUDA (of several processes, each its own) or Apple's MPS where there is one, else the CPU.

    Raises:
        SpecError: no such device, or not on this machine.
    """
    import torch

    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        kind = next(kind for kind, available in there.items() if available)
        return torch.device(kind, int(os.environ.get("LOCAL_RANK", "0"))) if kind == "cuda" else torch.device(kind)
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise SpecError(f"--device {name}: no such device; give auto, cpu, cuda, cuda:1 or mps") from error
    if not there.get(device.type, False) or (device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count()):
        found = ", ".join(kind for kind, available in there.items() if available)
        raise SpecError(f"--device {name}: this machine has none; give auto, or one of {found}")
    return device


def cpu_threads() -> int:
    """How many threads this process may compute with: `OMP_NUM_THREADS`, which torch heeds too, else the cores it may use."""
    said = os.environ.get("OMP_NUM_THREADS", "")
    if said.isdigit() and int(said):
        return int(said)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1

"""Where networks run: the machine's accelerator if it has one, else so many cores."""

from __future__ import annotations

import os
from functools import cache
from typing import TYPE_CHECKING

from reward_zoo.errors import SpecError

if TYPE_CHECKING:
    import torch

# Pixels that an autoencoder takes at once: on a CPU what its caches hold (twice as fast on tiny-signs as 192 pictures at
# once), else what a GPU takes beside the networks (16 pictures of 512 × 512).
CPU_PIXELS, GPU_PIXELS = 2**17, 2**22


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


@cache
def computes_bfloat16(device: torch.device) -> bool:
    """Whether a device has bfloat16 arithmetic; elsewhere it is emulated, at a third of float32's speed on a CPU.

    CPUs have it since 2020 to 2023 (AMX or AVX512_BF16 of x86, BF16 of Arm), NVIDIA's GPUs since Ampere.
    """
    import torch

    if device.type == "cpu":
        able = torch.cpu.get_capabilities()
        return any(able.get(name) for name in ("amx_bf16", "avx512_bf16", "avx10_2", "bf16"))
    if device.type == "cuda" and torch.cuda.is_available() and not torch.version.hip:
        return torch.cuda.get_device_properties(device).major >= 8
    return True


def quick(device: torch.device, bf16: bool = True) -> torch.autocast:
    """A context in which networks run in bfloat16, where it is wanted and the device has it."""
    import torch

    return torch.autocast(device.type, torch.bfloat16, enabled=bf16 and computes_bfloat16(device))


def pictures_at_once(device: torch.device, height: int, width: int) -> int:
    """How many pictures an autoencoder takes at once."""
    return max(1, (CPU_PIXELS if device.type == "cpu" else GPU_PIXELS) // (height * width))


def cpu_threads() -> int:
    """How many threads this process may compute with: `OMP_NUM_THREADS`, which torch heeds too, else the cores it may use."""
    said = os.environ.get("OMP_NUM_THREADS", "")
    if said.isdigit() and int(said):
        return int(said)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1

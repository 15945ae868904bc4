"""What a run ran on: versions, device, and the command that started it."""

from __future__ import annotations

import os
import platform
import re
import shlex
import sys
import time
from importlib.metadata import PackageNotFoundError, version
from typing import Any

PACKAGES = ("lasro", "torch", "diffusers", "transformers", "peft", "accelerate", "numpy", "onnxruntime", "rapidocr", "easyocr")
_PASSWORD = re.compile(r"(?<=//)[^/@\s\"'\\]+(?=@)")


def environment(device: object) -> dict[str, Any]:
    """Plain JSON data; `device` is the torch device that the networks are on."""
    return {
        "command": without_passwords(shlex.join(["lasro", *sys.argv[1:]])),
        "started": time.strftime("%Y-%m-%d %H:%M:%S %z"),
        "device": _device_name(str(device)),
        "cpu": _cpu_name(),
        "cores": _cores(),
        "system": platform.platform(terse=True),
        "python": platform.python_version(),
        "packages": {name: found for name in PACKAGES if (found := _version(name))},
    }


def machine(device: object) -> str:
    """Device, processor, cores and torch in a line, for results: no two kinds of machine agree to the last digit."""
    facts = environment(device)
    return f"{facts['device']}, {facts['cpu']}, {facts['cores']} cores, torch {facts['packages']['torch']}"


def without_passwords(text: str) -> str:
    """The text, with what stands before the @ of an address taken out: reports are shared."""
    return _PASSWORD.sub("…", text)


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _device_name(device: str) -> str:
    if not device.startswith("cuda"):
        return device
    import torch

    return f"{device} ({torch.cuda.get_device_name(device)})"


def _cores() -> int | None:
    """Those this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def _cpu_name() -> str:
    try:
        with open("/proc/cpuinfo") as file:
            names = [line.split(":", 1)[1].strip() for line in file if line.startswith("model name")]
    except OSError:
        names = []
    return names[0] if names else platform.processor() or platform.machine()

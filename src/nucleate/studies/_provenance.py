"""With what a run was made: versions, hardware, threads, memory."""

import os
import platform
import resource
import sys
from importlib.metadata import version

import psutil
import torch

_PACKAGES = ("nucleate", "torch", "transformers", "tokenizers", "numpy", "scikit-learn", "scipy")


def provenance(device: torch.device) -> dict[str, str]:
    """Versions and hardware, ready to be shown."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else _processor()
    return {
        "python": platform.python_version(),
        **{package: version(package) for package in _PACKAGES},
        "platform": f"{platform.system()} {platform.machine()}",
        "device": f"{device.type}: {name}",
        "cores": str(os.cpu_count()),
        "memory": f"{psutil.virtual_memory().total / 2**30:.0f} GiB",
        "threads": str(torch.get_num_threads()),
    }


def peak_memory_bytes() -> int:
    """The most memory that this process has held resident so far."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # Linux counts in KiB, macOS in bytes.
    return peak if sys.platform == "darwin" else peak * 1024


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:  # noqa: PTH123 - a device, no path
            names = [line.partition(":")[2].strip() for line in file if "model name" in line]
    except OSError:
        names = []
    return names[0] if names else platform.processor() or "unknown"

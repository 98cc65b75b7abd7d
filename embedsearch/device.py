"""The one place that probes hardware. torch and FAISS are imported only when they are asked."""

from __future__ import annotations

import ctypes.util
import importlib.metadata
import math
import os
import platform
import re
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from embedsearch.errors import DeviceError, InputError

_PROC = Path("/proc")
_GROUPS = Path("/sys/fs/cgroup")
_DEVICE = re.compile(r"auto|cpu|mps|cuda(:\d+)?", re.ASCII)


@dataclass(frozen=True, kw_only=True)
class Hardware:
    """What this machine offers. The last three are None where nobody looked (see `describe`)."""

    cpu_count: int
    torch_version: str | None
    best_device: str | None = None
    device_names: tuple[str, ...] | None = None
    faiss_gpus: int | None = None


def best_device() -> str:
    """The fastest device that torch can use: `cuda`, `mps` or `cpu`. Imports torch."""
    import torch

    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def has_accelerator() -> bool:
    """Whether torch may find a GPU here, without importing torch: by the driver's files and by the
    name of torch's build. True may be wrong, where the driver is broken; False is right."""
    try:
        build = importlib.metadata.version("torch")
    except importlib.metadata.PackageNotFoundError:
        return False
    if sys.platform == "darwin":
        return platform.machine() == "arm64"
    if build.endswith("+cpu") or os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1"):
        return False
    if sys.platform == "win32":
        return ctypes.util.find_library("nvcuda") is not None
    return any(Path(node).exists() for node in ("/dev/nvidiactl", "/dev/dxg", "/dev/kfd"))


def has_cpu_bf16() -> bool:
    """Whether this CPU multiplies bfloat16 natively (AVX-512 BF16 or AMX). Imports torch."""
    import torch

    # underscored, and the only place where torch tells
    return any(
        getattr(torch.cpu, name, bool)()
        for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    )


def check_device(name: str) -> None:
    """InputError for what is no device's name; whether it is there is not looked at."""
    if not isinstance(name, str) or not _DEVICE.fullmatch(name):
        raise InputError(f"unknown device {name!r}: use auto, cpu, cuda, cuda:N or mps")


def resolve_devices(name: str) -> list[str]:
    """As `resolve_device`; with `auto`, every GPU that torch sees."""
    device = resolve_device(name)
    if name == "auto" and device == "cuda":
        import torch

        return [f"cuda:{number}" for number in range(torch.cuda.device_count())]
    return [device]


def resolve_device(name: str) -> str:
    """A device name to one that is there: `auto`, `cpu`, `cuda`, `cuda:N` or `mps`.

    Only `cpu` is answered without importing torch. Raises InputError for a name that is none of
    these and DeviceError for a device that this machine, or this build of torch, does not have.
    """
    check_device(name)
    if name == "auto":
        return best_device()
    if name == "cpu":
        return name
    import torch

    if name == "mps":
        if torch.backends.mps.is_available():
            return name
        raise DeviceError("device 'mps' is not there (it needs macOS on Apple silicon): use auto")
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if int(name.partition(":")[2] or 0) < count:
        return name
    if count:
        raise DeviceError(
            f"device {name!r} is not there: this machine has cuda:0 to cuda:{count - 1}"
        )
    why = (
        "the driver shows no GPU"
        if torch.version.cuda or torch.version.hip
        else f"torch {torch.__version__} is built without CUDA"
    )
    raise DeviceError(f"device {name!r} is not there ({why}): use auto or cpu")


def training_device(name: str) -> str:
    """`resolve_device` for training: `auto` is a CUDA GPU where there is one, else the CPU.

    torch is imported only where a GPU may be (see `has_accelerator`). Raises as `resolve_device`.
    """
    if name != "auto":
        return resolve_device(name)
    if not has_accelerator():
        return "cpu"
    found = best_device()
    return found if found == "cuda" else "cpu"


def free_memory() -> int | None:
    """Bytes of memory that could be used without swapping, and within what a container or a unit of
    systemd may use; None where the system does not tell."""
    try:
        lines = (_PROC / "meminfo").read_text(encoding="ascii").splitlines()
        free = next(1024 * int(line.split()[1]) for line in lines if line.startswith("MemAvail"))
    except (OSError, ValueError, StopIteration):
        return None
    return max(0, min([free, *_left_to_groups()]))


def _left_to_groups() -> Iterator[int]:
    """What each control group of this process has left, files in its cache counted as free."""
    for folder, newer in _control_groups("memory"):
        with suppress(OSError, ValueError):  # not there, or `max`
            limit = int((folder / ("memory.max" if newer else "memory.limit_in_bytes")).read_text())
            used = (folder / ("memory.current" if newer else "memory.usage_in_bytes")).read_text()
            stat = (folder / "memory.stat").read_text().splitlines()
            counts = dict(line.split() for line in stat)
            cache = sum(int(counts.get(f"{kind}_file", 0)) for kind in ("active", "inactive"))
            yield limit - int(used) + cache


def cpu_count() -> int:
    """CPU cores that this process may keep busy: those that it may run on, or fewer where a
    container or a unit of systemd has a quota of time, rounded up."""
    return min([_cores(), *_quotas()])


def limit_threads() -> None:
    """Keeps the libraries that this process has yet to import to `cpu_count` threads: NumPy, torch
    and FAISS know of no quota. An OMP_NUM_THREADS that is set stands."""
    if (count := cpu_count()) < _cores():
        os.environ.setdefault("OMP_NUM_THREADS", str(count))


def _cores() -> int:
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def _quotas() -> Iterator[int]:
    for folder, newer in _control_groups("cpu"):
        with suppress(OSError, ValueError):  # not there, or `max`
            if newer:
                quota, period = map(int, (folder / "cpu.max").read_text().split())
            else:
                quota, period = (
                    int((folder / f"cpu.cfs_{name}_us").read_text()) for name in ("quota", "period")
                )
            if quota > 0 and period > 0:  # -1: none
                yield math.ceil(quota / period)


def _control_groups(controller: str) -> Iterator[tuple[Path, bool]]:
    """The folders of the control groups of this process, from its own to the outermost, and whether
    they are of version 2."""
    try:
        groups = (_PROC / "self" / "cgroup").read_text(encoding="utf-8").splitlines()
    except OSError:
        return
    for number, controllers, path in (line.split(":", 2) for line in groups):
        newer = number == "0"
        if not newer and controller not in controllers.split(","):
            continue
        home = _GROUPS if newer else _GROUPS / controller
        own = home / path.lstrip("/")
        for folder in (own, *own.parents):
            if folder.is_relative_to(home):
                yield folder, newer


def faiss_gpu_count() -> int:
    """GPUs that FAISS can use; 0 where FAISS is missing, built for the CPU or finds no driver."""
    try:
        import faiss

        return int(faiss.get_num_gpus())
    except Exception:  # whatever a missing or broken FAISS raises, it can use no GPU
        return 0


def faiss_devices(name: str) -> list[int]:
    """FAISS's numbers of the GPUs that `cuda` (all) or `cuda:N` names.

    Raises DeviceError where they are not there, or FAISS is built for the CPU.
    """
    count = faiss_gpu_count()
    if not count:
        raise DeviceError(
            f"FAISS can use no GPU, so the index cannot go to {name!r}: install faiss-gpu in place "
            "of faiss-cpu and see that nvidia-smi lists a GPU, or use --device auto"
        )
    if name == "cuda":
        return list(range(count))
    number = int(name.removeprefix("cuda:"))
    if number >= count:
        raise DeviceError(f"device {name!r} is not there: FAISS sees cuda:0 to cuda:{count - 1}")
    return [number]


def describe(*, probe: bool = False) -> Hardware:
    """CPU cores that this process may use and torch's version; with `probe`, the accelerators.

    Without `probe` neither torch nor FAISS is imported, so it costs next to nothing.
    """
    cores = cpu_count()
    try:
        torch_version = importlib.metadata.version("torch")
    except importlib.metadata.PackageNotFoundError:
        torch_version = None
    if not probe or torch_version is None:
        return Hardware(cpu_count=cores, torch_version=torch_version)
    import torch

    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    return Hardware(
        cpu_count=cores,
        torch_version=torch_version,
        best_device=best_device(),
        device_names=tuple(torch.cuda.get_device_name(i) for i in range(count)),
        faiss_gpus=faiss_gpu_count(),
    )

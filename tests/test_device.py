import builtins
import os
import subprocess
import sys
import types
from pathlib import Path

import pytest

from embedsearch import device
from embedsearch.errors import DeviceError, InputError

ROOT = Path(__file__).parents[1]


@pytest.fixture
def torch(monkeypatch):
    """torch on a machine without accelerators, whatever this machine has."""
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    return torch


def two_gpus(torch, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda index: f"GPU {index}")


def test_without_accelerators(torch):
    assert device.best_device() == "cpu"
    assert device.resolve_device("auto") == "cpu"
    assert device.resolve_device("cpu") == "cpu"


def test_cuda_comes_before_mps(torch, monkeypatch):
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert device.best_device() == "mps"
    assert device.resolve_device("mps") == "mps"
    two_gpus(torch, monkeypatch)
    assert device.best_device() == "cuda"
    assert device.resolve_device("auto") == "cuda"


@pytest.mark.parametrize("name", ["auto", "cpu", "cuda", "cuda:12", "mps"])
def test_names_of_devices(name):
    device.check_device(name)


@pytest.mark.parametrize("name", ["gpu", "", "cuda:", "cuda:x", "cuda:²", "CPU", None, 0])
def test_what_is_no_name_of_a_device(name):
    with pytest.raises(InputError, match=r"unknown device .*: use auto, cpu, cuda, cuda:N or mps"):
        device.check_device(name)


@pytest.mark.parametrize("name", ["cuda", "cuda:0", "mps"])
def test_a_device_that_is_not_there(torch, name):
    with pytest.raises(DeviceError, match=f"device '{name}' is not there .*: use auto"):
        device.resolve_device(name)


def test_the_reason_tells_the_build_from_the_driver(torch, monkeypatch):
    monkeypatch.setattr(torch.version, "cuda", None)
    monkeypatch.setattr(torch.version, "hip", None)
    with pytest.raises(DeviceError, match="built without CUDA"):
        device.resolve_device("cuda")
    monkeypatch.setattr(torch.version, "cuda", "12.8")
    with pytest.raises(DeviceError, match="the driver shows no GPU"):
        device.resolve_device("cuda")


def test_a_gpu_number_beyond_the_last(torch, monkeypatch):
    two_gpus(torch, monkeypatch)
    assert device.resolve_device("cuda:1") == "cuda:1"
    with pytest.raises(DeviceError, match="this machine has cuda:0 to cuda:1"):
        device.resolve_device("cuda:2")


@pytest.mark.parametrize("name", ["gpu", "", "CUDA", "cuda:", "cuda:-1", "cpu:0", "cuda:1\n"])
def test_an_unknown_name(name):
    with pytest.raises(InputError, match="use auto, cpu, cuda, cuda:N or mps"):
        device.resolve_device(name)


def test_faiss_gpu_count(monkeypatch):
    fake = types.SimpleNamespace(get_num_gpus=lambda: 2)
    monkeypatch.setitem(sys.modules, "faiss", fake)
    assert device.faiss_gpu_count() == 2
    del fake.get_num_gpus  # as in builds for the CPU
    assert device.faiss_gpu_count() == 0

    def broken():
        raise RuntimeError("CUDA driver version is insufficient")

    fake.get_num_gpus = broken
    assert device.faiss_gpu_count() == 0


def test_faiss_missing(monkeypatch):
    real = builtins.__import__

    def without_faiss(name, *args, **kwargs):
        if name == "faiss":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.delitem(sys.modules, "faiss", raising=False)
    monkeypatch.setattr(builtins, "__import__", without_faiss)
    assert device.faiss_gpu_count() == 0


def test_describe_imports_nothing_heavy():
    code = (
        "import sys; from embedsearch import device; h = device.describe(); "
        "assert h.device_names is h.best_device is h.faiss_gpus is None; "
        "print(h.cpu_count, h.torch_version, 'torch' in sys.modules, 'faiss' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    cpus, version, torch_loaded, faiss_loaded = done.stdout.split()
    assert 1 <= int(cpus) <= os.cpu_count()
    assert version[0].isdigit()
    assert (torch_loaded, faiss_loaded) == ("False", "False")


def test_describe_with_probe(torch, monkeypatch):
    two_gpus(torch, monkeypatch)
    monkeypatch.setattr(device, "faiss_gpu_count", lambda: 1)
    found = device.describe(probe=True)
    assert found.best_device == "cuda"
    assert found.device_names == ("GPU 0", "GPU 1")
    assert found.faiss_gpus == 1


GIB = 1 << 30


@pytest.fixture
def system(tmp_path, monkeypatch):
    """A machine with 100 GiB available, and control groups to be written."""
    monkeypatch.setattr(device, "_PROC", tmp_path / "proc")
    monkeypatch.setattr(device, "_GROUPS", tmp_path / "cgroup")
    (tmp_path / "proc" / "self").mkdir(parents=True)
    (tmp_path / "proc" / "meminfo").write_text(f"MemFree: 1 kB\nMemAvailable: {100 << 20} kB\n")

    def group(path, limit, used, names=("memory.max", "memory.current")):
        folder = tmp_path / "cgroup" / path
        folder.mkdir(parents=True)
        for name, value in zip(names, (limit, used), strict=True):
            (folder / name).write_text(f"{value}\n")
        (folder / "memory.stat").write_text(f"anon 5\ninactive_file {GIB}\nactive_file {GIB}\n")

    return tmp_path / "proc" / "self" / "cgroup", group


def test_free_memory(system):
    groups, _ = system
    assert device.free_memory() == 100 * GIB
    groups.write_text("0::/\n")  # no limit is told
    assert device.free_memory() == 100 * GIB
    device._PROC.joinpath("meminfo").unlink()
    assert device.free_memory() is None


def test_free_memory_of_a_container(system):
    groups, group = system
    groups.write_text("0::/\n")
    group("", 8 * GIB, 5 * GIB)
    assert device.free_memory() == 5 * GIB  # with 2 GiB of cached files


def test_free_memory_of_a_unit_within_others(system):
    groups, group = system
    groups.write_text("0::/user.slice/job.service\n")
    group("user.slice", 6 * GIB, 4 * GIB)
    group("user.slice/job.service", "max", GIB)
    assert device.free_memory() == 4 * GIB


def test_free_memory_of_the_older_groups(system):
    groups, group = system
    groups.write_text("9:name=systemd:/\n4:cpu,memory:/docker/abc\n0::/\n")
    names = ("memory.limit_in_bytes", "memory.usage_in_bytes")
    group("memory", 3 * GIB, 4 * GIB, names)  # as a container sees it; used more than it may
    assert device.free_memory() == GIB
    group("memory/docker/abc", 1 << 62, GIB, names)
    assert device.free_memory() == GIB


@pytest.mark.parametrize(
    ("limit", "cores"),
    [("max 100000", 8), ("200000 100000", 2), ("150000 100000", 2), ("5000 100000", 1), ("", 8)],
)
def test_cores_of_a_container_with_a_quota(system, monkeypatch, limit, cores):
    monkeypatch.setattr(device.os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    assert device.cpu_count() == 8  # no groups are told
    groups, group = system
    groups.write_text("0::/user.slice/job.service\n")
    group("user.slice", "max", 0)
    (device._GROUPS / "user.slice" / "cpu.max").write_text(f"{limit}\n")
    assert device.cpu_count() == device.describe().cpu_count == cores


@pytest.mark.parametrize(("quota", "cores"), [(-1, 8), (300_000, 3), (9_000_000, 8)])
def test_cores_by_the_older_groups(system, monkeypatch, quota, cores):
    monkeypatch.setattr(device.os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    groups, group = system
    groups.write_text("4:cpu,cpuacct:/docker/abc\n0::/\n")
    group("cpu", 0, 0)
    (device._GROUPS / "cpu" / "cpu.cfs_quota_us").write_text(f"{quota}\n")
    (device._GROUPS / "cpu" / "cpu.cfs_period_us").write_text("100000\n")
    assert device.cpu_count() == cores


@pytest.mark.parametrize(
    ("quota", "set_by_user", "threads"),
    [(3, None, "3"), (8, None, None), (3, "5", "5"), (3, "", "")],
)
def test_threads_keep_to_a_quota(monkeypatch, quota, set_by_user, threads):
    monkeypatch.setattr(device.os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    monkeypatch.setattr(device, "_quotas", lambda: [quota])
    monkeypatch.setattr(
        device.os, "environ", {} if set_by_user is None else {"OMP_NUM_THREADS": set_by_user}
    )
    device.limit_threads()
    assert device.os.environ.get("OMP_NUM_THREADS") == threads

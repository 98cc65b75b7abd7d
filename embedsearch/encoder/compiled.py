"""Compiled graphs in the user's cache folder: a model is compiled once for a machine.

A file is 4 bytes of CRC-32 and what OpenVINO exported. Its name is a hash of all that the export
depends on: fingerprint, graph, precision, OpenVINO's version, the CPU.
"""

from __future__ import annotations

import hashlib
import json
import logging
import zlib
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from embedsearch.encoder.cache import cache_folder, write_atomically
from embedsearch.encoder.openvino_graph import VERSION, openvino

log = logging.getLogger("embedsearch")

KEPT = 4
"""Compiled models kept; beyond that, those that were not used for longest are deleted."""


def compiled(fingerprint: str, build: Callable[[], Any], settings: Mapping[str, Any]) -> Any:
    """The graph that `build` makes, compiled for this CPU with OpenVINO's `settings`.

    Taken from the cache where it is there, whole and made for this machine; else compiled and put
    there.
    """
    ov = openvino()
    core = ov.Core()
    path = cache_folder() / "compiled" / f"{_key(core, fingerprint, settings)}.ov"
    found = _read(path, core, settings)
    if found is not None:
        return found
    made = core.compile_model(build(), "CPU", dict(settings))
    content = made.export_model().getbuffer()
    head = zlib.crc32(content).to_bytes(4, "little")
    if write_atomically(path, [head, content]):
        _drop_oldest(path.parent)
    return made


def _key(core: Any, fingerprint: str, settings: Mapping[str, Any]) -> str:
    parts = [
        fingerprint,
        VERSION,
        openvino().__version__,
        core.get_property("CPU", "FULL_DEVICE_NAME"),
        sorted(core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")),
        sorted(settings.items()),
    ]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]


def _read(path: Path, core: Any, settings: Mapping[str, Any]) -> Any:
    """The compiled model of a cache file, or None where there is none that can be used."""
    import numpy as np

    try:
        content = np.memmap(path, dtype=np.uint8, mode="r")
    except (OSError, ValueError):  # not there, or empty
        return None
    if zlib.crc32(content[4:].data) != int.from_bytes(content[:4].tobytes(), "little"):
        log.warning("the compiled model %s is damaged and is made anew", path)
        return None
    try:
        found = core.import_model(openvino().Tensor(content[4:]), "CPU", dict(settings))
    except RuntimeError as error:  # OpenVINO refuses what another build or CPU made
        log.info("the compiled model %s cannot be used: %s", path, error)
        return None
    with suppress(OSError):  # the time of last use decides what is kept
        path.touch()
    return found


def _drop_oldest(folder: Path) -> None:
    with suppress(OSError):
        files = sorted(folder.glob("*.ov"), key=lambda file: -file.stat().st_mtime_ns)
        for file in files[KEPT:]:
            file.unlink(missing_ok=True)

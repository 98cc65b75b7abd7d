"""safetensors files, mapped into memory: the header is parsed and checked, tensors are read from
the disk when they are used.

Format: https://huggingface.co/docs/safetensors (8 bytes of header length, a JSON header, the data).
"""

from __future__ import annotations

import json
import mmap
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from embedsearch.errors import ModelError

if TYPE_CHECKING:
    from hashlib import _Hash

    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.float32]

MAX_HEADER_BYTES = 100_000_000
"""The safetensors library's own limit."""

_STORED = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2", "I64": "<i8", "I32": "<i4"}
FLOATS = frozenset({"F64", "F32", "F16", "BF16"})
"""What `map_tensors` reads; other libraries read no fewer."""

PICKLED = (".bin", ".pt", ".pth", ".ckpt", ".pkl")


def weight_files(folder: Path) -> list[Path]:
    """The safetensors files that make up the weights in `folder`, none where there are none.

    `model.safetensors` comes before the shards that `model.safetensors.index.json` names, as in
    transformers. Raises ModelError where the only weights are pickled.
    """
    single = folder / "model.safetensors"
    if single.is_file():
        return [single]
    index = folder / "model.safetensors.index.json"
    if index.is_file():
        return _shards(index)
    if not folder.is_dir():
        return []
    pickled = sorted(path.name for path in folder.iterdir() if path.suffix in PICKLED)
    if pickled:
        raise ModelError(
            f"{folder} holds its weights as {pickled[0]} only, a pickle that could run code and is "
            "never loaded: convert it where you trust it, with sentence-transformers' "
            "SentenceTransformer(folder).save_pretrained(new_folder), and use the new folder"
        )
    return []


def _shards(index: Path) -> list[Path]:
    try:
        names = sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
        shards = [index.parent / name for name in names]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelError(f"{index} is not an index of safetensors files: {error}") from None
    for shard in shards:
        if shard.parent != index.parent or shard.suffix != ".safetensors" or not shard.is_file():
            raise ModelError(f"{index} names {shard.name!r}, which is not a file beside it")
    return shards


def read_header(file: Path) -> dict[str, dict[str, Any]]:
    """Tensor name -> {dtype, shape, data_offsets} with offsets from the start of the file.

    Raises ModelError for a file that is cut short or is not safetensors.
    """
    try:
        with file.open("rb") as stream:
            length = int.from_bytes(stream.read(8), "little")
            if not 2 <= length <= MAX_HEADER_BYTES:
                raise ValueError(f"a header of {length} bytes")
            header = json.loads(stream.read(length))
        size = file.stat().st_size
        tensors: dict[str, dict[str, Any]] = {}
        for name, entry in header.items():
            if name == "__metadata__":
                continue
            begin, end = (int(offset) + 8 + length for offset in entry["data_offsets"])
            if not 8 + length <= begin <= end <= size:
                raise ValueError(f"the data of {name!r} lies outside the file")
            tensors[name] = {
                "dtype": str(entry["dtype"]),
                "shape": [int(side) for side in entry["shape"]],
                "data_offsets": (begin, end),
            }
    except OSError as error:
        raise ModelError(f"cannot read {file}: {error.strerror}") from None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ModelError(f"{file} is damaged or is not a safetensors file: {error}") from None
    return tensors


def map_tensors(files: Sequence[Path]) -> dict[str, Array]:
    """Every tensor of floating-point numbers as float32; what is stored as float32 stays
    on the disk until it is used. Raises ModelError for a damaged file."""
    import numpy as np

    tensors: dict[str, Array] = {}
    for name, kind, stored in _map(files, FLOATS):
        if kind == "BF16":
            tensors[name] = (stored.astype(np.uint32) << 16).view(np.float32)
        else:
            tensors[name] = stored.astype(np.float32, copy=False)
    return tensors


def map_integers(files: Sequence[Path]) -> dict[str, NDArray[np.int64]]:
    """Every tensor of whole numbers. Raises ModelError for a damaged file."""
    import numpy as np

    return {name: stored.astype(np.int64) for name, _, stored in _map(files, {"I64", "I32"})}


def _map(files: Sequence[Path], kinds: Collection[str]) -> Iterator[tuple[str, str, Any]]:
    """Name, stored type and mapped numbers of every tensor of these types."""
    import numpy as np

    for file in files:
        header = read_header(file)
        raw = np.memmap(file, dtype=np.uint8, mode="c")  # OpenVINO takes no read-only array
        for name, entry in header.items():
            if entry["dtype"] not in kinds:
                continue
            dtype = np.dtype(_STORED[entry["dtype"]])
            begin, end = entry["data_offsets"]
            data = raw[begin:end]
            try:
                # where the header's length is odd, the data stands askew and is copied
                askew = begin % dtype.itemsize
                flat = np.frombuffer(data.tobytes(), dtype) if askew else data.view(dtype)
                yield name, entry["dtype"], np.asarray(flat.reshape(entry["shape"]))
            except ValueError as error:
                raise ModelError(f"{file}: the tensor {name!r} is damaged: {error}") from None


def hash_tensors(files: list[Path], digest: _Hash) -> None:
    """Feed every tensor's name, dtype, shape and bytes to `digest`, ordered by name.

    How tensors are spread over files does not matter. Buffers that count positions
    (`position_ids`) are left out: they hold no weights, and newer writers drop them.
    """
    found = sorted(
        ((name, file, entry) for file in files for name, entry in read_header(file).items()),
        key=lambda item: (item[0], item[1].name),
    )
    maps: dict[Path, mmap.mmap] = {}
    try:
        for name, file, entry in found:
            if name.split(".")[-1] == "position_ids":
                continue
            head = [name, entry["dtype"], entry["shape"]]
            digest.update(json.dumps(head, separators=(",", ":")).encode() + b"\n")
            begin, end = entry["data_offsets"]
            if begin == end:
                continue
            if file not in maps:
                with file.open("rb") as stream:
                    maps[file] = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
            for block in _blocks(maps[file], begin, end):
                digest.update(block)
    finally:
        for mapped in maps.values():
            mapped.close()


def _blocks(mapped: mmap.mmap, begin: int, end: int, size: int = 1 << 22) -> Iterator[bytes]:
    for start in range(begin, end, size):
        yield mapped[start : min(start + size, end)]

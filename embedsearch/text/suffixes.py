"""Files that are known by their suffix to hold no text."""

from __future__ import annotations

import os

_BINARY = (
    # images and fonts
    ".png .jpg .jpeg .jpe .gif .bmp .tif .tiff .webp .ico .icns .heic .heif .avif .jxl .psd .xcf "
    ".ai .cr2 .nef .dng .exr .hdr .dds .tga .woff .woff2 .ttf .ttc .otf .eot "
    # audio and video
    ".mp3 .m4a .aac .flac .ogg .oga .opus .wav .aif .aiff .wma .mid .midi .mp4 .m4v .mkv .mov .avi "
    ".webm .wmv .flv .mpg .mpeg .3gp .ogv .swf "
    # archives and disk images
    ".zip .tar .tgz .tbz .tbz2 .txz .bz2 .xz .zst .lz .lz4 .lzma .br .7z .rar .cab .cpio .deb .rpm "
    ".apk .jar .war .ear .whl .egg .crx .dmg .iso .img .vmdk .qcow2 "
    # programs and what compilers leave
    ".exe .dll .msi .so .dylib .a .o .obj .ko .bin .elf .wasm .class .dex .pyc .pyo .pyd .beam "
    ".rlib .pdb .nib "
    # databases, tables of numbers, weights of models, drawings
    ".db .sqlite .sqlite3 .db3 .mdb .accdb .dbf .parquet .feather .arrow .avro .orc .h5 .hdf5 .nc "
    ".npy .npz .mat .pkl .pickle .joblib .pt .pth .ckpt .safetensors .onnx .gguf .ggml .tflite "
    ".pb .mlmodel .faiss .rds .rdata .sav .dta .blend .fbx .glb .stl .3ds .dwg "
)
_BINARY_SUFFIXES = frozenset(_BINARY.split())


def split_suffix(name: str) -> tuple[str, bool]:
    """The suffix in lower case, and if the file is gzipped: `a.JSONL.gz` is (".jsonl", True)."""
    name = name.lower()
    gzipped = name.endswith(".gz")
    if gzipped:
        name = name[: -len(".gz")]
    stem, dot, suffix = os.path.basename(name).rpartition(".")  # noqa: PTH119 - a Path is slow
    return (dot + suffix if stem else ""), gzipped


def binary_suffix(name: str) -> str:
    """The suffix by which a binary file is known, or ""; that of `x.tar.gz` is `.tar.gz`."""
    suffix, gzipped = split_suffix(name)
    if suffix not in _BINARY_SUFFIXES:
        return ""
    return f"{suffix}.gz" if gzipped else suffix

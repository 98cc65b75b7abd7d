"""What the benchmarks share: where the data is, what machine this is, how results are told."""

from __future__ import annotations

import argparse
import json
import os
import platform
import sqlite3
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[1]
RESULTS = Path(__file__).resolve().parent / "results"
CACHE = Path.home() / ".cache" / "embedsearch-benchmarks"
"""Collections that take long to make and are used again."""

CLI = [sys.executable, str(REPOSITORY / "cli.py")]

_LIBRARIES = (
    "numpy",
    "openvino",
    "torch",
    "sentence-transformers",
    "transformers",
    "tokenizers",
    "faiss-cpu",
    "faiss-gpu",
    "sqlite-utils",
    "numba",
    "gensim",
    "pytrec-eval-terrier",
)

# A checkout is measured as it stands, installed or not.
sys.path.insert(0, str(REPOSITORY))
os.environ["PYTHONPATH"] = os.pathsep.join(
    filter(None, (str(REPOSITORY), os.environ.get("PYTHONPATH")))
)


@dataclass(frozen=True, kw_only=True)
class Bar:
    """A promise and what was measured: `value` is to be at most, or at least, `limit`."""

    claim: str
    value: float
    limit: float
    at_most: bool

    @property
    def met(self) -> bool:
        return self.value <= self.limit if self.at_most else self.value >= self.limit


def parser(description: str) -> argparse.ArgumentParser:
    """The options that every benchmark has."""
    options = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--json", action="store_true", help="print one JSON value on stdout")
    options.add_argument(
        "--save", action="store_true", help="write the result to benchmarks/results/ too"
    )
    return options


def data_folder() -> Path:
    """The folder of public sets, which EMBEDSEARCH_DATA names."""
    named = os.environ.get("EMBEDSEARCH_DATA")
    if not named or not Path(named).is_dir():
        sys.exit("set EMBEDSEARCH_DATA to the folder of public sets that this benchmark reads")
    return Path(named)


def tell(message: str) -> None:
    """A remark on how far the benchmark is."""
    print(message, file=sys.stderr, flush=True)


class Told:
    """Progress as remarks."""

    def start(self, description: str, total: int | None, unit: str) -> None:
        tell(f"{description}: {total or 'some'} {unit}")
        self._total, self._done, self._told = total or 0, 0, 0

    def advance(self, amount: int) -> None:
        self._done += amount
        if self._total and self._done >= self._told + self._total / 10:
            self._told = self._done
            tell(f"{self._done:,} of {self._total:,}")

    def note(self, message: str) -> None:
        tell(message)


def report(
    name: str, options: argparse.Namespace, results: Mapping[str, Any], bars: Sequence[Bar]
) -> int:
    """Prints and, when asked, saves a result; returns 1 when a bar was not met, else 0."""
    shown = {
        key: value
        for key, value in vars(options).items()
        if key not in ("json", "save") and value is not None
    }
    found: dict[str, Any] = {
        "benchmark": name,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine(),
        "options": {key: _plain(value) for key, value in shown.items()},
        "results": results,
        "bars": [{**asdict(bar), "met": bar.met} for bar in bars],
    }
    text = json.dumps(found, indent=2, ensure_ascii=False)
    if options.save:
        RESULTS.mkdir(exist_ok=True)
        (RESULTS / f"{name}.json").write_text(text + "\n", encoding="utf-8")
    if options.json:
        print(text)
    else:
        _print_result(found["machine"], results, bars)
    return int(not all(bar.met for bar in bars))


def machine() -> dict[str, Any]:
    """What the figures depend on. `load` is that of the last minute: other work disturbs."""
    return {
        "cpu": _cpu_model(),
        "cores": len(os.sched_getaffinity(0))
        if hasattr(os, "sched_getaffinity")
        else os.cpu_count(),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "load": round(os.getloadavg()[0], 1),
        "system": platform.platform(),
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        **{name: version for name in _LIBRARIES if (version := _version(name))},
    }


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _plain(value: Any) -> Any:
    return value.name if isinstance(value, Path) else value


def _print_result(
    machine_: Mapping[str, Any], results: Mapping[str, Any], bars: Sequence[Bar]
) -> None:
    print(", ".join(f"{key} {value}" for key, value in machine_.items()))
    for name, value in results.items():
        print(f"\n{name}")
        rows = value if isinstance(value, dict) else {"": value}
        for key, cell in rows.items():
            print(f"  {key:<28} {_cells(cell)}")
    print()
    for bar in bars:
        sign = "≤" if bar.at_most else "≥"
        mark = "met   " if bar.met else "MISSED"
        print(f"{mark}  {bar.claim}: {bar.value:.4g} {sign} {bar.limit:g}")


def _cells(value: Any) -> str:
    if isinstance(value, dict):
        return "  ".join(f"{key} {_cells(cell)}" for key, cell in value.items())
    return f"{value:.4f}" if isinstance(value, float) else str(value)

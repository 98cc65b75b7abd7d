"""The layers of the package: imports go down only, bricks stay apart, no data is run as code."""

from pathlib import Path

import pytest

import embedsearch
from tests.imports import layer_violations, unsafe_code

PACKAGE = Path(embedsearch.__file__).parent


def test_imports_go_down_only():
    assert layer_violations(PACKAGE) == []


def test_no_data_is_run_as_code():
    assert unsafe_code(PACKAGE) == []


def write(root: Path, files: dict[str, str]) -> Path:
    for name, source in files.items():
        path = root / "house" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source, encoding="utf-8")
    return root / "house"


SOUND = {
    "__init__.py": "from typing import TYPE_CHECKING\n"
    "if TYPE_CHECKING:\n    from house.collection import Collection\n"
    "__version__ = '1'\n"
    "def __getattr__(name):\n    return import_module('house.collection').Collection\n",
    "types.py": "import json\n",
    "errors.py": "",
    "text/__init__.py": "from house.text import readers\n",
    "text/readers.py": "from ..types import Document\nfrom . import decode\n",
    "text/decode.py": "from house import errors, __version__\n",
    "index/__init__.py": "from house.index.flat import Flat\n",
    "index/flat.py": "from house.types import Index\nimport house.errors\n",
    "store/__init__.py": "from house.text.readers import read\n",
    "collection.py": "from house import index, store\nfrom house.other import f\n",
    "other.py": "",
    "cli/__init__.py": "from house import Collection\nfrom house.collection import Collection\n",
}


def test_a_sound_tree_passes(tmp_path):
    assert layer_violations(write(tmp_path, SOUND)) == []


@pytest.mark.parametrize(
    ("file", "source", "line"),
    [
        ("types.py", "from house.text.readers import read", 1),
        ("types.py", "import json\n\ndef f():\n    import house.collection as c", 4),
        ("errors.py", "from . import store", 1),
        ("errors.py", "from .index.flat import Flat", 1),
        ("text/readers.py", "from ..store import Store", 1),
        ("text/readers.py", "\nimport json, house.index", 2),
        ("text/readers.py", "from house import types, collection", 1),
        ("text/__init__.py", "from ..cli import main", 1),
        ("index/flat.py", "from house.store import Store", 1),
        ("index/flat.py", "from .. import store", 1),
        ("index/__init__.py", "from .. import store", 1),
        ("index/flat.py", "from house import Collection", 1),
        ("index/flat.py", "import house", 1),
        ("index/flat.py", "if TYPE_CHECKING:\n    from house.collection import Collection", 2),
        ("store/__init__.py", "try:\n    import house.index.flat\nexcept ImportError: pass", 2),
        ("store/__init__.py", "import importlib\nimportlib.import_module('house.index')", 2),
        ("other.py", "class A:\n    def f(self):\n        from house.cli import main", 3),
        ("other.py", "from house.server.app import app", 1),
        ("__init__.py", "from house.types import Document", 1),
        ("__init__.py", "if TYPE_CHECKING:\n    pass\nelse:\n    from house import types", 4),
    ],
)
def test_the_checker_finds(tmp_path, file, source, line):
    found = layer_violations(write(tmp_path, SOUND | {file: source}))
    assert len(found) == 1
    assert found[0].startswith(f"house/{file}:{line}: ")


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "def f():\n    from joblib import load",
        "from torch import load",
        "import torch\ntorch.load('x')",
        "load = torch.load",
        "eval('1')",
        "run = exec",
        "load('m', trust_remote_code=True)",
        "load('m', trust_remote_code=trusted)",
        "options = {'trust_remote_code': True}",
        "np.load('x', allow_pickle=True)",
    ],
)
def test_the_checker_finds_unsafe_code(tmp_path, source):
    found = unsafe_code(write(tmp_path, SOUND | {"other.py": source}))
    assert len(found) == 1
    assert found[0].startswith("house/other.py:")


@pytest.mark.parametrize(
    "source",
    [
        "model.eval()",
        "load('m', trust_remote_code=False)",
        "text = 'import pickle'",
        "json.load(f)",
    ],
)
def test_the_checker_lets_pass(tmp_path, source):
    assert unsafe_code(write(tmp_path, SOUND | {"other.py": source})) == []

"""The commands and the Python of the guides are ones that exist."""

import ast
import re
import shlex
from pathlib import Path

import pytest

import embedsearch as es
from tests.test_public_surface import COMMANDS

ROOT = Path(__file__).parents[1]
GUIDE = (ROOT / "docs/tokenizers.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```", GUIDE, re.DOTALL | re.MULTILINE)
TYPED = [
    line.removeprefix("$ ")
    for language, block in BLOCKS
    if language != "python"
    for line in block.replace("\\\n", " ").splitlines()
    if line.removeprefix("$ ").startswith("embedsearch ")
]


def test_the_guide_shows_every_command_on_tokenizers():
    for name in ("tokenize", "tokenizers compare", "evaluate tokenizer"):
        assert any(line.startswith(f"embedsearch {name} ") for line in TYPED)


@pytest.mark.parametrize("line", TYPED)
def test_commands_of_the_guide_parse(line):
    words = shlex.split(line)[1:]
    name = next((n for n in COMMANDS if words[: len(n.split())] == n.split()), None)
    if name is None and words[0] == "train" and not any(n.startswith("train ") for n in COMMANDS):
        pytest.skip("there is no command train")
    assert name is not None
    COMMANDS[name].make_context(name, words[len(name.split()) :])


def test_python_of_the_guide_uses_public_names():
    sources = [block for language, block in BLOCKS if language == "python"]
    assert sources
    for node in ast.walk(ast.parse("\n".join(sources))):
        if isinstance(node, ast.Attribute) and getattr(node.value, "id", "") == "es":
            assert node.attr in es.__all__

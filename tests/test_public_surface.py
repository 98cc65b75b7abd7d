"""What users rely on: the public names, the commands and their help, and that starting is quick."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command
from typer.testing import CliRunner

import embedsearch
from embedsearch.cli.app import app

ROOT = Path(__file__).parents[1]
HEAVY = {"torch", "transformers", "sentence_transformers", "faiss"}


def commands(group: TyperGroup, path: tuple[str, ...] = ()) -> dict[str, TyperCommand]:
    """Every command by what is typed for it, `evaluate search` for instance."""
    found = {}
    for name, command in group.commands.items():
        if isinstance(command, TyperGroup):
            found |= commands(command, (*path, name))
        else:
            found[" ".join((*path, name))] = command
    return found


COMMANDS = commands(get_command(app))


def loaded(statement: str) -> set[str]:
    """The top-level modules that a fresh interpreter has loaded after a statement."""
    program = f"import sys\n{statement}\nprint(*{{name.split('.')[0] for name in sys.modules}})"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT
    )
    return set(done.stdout.splitlines()[-1].split())


def test_public_names_are_known_to_type_checkers():
    source = (ROOT / "embedsearch/__init__.py").read_text(encoding="utf-8")
    block = source.partition("if TYPE_CHECKING:")[2].partition("__version__")[0]
    known = set(re.findall(r"\w+", block))
    assert set(embedsearch.__all__) - {"__version__"} <= known


def test_public_names_can_be_imported():
    for name in embedsearch.__all__:
        assert getattr(embedsearch, name) is not None
    assert set(embedsearch.__all__) <= set(dir(embedsearch))
    assert not hasattr(embedsearch, "no_such_name")


def test_importing_the_package_loads_nothing_heavy():
    modules = loaded("import embedsearch")
    assert "embedsearch" in modules
    assert not modules & (HEAVY | {"numpy"})


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["--help"], 0),
        (["search", "--help"], 0),
        (["status", "--db", "made.es"], 0),
        (["status", "--db", "missing.es"], 2),
    ],
)
def test_commands_that_need_no_model_load_nothing_heavy(tmp_path, arguments, code):
    embedsearch.open(tmp_path / "made.es").close()
    arguments = [str(tmp_path / word) if word.endswith(".es") else word for word in arguments]
    modules = loaded(f"from embedsearch.cli import main\nassert main({arguments}) == {code}")
    assert "typer" in modules
    assert not modules & HEAVY


@pytest.mark.parametrize("path", COMMANDS)
def test_every_command_can_print_json(path):
    assert any("--json" in parameter.opts for parameter in COMMANDS[path].params)


@pytest.mark.parametrize("path", COMMANDS)
def test_every_help_has_an_example_that_parses(path):
    shown = CliRunner().invoke(app, [*path.split(), "--help"])
    assert shown.exit_code == 0
    example = re.search(r"Example:\s+(.*?)\n\n", shown.output, re.DOTALL)
    assert example, f"the help of {path} has no Example:"
    words = shlex.split(example[1])
    start = ["embedsearch", *path.split()]
    assert words[: len(start)] == start
    COMMANDS[path].make_context(path, words[len(start) :])


@pytest.mark.parametrize("path", COMMANDS)
def test_every_command_and_option_is_documented(path):
    pages = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    text = "\n".join(page.read_text(encoding="utf-8") for page in pages)
    assert re.search(rf"\bembedsearch {path}\b", text), f"no page shows embedsearch {path}"
    for parameter in COMMANDS[path].params:
        if parameter.param_type_name == "option":
            for spellings in (parameter.opts, parameter.secondary_opts):
                mentioned = [s for s in spellings if re.search(rf"(?<![\w-]){s}(?![\w-])", text)]
                assert mentioned or not spellings, f"no page mentions {spellings[-1]}"

"""The program as a process: pipes, signals, encodings, and what it does not load."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing

import pytest

from embedsearch.collection.collection import Collection
from embedsearch.device import cpu_count
from embedsearch.types import Document
from tests.cli.conftest import PROGRAM
from tests.encoder.tiny import make_tiny_model
from tests.fake_encoder import FakeEncoder
from tests.support import write

ROOT = __file__.rsplit("/tests/", 1)[0]

# The program with an encoder that needs no torch and takes its time.
SLOW = """
import sys
import embedsearch.collection.models
from tests.fake_encoder import FakeEncoder
slow = FakeEncoder(delay=float(sys.argv.pop(1)))
embedsearch.collection.models.load_encoder = lambda *_: slow
from embedsearch.cli import main
sys.exit(main())
"""


def environment(**more: str) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": ROOT, **more}


def run(*arguments: object, program=PROGRAM, **options):
    return subprocess.run(
        [*program, *map(str, arguments)],
        capture_output=True,
        text=True,
        encoding="utf-8",
        env=environment(**options.pop("env", {})),
        timeout=120,
        **options,
    )


@pytest.fixture(scope="module")
def db(tmp_path_factory):
    folder = tmp_path_factory.mktemp("process") / "c"
    with Collection.open(folder, model=FakeEncoder()) as collection:
        collection.upsert(
            Document(id=f"d{n}", text=f"lynx {n} " + "emu zebu " * 100) for n in range(300)
        )
    return folder


def test_the_package_runs_as_a_module():
    as_module = run("--version", program=(sys.executable, "-m", "embedsearch"))
    assert as_module.returncode == 0
    assert as_module.stdout == run("--version").stdout


def test_a_reader_that_goes_away_is_no_error(db):
    """As in `embedsearch export | head -1`."""
    with subprocess.Popen(
        [*PROGRAM, "export", "--db", db],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(),
    ) as process:
        assert json.loads(process.stdout.readline())["_id"] == "d0"
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(60) == 0


@pytest.mark.parametrize(
    "command", [["status"], ["search", "lynx", "--mode", "keyword"], ["--help"]]
)
def test_a_reader_that_never_was_is_no_error(db, command):
    """Output so short that it is only written at the end."""
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = subprocess.run(
            [*PROGRAM, *command],
            stdout=writing,
            stderr=subprocess.PIPE,
            env=environment(EMBEDSEARCH_DB=str(db)),
            timeout=60,
        )
    finally:
        os.close(writing)
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.skipif(sys.platform == "win32", reason="streams are closed by a shell")
@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&-", "<&- >&- 2>&-"])
def test_streams_that_the_shell_has_closed(db, closed):
    """As in jobs without a terminal. Nothing may be written into the database instead."""
    for command in (["status", "--json"], ["delete", "nowhere"]):
        line = f"{shlex.join([*PROGRAM, *command])} {closed}"
        done = subprocess.run(
            line,
            shell=True,
            capture_output=True,
            env=environment(EMBEDSEARCH_DB=str(db)),
            timeout=120,
        )
        assert (done.returncode, done.stderr.count(b"Traceback")) == (command[0] == "delete", 0)
    found = json.loads(run("status", "--json", "--db", db).stdout)
    assert found["documents"] == 300
    with closing(sqlite3.connect(db / "collection.sqlite3")) as database:
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)


@pytest.mark.parametrize("locale", [{"LC_ALL": "C"}, {"PYTHONIOENCODING": "ascii"}])
def test_any_locale_will_do(tmp_path, locale):
    with Collection.open(tmp_path / "c", model=FakeEncoder()) as collection:
        collection.upsert([Document(id="ü", text="Größe 🐈 naïve שלום")])
    done = run("search", "größe", "--mode", "keyword", "--db", tmp_path / "c", env=locale)
    assert (done.returncode, done.stderr) == (0, "")
    assert "Größe 🐈 naïve שלום" in done.stdout
    done = run("export", "--db", tmp_path / "c", env=locale)
    assert json.loads(done.stdout)["text"] == "Größe 🐈 naïve שלום"


def test_the_environment_names_the_collection(db):
    done = run("status", "--json", env={"EMBEDSEARCH_DB": str(db)})
    assert json.loads(done.stdout)["documents"] == 300


QUOTA_OF_ONE = """
from embedsearch import device
device._quotas = lambda: [1]
device.os.sched_getaffinity = lambda _: set(range(8))
from embedsearch.cli import main
main()
import faiss, numpy, scipy.linalg, torch
from threadpoolctl import threadpool_info
print({library["num_threads"] for library in threadpool_info()} | {torch.get_num_threads()})
"""


@pytest.mark.skipif(cpu_count() == 1, reason="one thread in any case")
@pytest.mark.parametrize(("env", "told"), [({}, "{1}"), ({"OMP_NUM_THREADS": "2"}, "{2}")])
def test_libraries_keep_to_a_quota(monkeypatch, env, told):
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)
    done = run("--version", program=[sys.executable, "-c", QUOTA_OF_ONE], env=env)
    assert (done.stdout.splitlines()[1:], done.stderr) == ([told], "")


NOTHING_LOADED = """
import sys
from embedsearch.cli import main
code = main()
heavy = {"torch", "transformers", "sentence_transformers", "openvino", "scipy", "sklearn"}
heavy |= {"faiss", "huggingface_hub", "bs4", "docx", "pypdfium2", "markdown_it", "yaml"}
print(sorted(heavy & set(sys.modules)), file=sys.stderr)
sys.exit(code)
"""


@pytest.mark.parametrize(
    "command",
    [
        ("index", "docs", "--json"),
        ("index", "docs", "--dry-run", "--json"),
        ("status", "--json"),
        ("search", "lynx", "--mode", "keyword", "--json"),
        ("export", "--json"),
        ("--help",),
    ],
    ids=" ".join,
)
def test_what_needs_no_model_loads_none(tmp_path, command):
    write(tmp_path / "docs/a.txt", "lynx")
    with Collection.open(tmp_path / ".embedsearch", model=FakeEncoder()) as collection:
        collection.sync([tmp_path / "docs"])
    done = run(*command, program=[sys.executable, "-c", NOTHING_LOADED], cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "[]\n")


def documents_in(db) -> int:
    path = db / "collection.sqlite3"
    if not path.exists():
        return 0
    with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as connection:
        try:
            return connection.execute("SELECT count(*) FROM documents").fetchone()[0]
        except sqlite3.OperationalError:
            return 0  # just being made


def messages(err):
    """What is told beside progress, of which a slow machine shows more."""
    return [line for line in err.splitlines() if not line.startswith("Indexing: ")]


def test_an_interrupted_index_goes_on_where_it_stopped(tmp_path):
    rows = (json.dumps({"_id": f"{n}", "text": f"text {n}"}) + "\n" for n in range(5000))
    write(tmp_path / "docs/a.jsonl", "".join(rows))
    db, program = tmp_path / "c", [sys.executable, "-c", SLOW]
    with subprocess.Popen(
        [*program, "0.3", "index", tmp_path / "docs", "--db", db],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(),
        text=True,
        # Tests that run in the background of a shell hand down that SIGINT is ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as process:
        deadline = time.monotonic() + 60
        while documents_in(db) == 0 and time.monotonic() < deadline:
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert out == ""
    assert messages(err) == [err.splitlines()[-1]]
    assert messages(err)[0].startswith("embedsearch: interrupted; what was done is kept")
    kept = documents_in(db)
    assert 0 < kept < 5000
    done = run("0", "index", tmp_path / "docs", "--db", db, "--json", program=program)
    report = json.loads(done.stdout)
    assert (done.returncode, messages(done.stderr)) == (0, [])
    assert (report["added"], report["unchanged"]) == (5000 - kept, kept)
    assert report["embedded"] <= 5000 - kept  # vectors are kept even where documents are not
    done = run("0", "index", tmp_path / "docs", "--db", db, "--json", program=program)
    assert json.loads(done.stdout)["unchanged"] == 5000


def test_progress_goes_to_stderr_alone(tmp_path):
    """Elsewhere than in a terminal it is a line now and then: here, after every advance."""
    rows = (json.dumps({"_id": f"{n}", "text": f"text {n}"}) + "\n" for n in range(1500))
    write(tmp_path / "docs/a.jsonl", "".join(rows))
    eager = SLOW.replace("from embedsearch.cli import main", EAGER)
    done = run(
        "0",
        "index",
        "docs",
        "--db",
        "c",
        "--json",
        program=[sys.executable, "-c", eager],
        cwd=tmp_path,
    )
    assert done.returncode == 0
    assert json.loads(done.stdout)["added"] == 1500
    lines = done.stderr.splitlines()
    assert len(lines) > 2
    told = r"Indexing: \d+ kB of \d+ kB, [\d.,]+ [kM]B/s, (about [\d,]+ min|less than .*) left"
    assert all(re.fullmatch(told, line) for line in lines)


EAGER = """
import embedsearch.cli.terminal
embedsearch.cli.terminal.PLAIN_INTERVAL_S = -1
from embedsearch.cli import main
"""


@pytest.mark.parametrize("mode", ["hybrid", "semantic"])
def test_a_search_answers_without_a_heavy_module(tmp_path, mode):
    write(tmp_path / "docs/a.txt", "the cat sat on the mat")
    with Collection.open(tmp_path / ".embedsearch", model=make_tiny_model(tmp_path / "m")) as made:
        made.sync([tmp_path / "docs"])
    program = [sys.executable, "-c", NOTHING_LOADED]
    done = run("search", "a cat", "--mode", mode, "--json", program=program, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "[]\n")
    assert json.loads(done.stdout)[0]["document_id"] == "docs/a.txt"

"""`train encoder`, `evaluate encoder` and `rollback` from the command line, with a tiny model."""

from __future__ import annotations

import json

import pytest

from embedsearch.cli.main import main
from embedsearch.collection.collection import Collection
from embedsearch.finetuning.closed_loop import LoopReport
from embedsearch.finetuning.promotion import Trial
from embedsearch.finetuning.training import train_encoder
from embedsearch.types import Document
from tests.encoder.test_training import PAIRS, WORDS
from tests.encoder.tiny import make_tiny_model
from tests.support import write

FEW_STEPS = ["--epochs", "1", "--batch-size", "8", "--held-out", "0.2", "--learning-rate", "0.002"]


@pytest.fixture
def base(tmp_path):
    return make_tiny_model(tmp_path / "tiny")


@pytest.fixture
def pairs(tmp_path):
    lines = [json.dumps([pair.anchor, pair.positive]) for pair in PAIRS]
    return write(tmp_path / "pairs.jsonl", "\n".join(lines))


@pytest.fixture
def judged(tmp_path, base):
    """A collection in c.es and judged questions about it."""
    with Collection.open(tmp_path / "c.es", model=str(base)) as collection:
        collection.upsert(
            Document(id=word, title=f"The {word} and its uses", text=f"About the {word}. {text}")
            for word, text in zip(WORDS, (pair.positive for pair in PAIRS), strict=True)
        )
    queries = [{"_id": word, "text": f"what is a {word}"} for word in WORDS[:12]]
    write(tmp_path / "judged/queries.jsonl", "\n".join(map(json.dumps, queries)))
    write(tmp_path / "judged/qrels/test.tsv", "\n".join(f"{w}\t{w}\t1" for w in WORDS[:12]))
    return tmp_path / "judged"


def run(capsys, *arguments):
    code = main([*map(str, arguments), "--json"])
    captured = capsys.readouterr()
    return code, json.loads(captured.out) if captured.out else captured.err


def test_training_on_a_file(tmp_path, capsys, base, pairs):
    out = tmp_path / "out"
    code, found = run(capsys, "train", "encoder", pairs, "--out", out, "--model", base, *FEW_STEPS)
    assert code == 0
    assert (found["loss"], found["steps"], found["examples"]) == ("ranking", 3, 22)
    assert found["mining"] is found["trial"] is None
    assert (out / "modules.json").is_file()
    code, error = run(capsys, "train", "encoder", pairs, "--out", out, "--model", base)
    assert code == 2
    assert "is there already" in error


def test_the_closed_loop(tmp_path, capsys, base, pairs, judged):
    db = tmp_path / "c.es"
    loop = ["train", "encoder", pairs, "--out", tmp_path / "out", "--db", db, *FEW_STEPS]
    code, found = run(
        capsys, *loop, "--evaluate", judged, "--promote", "if-better", "--p-value", "1"
    )
    assert code == 0
    assert found["mining"]["pairs"] == len(PAIRS)
    trial = found["trial"]
    assert set(trial["measures"]) == {"ndcg@10", "recall@100"}
    assert trial["questions"] == 12
    assert trial["promoted"] == (trial["measures"]["ndcg@10"]["difference"] > 0)
    _, status = run(capsys, "status", "--db", db)
    model = tmp_path / "out" if trial["promoted"] else base
    assert status["model"] == str(model)
    code, _ = run(capsys, "rollback", "--db", db)
    assert code == (0 if trial["promoted"] else 2)
    _, status = run(capsys, "status", "--db", db)
    assert status["model"] == str(base)


def test_how_to_go_back_is_told_with_the_collection(tmp_path, capsys, monkeypatch, base, pairs):
    db, out = tmp_path / "c.es", tmp_path / "out"
    trial = Trial(
        before=str(base), after=str(out), mode="hybrid", split="test", questions=1, measures={},
        promoted=True, reason="it is better", seconds=1.0,
    )  # fmt: skip

    def improve(_collection, output, config, *, data, **_options):
        trained = train_encoder(data, config.training, base=base, output=output)
        return LoopReport(training=trained, trial=trial)

    monkeypatch.setattr("embedsearch.cli.encoder_training.improve_encoder", improve)
    Collection.open(db, model=base).close()
    command = ["train", "encoder", pairs, "--out", out, "--db", db, *FEW_STEPS]
    assert main(list(map(str, command))) == 0
    assert f"`embedsearch rollback --db {db}` goes back" in capsys.readouterr().err


def settings_of(model):
    return json.loads((model / "training.json").read_text(encoding="utf-8"))["settings"]


def test_pairs_from_the_collection(tmp_path, capsys, judged):
    db, out = tmp_path / "c.es", tmp_path / "out"
    arguments = ["--from-collection", "--out", out, "--db", db, "--mine", "0", *FEW_STEPS]
    code, found = run(capsys, "train", "encoder", *arguments)
    assert code == 0
    assert found["pairs"]["found"]["title"] == len(WORDS)
    assert found["mining"] is None
    assert settings_of(out)["base_share"] == 0.5
    own = ["--from-collection", "--out", tmp_path / "own", *arguments[3:], "--base-share", "0"]
    assert run(capsys, "train", "encoder", *own)[0] == 0
    assert settings_of(tmp_path / "own")["base_share"] == 0.0
    mined = ["--from-collection", "--db", db, *FEW_STEPS, "--margin", "1", "--out"]
    _, found = run(capsys, "train", "encoder", *mined, tmp_path / "mined")
    assert found["mining"]["dropped"]["margin"]
    late = [*mined, tmp_path / "late", "--loss", "late"]
    _, found = run(capsys, "train", "encoder", *late)
    assert not {"margin", "cross_check"} & found["mining"]["dropped"].keys()
    assert settings_of(tmp_path / "late")["base_share"] is None  # such pairs are no answers to it
    assert main(["train", "encoder", *map(str, arguments)]) == 0  # nothing is trained again
    assert "is there already, made by this very training" in capsys.readouterr().err


def test_wrong_use(tmp_path, capsys, pairs, judged):
    out = tmp_path / "out"
    for arguments, message in (
        (["--out", out], "give INPUT"),
        ([pairs, "--from-collection", "--out", out], "not both"),
        ([pairs, "--out", out, "--epochs", "0"], "epochs must be"),
        ([judged, "--out", out, "--train-split", "test", "--db", tmp_path / "c.es",
          "--evaluate", judged], "neither corpus"),
        ([tmp_path / "no.csv", "--out", out], "there is no"),
    ):  # fmt: skip
        code, error = run(capsys, "train", "encoder", *arguments)
        assert code == 2
        assert message in error
        assert len(error.strip().splitlines()) == 1
    assert not out.exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--promote", "if-better"], "--promote needs judged questions: name them with --evaluate"),
        (["--p-value", "0.1", "--db", "c.es"], "--p-value needs judged questions"),
        (["--split", "dev"], "--split needs judged questions"),
        (["--mode", "hybrid"], "--mode needs judged questions"),
        (["--layers", "3"], "--layers needs a new model: name its --tokenizer"),
        (["--hidden", "64", "--model", "m"], "--hidden needs a new model"),
        (["--mine", "4"], "--mine needs a collection: name it with --db"),
        (["--margin", "0.1"], "--margin needs a collection"),
        (["--rank-last", "9"], "--rank-last needs a collection"),
        (["--no-cross-check"], "--cross-check needs a collection"),
        (["--db", "c.es", "--mine", "0", "--rank-first", "3"], "--rank-first needs negatives"),
        (["--db", "c.es", "--pairs", "5"], "--pairs needs --from-collection"),
    ],
)
def test_options_without_effect_are_refused(tmp_path, capsys, pairs, options, message):
    code, error = run(capsys, "train", "encoder", pairs, "--out", tmp_path / "out", *options)
    assert code == 2
    assert error.startswith(f"embedsearch: {message}")
    assert len(error.splitlines()) == 1


def test_a_trained_question_that_is_judged_is_refused(tmp_path, capsys, base, judged):
    asked = write(tmp_path / "asked.csv", "What is a CAT,it has fur\n" + "q{0},d{0}\n" * 3)
    code, error = run(
        capsys, "train", "encoder", asked, "--out", tmp_path / "out", "--db", tmp_path / "c.es",
        "--evaluate", judged, "--mine", "0", "--batch-size", "2",
    )  # fmt: skip
    assert code == 2
    assert "kept for measuring" in error
    scored = write(tmp_path / "scored.csv", "it has fur,what is a cat,1\n" + "q{0},d{0},0\n" * 3)
    code, error = run(
        capsys, "train", "encoder", scored, "--out", tmp_path / "out", "--db", tmp_path / "c.es",
        "--evaluate", judged, "--batch-size", "2",
    )  # fmt: skip
    assert code == 2
    assert "kept for measuring" in error
    assert "scored.csv:1: 'what is a cat'" in error


def test_evaluate_encoder(tmp_path, capsys, base):
    path = write(tmp_path / "sts.csv", "the cat,the cat,5\nthe cat,a dog,2\nthe moon,a bank,0\n")
    code, found = run(
        capsys, "evaluate", "encoder", path, "--model", base, "--max-score", "5", "--dims", "8"
    )
    assert code == 0
    assert [(each["task"], each["dims"]) for each in found] == [
        ("similarity", 32),
        ("similarity", 8),
    ]
    assert main(["evaluate", "encoder", str(path), "--model", str(base), "--max-score", "5"]) == 0
    assert "spearman" in capsys.readouterr().out


def test_a_model_from_nothing(tmp_path, capsys, pairs):
    texts = write(tmp_path / "texts.txt", "\n".join(pair.positive for pair in PAIRS))
    tokenizer = tmp_path / "tokenizer"
    assert main(["train", "tokenizer", str(texts), "--out", str(tokenizer), "--kind", "bpe"]) == 0
    capsys.readouterr()
    code, found = run(
        capsys, "train", "encoder", pairs, "--out", tmp_path / "out", "--tokenizer", tokenizer,
        "--layers", "1", "--hidden", "32", *FEW_STEPS,
    )  # fmt: skip
    assert code == 0
    assert found["steps"] == 3
    code, found = run(
        capsys, "train", "encoder", pairs, "--out", tmp_path / "no", "--tokenizer", tokenizer,
        "--model", tokenizer,
    )  # fmt: skip
    assert code == 2

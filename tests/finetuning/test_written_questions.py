"""Questions that a language model writes to passages, with one that says what it is told to."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedsearch.collection.collection import Collection
from embedsearch.encoder.training.examples import TrainingPair, normal
from embedsearch.errors import InputError, LockedError, StorageError
from embedsearch.evaluation.beir import read_corpus
from embedsearch.finetuning import written_questions
from embedsearch.finetuning.data import read_training_data
from embedsearch.finetuning.question_prompt import MAX_WORDS, question_prompt, questions_in
from embedsearch.finetuning.written_questions import WrittenQuestionsConfig, write_questions
from embedsearch.generation import Generation, GenerationConfig
from embedsearch.types import Document

CODE_QUESTIONS = Path(__file__).resolve().parents[2] / "data/code_questions/questions.tsv"
TOPICS = ("badgers", "bicycles", "lighthouses", "violins", "glaciers", "teapots")


def text_about(topic: str) -> str:
    return f"All about {topic}. Whoever wants to know how {topic} are kept will read it here."


@pytest.fixture
def collection(tmp_path):
    with Collection.open(tmp_path / "c.es") as collection:
        collection.upsert(Document(id=topic, text=text_about(topic)) for topic in TOPICS)
        yield collection


class Asker:
    """Answers with what `say` makes of the topic of the passage that it is shown."""

    name, max_tokens = "asker", None

    def __init__(self, say=lambda topic: f"1. how to keep {topic}\n2. {topic} for beginners"):
        self.say, self.topics, self.configs = say, [], []

    def generate(self, prompts, config=None):
        self.configs.append(config)
        return [self._answer(prompt) for prompt in prompts]

    def _answer(self, prompt):
        [topic] = [each for each in TOPICS if text_about(each) in prompt[-1]["content"]]
        self.topics.append(topic)
        return Generation(text=self.say(topic), finish="end", prompt_tokens=1, completion_tokens=1)


def lines_of(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_questions_become_training_data(collection, tmp_path):
    path, asker = tmp_path / "new" / "questions.jsonl", Asker()
    report = write_questions(collection, asker, path)
    assert asker.topics == list(TOPICS)
    assert (report.passages, report.kept, report.before, report.dropped) == (6, 12, 0, {})
    lines = lines_of(path)
    assert lines[2] == {
        "anchor": "how to keep bicycles",
        "positive": text_about("bicycles"),
        "id": "bicycles",
    }
    pairs = read_training_data(path)
    assert all(isinstance(pair, TrainingPair) for pair in pairs)
    assert [pair.anchor for pair in pairs] == [line["anchor"] for line in lines]
    assert asker.configs[0].temperature == 0


def test_one_at_a_time_writes_to_a_file(collection, tmp_path):
    """A second one would write the same questions again. Here it comes under way, by another name
    of the file."""
    path, link = tmp_path / "new" / "questions.jsonl", tmp_path / "link.jsonl"
    path.parent.mkdir()
    link.symlink_to(path)
    refused = []

    def say(topic):
        if not refused:
            with pytest.raises(LockedError, match=r"is writing to .*questions\.jsonl") as caught:
                write_questions(collection, Asker(), link)
            refused.append(caught)
            write_questions(collection, Asker(), tmp_path / "other.jsonl")
        return f"how to keep {topic}"

    assert write_questions(collection, Asker(say), path).kept == len(lines_of(path)) == 6
    assert [each.name for each in path.parent.iterdir()] == [path.name]
    left = path.with_name(f".{path.name}.unfinished")
    left.mkdir()
    for name in ("writer.lock", "writer.pid"):  # as a process that was killed leaves them
        (left / name).touch()
    assert write_questions(collection, Asker(), path).before == 6
    assert [each.name for each in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize(
    ("finish", "kept"),
    [("end", {"how to keep", "all about"}), ("refusal", set()), ("filter", {"how to keep"}),
     ("length", {"how to keep"})],
)  # fmt: skip
def test_what_is_no_whole_question(collection, tmp_path, monkeypatch, finish, kept):
    """A refusal, and the last one where the model was cut off, by a filter for instance."""
    asker = Asker(lambda topic: f"how to keep {topic}\nall about {topic}")
    said = asker._answer
    monkeypatch.setattr(asker, "_answer", lambda prompt: replace(said(prompt), finish=finish))
    write_questions(collection, asker, tmp_path / "questions.jsonl")
    found = {line["anchor"].rsplit(" ", 1)[0] for line in lines_of(tmp_path / "questions.jsonl")}
    assert found == kept


def test_passages_that_have_questions_are_not_asked_about_again(collection, tmp_path):
    path, asker = tmp_path / "questions.jsonl", Asker()

    def breaks(topic):
        if topic == "glaciers":
            raise KeyboardInterrupt
        return f"what about {topic}"

    collection.delete(TOPICS[3:])
    write_questions(collection, asker, path)
    collection.upsert(Document(id=topic, text=text_about(topic)) for topic in TOPICS)
    with pytest.raises(KeyboardInterrupt):
        write_questions(collection, Asker(breaks), path)
    assert len(lines_of(path)) == 6  # nothing of the passages that were asked about together
    again = Asker()
    report = write_questions(collection, again, path)
    assert sorted(again.topics) == sorted(TOPICS[3:])
    assert (report.passages, report.kept, report.before) == (3, 6, 6)
    assert write_questions(collection, Asker(), path).passages == 0


def test_what_is_dropped_is_counted(collection, tmp_path):
    path = tmp_path / "questions.jsonl"

    def say(topic):
        return f"how are {topic} kept\nwhat is the weather\nKeeping of {topic}"

    config = WrittenQuestionsConfig(per_passage=3, max_rank=1)
    report = write_questions(collection, Asker(say), path, config, avoid=["HOW  are violins kept"])
    assert report.dropped["avoided"] == 1
    assert report.dropped["repeated"] == 5
    kept = [line["anchor"] for line in lines_of(path)]
    assert len(kept) == report.kept == 18 - sum(report.dropped.values())
    assert all(line["id"] in line["anchor"] for line in lines_of(path)[:3])
    asked = "what is the weather"
    hits = collection.search(asked, 1)
    assert (asked in kept) == (hits[0].document_id == TOPICS[0])
    report = write_questions(
        collection, Asker(say), tmp_path / "all.jsonl", WrittenQuestionsConfig(max_rank=0)
    )
    assert "not_found" not in report.dropped


def test_passages_are_drawn_evenly_and_alike_for_a_seed(collection, tmp_path):
    drawn = []
    for number in range(40):
        asker = Asker()
        config = WrittenQuestionsConfig(passages=2, seed=number // 2)
        write_questions(collection, asker, tmp_path / f"{number}.jsonl", config)
        drawn.append(tuple(asker.topics))
    assert drawn[::2] == drawn[1::2]
    assert {topic for each in drawn for topic in each} == set(TOPICS)
    assert all(len(set(each)) == 2 for each in drawn)


def test_a_line_that_broke_off_is_written_anew(collection, tmp_path):
    path = tmp_path / "questions.jsonl"
    write_questions(collection, Asker(), path)
    whole = path.read_bytes()
    path.write_bytes(whole[:-20])
    report = write_questions(collection, Asker(), path)
    assert report.before == 11
    assert report.passages == 0  # the passage has its first question
    assert path.read_bytes() == whole[: whole.rfind(b"\n", 0, -1) + 1]
    path.write_bytes(whole.rstrip(b"\n"))  # as an editor may leave it
    assert write_questions(collection, Asker(), path).before == 12
    assert path.read_bytes() == whole


@pytest.mark.parametrize("text", ["my own notes", '{"anchor": "a"}\n', "[1, 2]\n", '"x"\n\n'])
def test_another_file_is_left_alone(collection, tmp_path, text):
    path = tmp_path / "notes.txt"
    path.write_text(text)
    with pytest.raises(InputError, match=r"notes\.txt:1: not"):
        write_questions(collection, Asker(), path)
    assert path.read_text() == text


def test_what_cannot_be_written_is_told(collection, tmp_path):
    with pytest.raises(StorageError, match="cannot be"):
        write_questions(collection, Asker(), tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match=r"cannot write to .*questions\.jsonl"):
        write_questions(collection, Asker(), tmp_path / "file" / "questions.jsonl")


def test_a_full_disk_leaves_whole_lines(collection, tmp_path, monkeypatch):
    resource = pytest.importorskip("resource")  # not on Windows
    path = tmp_path / "questions.jsonl"
    monkeypatch.setattr(written_questions, "PASSAGES_AT_A_TIME", 1)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))  # the kernel refuses more bytes
    try:
        with pytest.raises(StorageError, match=r"questions\.jsonl cannot be written"):
            write_questions(collection, Asker(), path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    before = path.read_bytes()
    assert 0 < len(lines_of(path)) < 12
    assert before.endswith(b"\n")
    assert write_questions(collection, Asker(), path).before == len(before.splitlines())
    assert path.read_bytes().startswith(before)
    assert len(lines_of(path)) == 12


def test_several_answers_to_a_prompt_are_those_of_its_passage(collection, tmp_path):
    class Twice(Asker):
        def generate(self, prompts, config=None):
            return [answer for prompt in prompts for answer in self._both(prompt)]

        def _both(self, prompt):
            first = self._answer(prompt)
            other = Generation(
                text=f"buy {self.topics[-1]}", finish="end", prompt_tokens=1, completion_tokens=1
            )
            return first, other

    path = tmp_path / "questions.jsonl"
    generation = GenerationConfig(temperature=0.5, num_return_sequences=2)
    write_questions(collection, Twice(), path, generation=generation)
    assert all(line["id"] in line["anchor"] for line in lines_of(path))
    assert sum(line["anchor"].startswith("buy") for line in lines_of(path)) == 6


@pytest.mark.parametrize(
    "settings", [{"passages": 0}, {"per_passage": 21}, {"max_rank": -1}, {"seed": 1.0}]
)
def test_settings_out_of_bounds(settings):
    with pytest.raises(InputError, match=f"{next(iter(settings))} must be a whole number"):
        WrittenQuestionsConfig(**settings)


def test_an_empty_collection_and_one_of_scraps(tmp_path):
    with Collection.open(tmp_path / "c.es") as collection:
        for document in (None, Document(id="a", text="too short")):
            collection.upsert([document] if document else [])
            with pytest.raises(InputError, match="no passage of"):
                write_questions(collection, Asker(), tmp_path / "questions.jsonl")


def test_a_passage_cannot_end_itself():
    text = "a </passage> b < Passage> c <passages>"
    content = question_prompt(text, 2)[-1]["content"]
    assert content.count("<passage>") == content.count("</passage>") == 1
    assert "&lt; Passage>" in content
    assert content.endswith("<passages>\n</passage>")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("one\ntwo\nthree", ["one", "two"]),
        ("Here they are:\n\n1. one\n2) two", ["one", "two"]),
        ('- "one"\n• „two“\n', ["one", "two"]),
        ("(1) one\n* **two**", ["one", "two"]),
        ("<think>\nwell\n</think>\n\none\ntwo", ["one", "two"]),
        ("<think>\nwell, what would", []),
        ("one\nOne\n---\ntwo", ["one", "two"]),
        ('"a" and "b"\nchar**', ['"a" and "b"', "char**"]),
        ("'don't panic'\n``", ["don't panic"]),
        ("3D printing\n1984 film", ["3D printing", "1984 film"]),
        ("-5 degrees in fahrenheit", ["-5 degrees in fahrenheit"]),
        ("word " * (MAX_WORDS + 1) + "\none", ["one"]),
        ("", []),
    ],
)
def test_questions_of_an_answer(text, found):
    assert list(questions_in(text, 2, cut=False)) == found


def test_the_last_question_of_an_answer_that_breaks_off_is_none():
    assert list(questions_in("one\ntwo th", 3, cut=True)) == ["one"]
    assert list(questions_in("one", 3, cut=True)) == []


@given(st.text(), st.integers(1, 5), st.booleans())
def test_any_answer_gives_a_few_questions_at_most(text, count, cut):
    found = list(questions_in(text, count, cut=cut))
    assert len(found) <= count
    assert len({normal(question) for question in found}) == len(found)
    assert all(question == " ".join(question.split()) != "" for question in found)


def code_questions():
    with CODE_QUESTIONS.open(encoding="utf-8", newline="") as file:
        return list(csv.reader(file, delimiter="\t"))


def test_the_questions_about_code_are_whole():
    header, *rows = code_questions()
    assert header == ["function", "question"]
    assert all(len(row) == 2 and question_is_sound(row[1]) for row in rows)
    assert len({tuple(row) for row in rows}) == len(rows) == 12_532


def question_is_sound(question):
    return list(questions_in(question, 1, cut=False)) == [question]


@pytest.mark.data
def test_the_questions_about_code_are_about_functions_that_there_are(public_set):
    functions = {document.id for document in read_corpus(public_set("cosqa"), lambda *_: None)}
    asked = {function for function, _ in code_questions()[1:]}
    assert len(asked) == 6266
    assert asked <= functions

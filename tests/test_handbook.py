"""The demo data in data/handbook agrees with itself: pages, links, questions, judgements."""

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml

HANDBOOK = Path(__file__).resolve().parents[1] / "data" / "handbook"
CORPUS = HANDBOOK / "corpus"
PAGES = sorted(path.relative_to(CORPUS).as_posix() for path in CORPUS.rglob("*.md"))

FRONT_MATTER = re.compile(r"\A---\n(.*?)\n---\n", re.DOTALL)
CODE = re.compile(r"^ *```.*?^ *```$", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#{1,6} (.+)$", re.MULTILINE)


def body(page: str) -> str:
    return FRONT_MATTER.sub("", (CORPUS / page).read_text(encoding="utf-8"))


def anchors(page: str) -> set[str]:
    """Fragment names as code hosts derive them: lower case, punctuation gone, blanks to hyphens."""
    headings = HEADING.findall(CODE.sub("", body(page)))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def load_queries() -> list[dict[str, Any]]:
    lines = (HANDBOOK / "queries.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def load_qrels() -> list[tuple[str, str, int]]:
    lines = (HANDBOOK / "qrels" / "test.tsv").read_text(encoding="utf-8").splitlines()
    assert lines[0] == "query-id\tcorpus-id\tscore"
    rows = (line.split("\t") for line in lines[1:])
    return [(query, page, int(score)) for query, page, score in rows]


def test_enough_pages_and_queries() -> None:
    assert len(PAGES) >= 38
    assert len(load_queries()) >= 58


def test_query_ids_are_unique_and_kinds_known() -> None:
    queries = load_queries()
    assert len({query["_id"] for query in queries}) == len(queries)
    assert len({query["text"] for query in queries}) == len(queries)
    assert {query["metadata"]["kind"] for query in queries} == {"meaning", "words", "both"}


def test_qrels_name_existing_queries_and_pages_once() -> None:
    qrels = load_qrels()
    assert {query for query, _, _ in qrels} <= {query["_id"] for query in load_queries()}
    assert {page for _, page, _ in qrels} <= set(PAGES)
    assert {score for _, _, score in qrels} == {1, 2}
    twice = [pair for pair, n in Counter((q, page) for q, page, _ in qrels).items() if n > 1]
    assert twice == []


def test_every_query_has_a_page_that_answers_it() -> None:
    answered = {query for query, _, score in load_qrels() if score == 2}
    assert answered == {query["_id"] for query in load_queries()}


def test_exact_words_of_questions_occur_on_an_answering_page() -> None:
    qrels = load_qrels()
    for query in load_queries():
        answers = [body(page) for q, page, score in qrels if q == query["_id"] and score == 2]
        for code in re.findall(r"QM-\d{4}", query["text"]):
            assert any(code in text for text in answers), (query["_id"], code)


@pytest.mark.parametrize("page", PAGES)
def test_page_is_long_enough_and_has_one_title(page: str) -> None:
    text = body(page)
    assert len(text.split()) >= 150
    assert len(re.findall(r"^# ", CODE.sub("", text), re.MULTILINE)) == 1
    assert text.lstrip().startswith("# ")


@pytest.mark.parametrize("page", PAGES)
def test_front_matter_agrees_with_the_page(page: str) -> None:
    text = (CORPUS / page).read_text(encoding="utf-8")
    found = FRONT_MATTER.match(text)
    if found is None:
        assert not text.startswith("---")
        return
    fields = yaml.safe_load(found.group(1))
    assert fields.keys() <= {"title", "tags", "audience", "since"}
    assert fields["title"] == HEADING.findall(body(page))[0]
    assert fields["audience"] in {"operator", "developer", "admin"}
    assert all(isinstance(tag, str) for tag in fields["tags"])
    assert isinstance(fields.get("since", ""), str)


@pytest.mark.parametrize("page", PAGES)
def test_internal_links_resolve(page: str) -> None:
    for link in LINK.findall(CODE.sub("", body(page))):
        if link.startswith("https://"):
            continue
        path, _, fragment = link.partition("#")
        target = (CORPUS / page).parent / path if path else CORPUS / page
        assert target.is_file(), link
        if fragment:
            assert fragment in anchors(target.resolve().relative_to(CORPUS).as_posix()), link

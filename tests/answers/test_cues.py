"""What a question asks for, and signs of it."""

import pytest

from embedsearch.answers.cues import kind_of, offers


@pytest.mark.parametrize(
    ("question", "kind"),
    [
        ("Who founded the town?", "person"),
        ("When was the bridge built?", "time"),
        ("In what year did it open?", "time"),
        ("Which century saw its fall?", "time"),
        ("How many people live there?", "number"),
        ("What is the population of the town?", "number"),
        ("How old is the person who won?", "number"),
        ("Where did they meet?", "place"),
        ("What city hosted it?", "place"),
        ("Why did they leave?", "reason"),
        ("What was the group called?", "name"),
        ("How do I log in?", None),
        ("Describe the process.", None),
        ("", None),
    ],
)
def test_kinds(question, kind):
    assert kind_of(question) == kind


@pytest.mark.parametrize(
    ("sentence", "kind", "question", "offered"),
    [
        ("It was built in 1894.", "time", "When was it built?", True),
        ("It opened in May.", "time", "When did it open?", True),
        ("It opened in 1894.", "time", "When in 1894 did it open?", False),
        ("It was built of stone.", "time", "When was it built?", False),
        ("Twelve people live there.", "number", "How many people live there?", True),
        ("People live there.", "number", "How many people live there?", False),
        ("The town was founded by Ada Byron.", "person", "Who founded it?", True),
        ("The town was founded early.", "person", "Who founded the town?", False),
        ("They met in Paris.", "place", "Where did they meet?", True),
        ("They met often.", "place", "Where did they meet?", False),
        ("They left because of the rain.", "reason", "Why did they leave?", True),
        ("They left.", "reason", "Why did they leave?", False),
    ],
)
def test_signs(sentence, kind, question, offered):
    assert offers(sentence, kind, question) is offered

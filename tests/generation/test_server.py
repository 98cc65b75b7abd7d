"""A model behind a server: what is sent, what is made of the answer, and rude servers."""

from __future__ import annotations

import json
import logging
import socket
import time

import pytest

from embedsearch.errors import InputError, ServerError
from embedsearch.generation import GenerationConfig, ServerLimits, ServerLM
from tests.generation.rude_server import serving
from tests.text.toys import byte_bpe

PATIENT = ServerLimits(timeout_s=30, total_s=60, retries=2, wait_s=0.01)
HASTY = ServerLimits(timeout_s=2, total_s=60, retries=2, wait_s=0.01)
MESSAGES = [{"role": "user", "content": "Why is the sky blue?"}]
KEY = "sk-very-secret-0123456789"


def connect(server, limits=PATIENT, **options):
    return ServerLM.connect(server.url, limits=limits, **{"model": "m", "context": 1000, **options})


def polite(exchange):
    exchange.begin_events()
    exchange.pieces("Be", "cause ", "é日")
    exchange.done(prompt_tokens=7, completion_tokens=3)


def test_a_stream_comes_in_pieces():
    with serving(polite) as server:
        model = connect(server)
        stream = model.stream(MESSAGES)
        assert list(stream) == ["Be", "cause ", "é日"]
        found = stream.generation
        assert (found.text, found.finish) == ("Because é日", "end")
        assert (found.prompt_tokens, found.completion_tokens) == (7, 3)
        assert model.generate([MESSAGES]) == [found]
        [first, _] = server.asked
    assert (first.method, first.path) == ("POST", "/v1/chat/completions")
    assert first.body == {
        "messages": MESSAGES,
        "model": "m",
        "max_tokens": 256,
        "temperature": 0.0,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    assert model.name == f"m at {server.url}"


def test_how_it_decodes_is_sent():
    with serving(polite) as server:
        config = GenerationConfig(
            temperature=0.5, top_k=3, top_p=0.9, stop=("a", "b"), seed=4, max_new_tokens=5
        )
        connect(server).generate([MESSAGES], config)
        body = server.asked[0].body
    wanted = {"temperature": 0.5, "top_k": 3, "top_p": 0.9, "stop": ["a", "b"], "seed": 4}
    assert body.items() >= {**wanted, "max_tokens": 5}.items()
    assert "min_p" not in body


def test_several_prompts_and_sequences():
    def echo(exchange):
        said = exchange.body["messages"][0]["content"]
        exchange.begin_events()
        exchange.pieces(f"{said}{exchange.body.get('seed')}")
        exchange.done()

    prompts = [[{"role": "user", "content": str(number)}] for number in range(20)]
    config = GenerationConfig(temperature=1, num_return_sequences=2, seed=5)
    with serving(echo) as server:
        found = connect(server).generate(prompts, config)
    assert [one.text for one in found] == [f"{n}{s}" for n in range(20) for s in (5, 6)]


def test_a_text_is_continued():
    def answer(exchange):
        exchange.send(200, {"choices": [{"text": " upon", "finish_reason": "length"}]})

    with serving(answer) as server:
        [found] = connect(server).generate(["Once"])
        assert server.asked[0].path == "/v1/completions"
        assert server.asked[0].body["prompt"] == "Once"
    assert (found.text, found.finish) == (" upon", "length")
    assert (found.prompt_tokens, found.completion_tokens) == (2 + 8, 1)


def test_a_server_that_does_not_stream():
    def answer(exchange):
        message = {"role": "assistant", "content": "All at once."}
        exchange.send(200, {"choices": [{"message": message, "finish_reason": "stop"}]})

    with serving(answer) as server:
        assert list(connect(server).stream(MESSAGES)) == ["All at once."]


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_busy_server_is_asked_again(status):
    def busy(exchange):
        exchange.send(status, {"error": {"message": "later"}}, retry_after="0")

    with serving(busy, busy, polite) as server:
        assert connect(server).generate([MESSAGES])[0].text == "Because é日"
        assert len(server.asked) == 3
    with serving(busy) as server:
        with pytest.raises(ServerError, match=rf"answers {status} .*later \(asked 3 times\)"):
            connect(server).generate([MESSAGES])
        assert len(server.asked) == 3
        with pytest.raises(ServerError, match=r"later \(asked 1 time\)"):
            connect(server, ServerLimits(retries=0)).generate([MESSAGES])


@pytest.mark.parametrize("status", [400, 401, 404, 302])
def test_a_refusal_is_told_at_once(status):
    def refuse(exchange):
        exchange.send(status, {"error": {"message": "no\nway"}}, location="http://elsewhere")

    with serving(refuse) as server:
        with pytest.raises(ServerError, match=f"answers {status} .*: (no way|http://elsewhere)"):
            connect(server).generate([MESSAGES])
        assert len(server.asked) == 1


@pytest.mark.parametrize(
    ("reason", "finish"),
    [("stop", "end"), ("tool_calls", "end"), ("length", "length"),
     ("content_filter", "filter")],
)  # fmt: skip
def test_why_it_ended(reason, finish):
    def ends(exchange):
        exchange.begin_events()
        exchange.pieces("Be")
        exchange.done(reason)

    with serving(ends) as server:
        [found] = connect(server).generate([MESSAGES])
    assert (found.text, found.finish) == ("Be", finish)


def test_content_in_parts():
    """Thoughts are parts of another kind."""
    thought = {"type": "thinking", "thinking": [{"type": "text", "text": "Hm."}]}
    parts = [thought, {"type": "text", "text": "Be"}, {"type": "text", "text": "cause"}]

    def streamed(exchange):
        exchange.begin_events()
        for part in parts:
            exchange.event({"choices": [{"delta": {"content": [part]}}]})
        exchange.done()

    def whole(exchange):
        exchange.send(200, {"choices": [{"message": {"content": parts}, "finish_reason": "stop"}]})

    with serving(streamed, whole) as server:
        model = connect(server)
        assert [each.text for each in model.generate([MESSAGES])] == ["Because"]
        assert [each.text for each in model.generate([MESSAGES])] == ["Because"]


def test_a_refusal_in_words():
    """The model's own, in a field beside the content."""

    def streamed(exchange):
        exchange.begin_events()
        for words in (None, "I cannot ", "say."):
            exchange.event({"choices": [{"delta": {"content": None, "refusal": words}}]})
        exchange.done()

    def whole(exchange):
        message = {"content": None, "refusal": "I cannot say."}
        exchange.send(200, {"choices": [{"message": message, "finish_reason": "stop"}]})

    def none(exchange):
        message = {"content": "Because", "refusal": None}
        exchange.send(200, {"choices": [{"message": message, "finish_reason": "stop"}]})

    with serving(streamed, whole, none) as server:
        model = connect(server)
        stream = model.stream(MESSAGES)
        assert list(stream) == ["I cannot ", "say."]
        found = [stream.generation, *model.generate([MESSAGES]), *model.generate([MESSAGES])]
    assert [(each.text, each.finish) for each in found] == [
        ("I cannot say.", "refusal"),
        ("I cannot say.", "refusal"),
        ("Because", "end"),
    ]


def refused_and_broke_off(exchange):
    exchange.begin_events()
    exchange.event({"choices": [{"delta": {"refusal": "I cannot"}}]})


def half(exchange):
    exchange.begin_events()
    exchange.pieces("Half", " a")


def cut_short(exchange):
    exchange.send(200, b"data: {", kind="text/event-stream", content_length="1000")


def not_json(exchange):
    exchange.begin_events()
    exchange.pieces("Half", " a")
    exchange.write(b"data: <html>\n\n")


def slow(exchange):
    half(exchange)
    exchange.wait(4)


def failing(exchange):
    half(exchange)
    exchange.event({"error": {"message": "out of memory"}})


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (half, "broke off"),
        (not_json, "does not answer in JSON: '<html>'"),
        (slow, "sent nothing for 2 s"),
        (failing, "out of memory"),
    ],
)
def test_a_broken_stream_gives_what_came(answer, told):
    pieces = []
    limits = HASTY if answer is slow else PATIENT
    with serving(answer) as server:
        with pytest.raises(ServerError, match=told):
            pieces.extend(connect(server, limits).stream(MESSAGES))
        assert len(server.asked) == 1
    assert pieces == ["Half", " a"]


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (cut_short, "broke off"),
        (lambda e: e.send(200, b"<html>Welcome</html>", kind="text/html"), "Welcome"),
        (lambda e: e.send(200, b"\xff" * 10), "does not answer in JSON"),
        (lambda e: e.send(200, [1]), "does not speak OpenAI's protocol"),
        (lambda e: e.send(200, {"choices": [1]}), "does not speak OpenAI's protocol"),
        (lambda e: e.send(200, {"choices": [{"message": {"content": 1}}]}), "OpenAI's protocol"),
        (lambda e: e.send(200, {"choices": [{"message": {"content": [1]}}]}), "OpenAI's protocol"),
        (lambda e: e.send(200, {"choices": [{"message": {"content": [{"type": "text"}]}}]}),
         "OpenAI's protocol"),
        (lambda e: e.send(200, {"choices": [{"message": {"refusal": 1}}]}), "OpenAI's protocol"),
        (refused_and_broke_off, "broke off"),
        (lambda e: e.send(200, {}), "broke off"),
        (lambda e: e.send(200, b"[" * 100_000), "does not answer in JSON"),
        (lambda e: e.wait(4), "no answer for 2 s"),
    ],
)  # fmt: skip
def test_answers_that_are_none(answer, told):
    with serving(answer) as server, pytest.raises(ServerError, match=told):
        connect(server, HASTY if "for 2 s" in told else PATIENT).generate([MESSAGES])


def test_a_server_that_drips_is_left_in_time():
    def drip(exchange):
        exchange.begin_events()
        for _ in range(100):
            exchange.write(b": still here\n")
            exchange.wait(0.1)

    limits = ServerLimits(timeout_s=5, total_s=0.5, retries=0)
    began = time.monotonic()
    with serving(drip) as server:
        with pytest.raises(ServerError, match=r"not done after 0\.5 s"):
            connect(server, limits).generate([MESSAGES])
        assert time.monotonic() - began < 8


def test_a_server_that_sends_without_end(monkeypatch):
    monkeypatch.setattr("embedsearch.generation.http.MAX_ANSWER", 100_000)
    monkeypatch.setattr("embedsearch.generation.http.MAX_LINE", 10_000)

    def endless_line(exchange):
        exchange.begin_events()
        exchange.write(b"data: " + b"x" * 20_000)

    def endless_lines(exchange):
        exchange.begin_events()
        exchange.write(b": x\n" * 50_000)

    for answer in (endless_line, endless_lines):
        with serving(answer) as server, pytest.raises(ServerError, match="more than 0 MB"):
            connect(server).generate([MESSAGES])


def test_nobody_there():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/v1"
        with pytest.raises(ServerError, match=r"cannot be reached: .* \(asked 3 times\)"):
            ServerLM.connect(url, limits=PATIENT)


def models(*entries):
    return lambda exchange: exchange.send(200, {"data": list(entries)})


def test_what_a_server_has():
    with serving(models({"id": "big", "max_model_len": 32768})) as server:
        model = connect(server, model=None, context=None)
        assert (model.name, model.max_tokens) == (f"big at {server.url}", 32768)
        assert server.asked[0].path == "/v1/models"
    with serving(models({"id": "small", "meta": {"n_ctx": 2048}})) as server:
        assert connect(server, context=None, model="small").max_tokens == 2048
        assert connect(server, context=None, model="other").max_tokens == 4096
    with serving(models({"id": "a"}, {"id": "b"})) as server:
        with pytest.raises(InputError, match="it has: a, b"):
            connect(server, model=None)
        assert connect(server, model="b").max_tokens == 1000
    with serving(lambda e: e.send(404, b"")) as server:
        assert connect(server, context=None).max_tokens == 4096
        with pytest.raises(ServerError, match="404"):
            connect(server, model=None)
    unknown = pytest.raises(ServerError, match="does not list its models")
    with serving(lambda e: e.send(200, {"data": [3]})) as server, unknown:
        connect(server, model=None)


def test_the_key_is_sent_and_never_told(monkeypatch, caplog):
    monkeypatch.setenv("EMBEDSEARCH_LLM_KEY", KEY)
    caplog.set_level(logging.DEBUG)

    def tattle(exchange):
        exchange.send(401, {"error": {"message": f"wrong: {exchange.headers['Authorization']}"}})

    with serving(tattle) as server:
        with pytest.raises(ServerError, match="wrong: Bearer …") as caught:
            connect(server).generate([MESSAGES])
        assert server.asked[0].headers["Authorization"] == f"Bearer {KEY}"
    assert KEY not in str(caught.value)
    assert KEY not in caplog.text
    monkeypatch.setenv("EMBEDSEARCH_LLM_KEY", f"{KEY}\nX: y")
    with pytest.raises(InputError) as caught:
        connect(server)
    assert KEY not in str(caught.value)


def test_no_part_of_the_key_is_told(monkeypatch):
    """Wherever a server repeats it: in a stream, in an event of another protocol, before a cut."""
    monkeypatch.setenv("EMBEDSEARCH_LLM_KEY", KEY)

    def event(value):
        return lambda exchange: (exchange.begin_events(), exchange.event(value))

    filling = "x" * (200 - len(KEY) // 2)
    for answer in (
        event({"error": {"message": f"wrong: {KEY}"}}),
        event({"error": filling + KEY}),
        event({"choices": [{"delta": {"content": [KEY]}}]}),
        lambda e: e.send(400, {"error": {"message": filling + KEY}}),
        lambda e: e.send(200, filling.encode() + KEY.encode()),
    ):
        with serving(answer) as server, pytest.raises(ServerError) as caught:
            connect(server).generate([MESSAGES])
        assert KEY[:6] not in str(caught.value)


def test_events_with_an_error_that_is_none():
    def answer(exchange):
        exchange.begin_events()
        for text, finish in (("Be", None), ("cause", "stop")):
            choice = {"delta": {"content": text}, "finish_reason": finish}
            exchange.event({"choices": [choice], "error": None})

    with serving(answer) as server:
        assert connect(server).generate([MESSAGES])[0].text == "Because"


def test_the_name_of_the_format_has_no_case():
    def answer(exchange):
        choice = {"delta": {"content": "Because"}, "finish_reason": "stop"}
        data = f"data: {json.dumps({'choices': [choice]})}\n\n".encode()
        exchange.send(200, data, kind="Text/Event-Stream")

    with serving(answer) as server:
        assert connect(server).generate([MESSAGES])[0].text == "Because"


@pytest.mark.parametrize(
    ("pieces", "whole"),
    [
        (["a\ud83c", "\udf89b"], ["a", "🎉b"]),
        (["\ud83c\udf89"], ["🎉"]),
        (["a\ud83c"], ["a", "\ufffd"]),
        (["\udf89\ud83c", "\ud83c", "\udf89"], ["\ufffd", "\ufffd", "🎉"]),
    ],
)
def test_characters_that_are_cut_in_two(pieces, whole):
    def answer(exchange):
        exchange.begin_events()
        exchange.pieces(*pieces)
        exchange.done()

    with serving(answer) as server:
        stream = connect(server).stream(MESSAGES)
        assert list(stream) == whole
        assert stream.generation.text == "".join(whole)


@pytest.mark.parametrize(
    "url",
    [
        "http://",
        "ftp://host/v1",
        "http://host:port/v1",
        "http://user:sk-secret@host/v1",
        "http://host/v1?key=sk-secret",
    ],
)
def test_urls_that_cannot_be(url):
    with pytest.raises(InputError) as caught:
        ServerLM.connect(url)
    assert "sk-secret" not in str(caught.value)


def test_prompts_that_cannot_be():
    with serving(polite) as server:
        model = connect(server, context=50)
        with pytest.raises(InputError, match="num_beams"):
            model.generate([MESSAGES], GenerationConfig(num_beams=2, max_new_tokens=5))
        with pytest.raises(InputError, match="50"):
            model.stream(MESSAGES, GenerationConfig(max_new_tokens=40))
        with pytest.raises(InputError, match="list"):
            model.generate("text")
        for wrong in ("a \ud800", [{"role": "user", "content": None}], None):
            with pytest.raises(InputError, match="a prompt"):
                model.generate([wrong])
        assert server.asked == []


def test_counting():
    with serving(polite) as server:
        assert connect(server).count([{"role": "user", "content": "é" * 30}]) == 20 + 8
        tokenizer = byte_bpe()
        counted = connect(server, tokenizer=tokenizer).count("the cat")
        assert counted == tokenizer.count(["the cat"])[0] + 8


@pytest.mark.parametrize(
    "wrong", [{"timeout_s": 0}, {"total_s": "long"}, {"retries": -1}, {"wait_s": True}]
)
def test_limits_that_cannot_be(wrong):
    with pytest.raises(InputError, match=next(iter(wrong))):
        ServerLimits(**wrong)

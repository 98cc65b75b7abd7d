import json

import pytest

from embedsearch.errors import InputError, ModelError
from embedsearch.text.tokenizer import Tokenizer

CHATML = (
    "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\\n' + "
    "message['content'] + '<|im_end|>' + '\\n'}}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
LLAMA = """
{%- if messages[0]['role'] == 'system' %}
    {%- set system = messages[0]['content'] | trim %}
    {%- set messages = messages[1:] %}
{%- endif %}
{{- bos_token }}
{%- for message in messages %}
    {%- if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}
        {{- raise_exception('roles must alternate user/assistant') }}
    {%- endif %}
    {%- if loop.first and system is defined %}
        {{- '[INST] <<SYS>>' + system + '<</SYS>> ' + message['content'] + ' [/INST]' }}
    {%- elif message['role'] == 'user' %}
        {{- '[INST] ' + message['content'] + ' [/INST]' }}
    {%- else %}
        {% generation %}{{- ' ' + message['content'] + ' ' + eos_token }}{% endgeneration %}
    {%- endif %}
{%- endfor %}
"""
TOOLS = (
    "{% if tools %}{{ tools | tojson }} {{ tools | tojson(indent=2) }}{% endif %}"
    "{% for m in messages %}{% if m.role == 'tool' %}{% continue %}{% endif %}"
    "{{ m.content | default('', true) }}{% endfor %}"
)
MESSAGES = [
    {"role": "system", "content": " Be brief. "},
    {"role": "user", "content": "What is <b>5 & 6</b>?"},
    {"role": "assistant", "content": "Größe 11"},
    {"role": "user", "content": "Thanks"},
]
TOOL = {"type": "function", "function": {"name": "größer", "parameters": {"x": "<int>"}}}


@pytest.fixture(scope="module")
def plain() -> Tokenizer:
    return Tokenizer.train(["some words"], kind="byte")


def with_template(plain, folder, template) -> Tokenizer:
    plain.save(folder)
    (folder / "chat_template.jinja").write_text(template, encoding="utf-8")
    return Tokenizer.load(folder)


@pytest.mark.parametrize("template", [CHATML, LLAMA, TOOLS])
@pytest.mark.parametrize("prompt", [False, True])
def test_it_is_what_transformers_renders(plain, template, prompt, tmp_path):
    from transformers import AutoTokenizer

    tokenizer = with_template(plain, tmp_path, template)
    theirs = AutoTokenizer.from_pretrained(str(tmp_path), local_files_only=True)
    for messages, tools in ((MESSAGES, None), (MESSAGES[1:2], [TOOL])):
        expected = theirs.apply_chat_template(
            messages, tools=tools, add_generation_prompt=prompt, tokenize=False
        )
        assert expected
        found = tokenizer.apply_chat_template(messages, tools=tools, add_generation_prompt=prompt)
        assert found == expected


def test_chatml(plain, tmp_path):
    tokenizer = with_template(plain, tmp_path, CHATML)
    text = tokenizer.apply_chat_template(
        [{"role": "user", "content": "Hi"}], add_generation_prompt=True
    )
    assert text == "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"


def test_a_template_is_kept(plain, tmp_path):
    with_template(plain, tmp_path / "a", CHATML).save(tmp_path / "b")
    assert Tokenizer.load(tmp_path / "b").apply_chat_template(MESSAGES[1:2])


@pytest.mark.parametrize(
    "value",
    [
        CHATML,
        [{"name": "rag", "template": "no"}, {"name": "default", "template": CHATML}],
    ],
)
def test_a_template_in_the_config(plain, value, tmp_path):
    plain.save(tmp_path)
    path = tmp_path / "tokenizer_config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**config, "chat_template": value}), encoding="utf-8")
    text = Tokenizer.load(tmp_path).apply_chat_template(MESSAGES[1:2])
    assert text.startswith("<|im_start|>user")


def test_a_template_of_another_tokenizer_goes(plain, tmp_path):
    plain.with_chat_template(CHATML).save(tmp_path)
    plain.save(tmp_path)
    with pytest.raises(InputError, match="no chat template"):
        Tokenizer.load(tmp_path).apply_chat_template(MESSAGES)


def test_no_template(plain):
    with pytest.raises(InputError, match=r"no chat template.*chat_template\.jinja"):
        plain.apply_chat_template(MESSAGES)


def test_messages_that_the_template_refuses(plain, tmp_path):
    tokenizer = with_template(plain, tmp_path, LLAMA)
    with pytest.raises(InputError, match="refuses these messages: roles must alternate"):
        tokenizer.apply_chat_template([MESSAGES[2], MESSAGES[1]])


@pytest.mark.parametrize("messages", [["Hi"], [{"content": "Hi"}], [{"role": 3}]])
def test_messages_that_are_none(plain, messages, tmp_path):
    with pytest.raises(InputError, match="message 0 must be an object with `role`"):
        with_template(plain, tmp_path, CHATML).apply_chat_template(messages)


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("{% for %}", "^the chat template is damaged at line 1"),
        ("{{ messages.__class__.__mro__ }}", "leaves the sandbox"),
        ("{{ ''.__class__.__base__.__subclasses__() }}", "leaves the sandbox"),
        ("{{ messages.append(1) }}", "leaves the sandbox"),
        ("{{ 'a' * 10 ** 9 }}", "too much"),
        ("{{ 'a' * 1000000000 }}", "too much"),
        ("{{ range(10000000) | list }}", "fails on these messages"),
        ("{{ 1 / 0 }}", "fails on these messages: ZeroDivisionError"),
        ("{{ messages[99]['role'] }}", "fails on these messages"),
        ("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", "recurses without end"),
        ("{% include 'x' %}", "fails on these messages"),
    ],
)
def test_templates_that_are_not_to_be_trusted(plain, template, message, tmp_path):
    with pytest.raises(ModelError, match=message):
        with_template(plain, tmp_path, template).apply_chat_template(MESSAGES)

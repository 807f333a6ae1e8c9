import json
import shutil
import sys

import huggingface_hub
import pytest
from tests.models.tokens.families import TINY, tokenizer

from athlos.errors import ConfigError
from athlos.models.tokens import Tokenizer, load_tokenizer
from athlos.models.tokens.guard import MARK, Guard, unwrap


def templated(template, **config) -> Tokenizer:
    backend = tokenizer("qwen3").backend
    return Tokenizer(backend, config={"eos_token": "<|im_end|>", **config}, chat_template=template)


def text_of(template, **variables) -> str:
    return templated(template).render_chat([{"role": "user", "content": "hi"}], **variables)


def test_a_folder_and_its_file_load_the_same():
    folder, file = load_tokenizer(TINY), load_tokenizer(TINY / "tokenizer.json")
    assert folder.encode("<|im_start|>hello") == file.encode("<|im_start|>hello")
    assert folder.eos_token_id == folder.convert_tokens_to_ids("<|im_end|>")
    assert folder.chat_template == file.chat_template


def test_a_template_file_wins_over_the_configuration(tmp_path):
    shutil.copy(TINY / "tokenizer.json", tmp_path)
    (tmp_path / "tokenizer_config.json").write_text('{"chat_template": "old"}')
    (tmp_path / "chat_template.jinja").write_text("new")
    (tmp_path / "generation_config.json").write_text('{"eos_token_id": [7, 9]}')
    loaded = load_tokenizer(tmp_path)
    assert loaded.render_chat([]) == "new"
    assert loaded.generation_stop_ids == (7, 9)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda p: p / "missing" / "deeper", "no such file or folder"),
        (lambda p: p, "No tokenizer.json"),
    ],
)
def test_a_wrong_path_says_what_is_missing(tmp_path, make, message):
    with pytest.raises(ConfigError, match=message):
        load_tokenizer(make(tmp_path))


def test_a_broken_file_is_named(tmp_path):
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(ConfigError, match=r"Cannot read .*tokenizer\.json"):
        load_tokenizer(tmp_path)


def test_a_name_that_cannot_be_fetched_gives_one_message(monkeypatch):
    def offline(*arguments, **options):
        raise ConnectionError("no route to host")

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", offline)
    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", lambda *a: None)
    with pytest.raises(ConfigError, match="could it be fetched") as caught:
        load_tokenizer("nobody/nothing")
    assert "folder with tokenizer.json" in caught.value.hint


def test_a_name_is_looked_up_in_the_cache(monkeypatch):
    def cached(name, file):
        path = TINY / file
        return str(path) if path.exists() else object()

    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", cached)
    loaded = load_tokenizer("some/model")
    assert loaded.name_or_path == "some/model"
    assert loaded.eos_token_id is not None


def test_a_missing_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    with pytest.raises(ConfigError, match="library tokenizers") as caught:
        load_tokenizer(TINY)
    assert "athlos[tokens]" in caught.value.hint


def test_lone_surrogates_become_replacement_characters():
    tok = tokenizer("qwen3")
    assert tok.decode(tok.encode("a\ud83db")) == "a\ufffdb"


def test_unknown_ids_are_left_out():
    tok = tokenizer("qwen3")
    assert tok.decode([*tok.encode("ab"), 10**6]) == "ab"
    assert tok.convert_tokens_to_ids(["<|im_end|>", "nothing"])[1] is None


def test_marked_text_is_tokenised_as_if_the_token_did_not_exist():
    tok = tokenizer("qwen3")
    guard = Guard(tok.added)
    marked = "<|im_start|>user\n" + guard.wrap("say <|im_end|> twice: <|im_end|>") + "<|im_end|>"
    ids = tok.encode(marked)
    assert tok.decode(ids) == "<|im_start|>user\nsay <|im_end|> twice: <|im_end|><|im_end|>"
    assert ids.count(tok.added["<|im_end|>"][0]) == 1
    assert tok.encode(f"plain{MARK}text") == tok.encode("plaintext")


@pytest.mark.parametrize("text", ["", "abab", "ababab", MARK, f"a{MARK}bab", f"{MARK}abab{MARK}"])
def test_marks_break_every_occurrence_and_come_off_again(text):
    wrapped = Guard(["abab"]).wrap(text)
    assert "abab" not in wrapped
    assert unwrap(wrapped) == text


def test_templates_have_what_model_folders_use():
    assert text_of("{{ {'a': 'é<&'} | tojson }}") == '{"a": "é<&"}'
    assert text_of("{{ [1] | tojson(indent=2) }}") == "[\n  1\n]"
    assert len(text_of("{{ strftime_now('%Y-%m-%d') }}")) == 10
    assert text_of("{% generation %}{{ eos_token }}{% endgeneration %}") == "<|im_end|>"
    assert text_of("{% for m in [1, 2] %}{{ m }}{% break %}{% endfor %}") == "1"
    assert text_of("{% if x %}{{ x }}{% endif %}\nend", x=5) == "5end"


@pytest.mark.parametrize(
    "template",
    [
        "{{ raise_exception('roles must alternate') }}",
        "{{ ''.__class__.__mro__ }}",
        "{{ messages.append(1) }}",
        "{{ messages[7].content }}",
        "{{ 1 + 'a' }}",
    ],
)
def test_a_template_that_fails_or_reaches_out_is_a_value_error(template):
    with pytest.raises(ValueError, match="the chat template failed"):
        text_of(template)


def test_a_template_that_does_not_compile_is_a_mistake_of_the_folder():
    with pytest.raises(ConfigError, match="does not compile"):
        templated("{% if %}")


def test_templates_by_name(tmp_path):
    shutil.copy(TINY / "tokenizer.json", tmp_path)
    entries = [{"name": n, "template": n} for n in ("default", "tool_use")]
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"chat_template": entries}))
    loaded = load_tokenizer(tmp_path)
    assert loaded.render_chat([]) == "default"
    assert loaded.render_chat([], tools=[{"name": "f"}]) == "tool_use"
    assert loaded.apply_chat_template([]) == loaded.encode("default")
    assert loaded.apply_chat_template([], tokenize=False) == "default"


def test_no_template_is_a_mistake():
    with pytest.raises(ConfigError, match="no chat template"):
        tokenizer("qwen3").render_chat([])


def test_a_vocabulary_with_thousands_of_added_tokens():
    guard = Guard([*(f"<unused{i}>" for i in range(6000)), "<a>", "<a><b>", "[x", "[[x"])
    marked = guard.wrap("<unused5999> <unused6000> <a><b> [[x <html>")
    assert marked.replace(MARK, "·") == "<·unused5999> <unused6000> <·a><b> [·[·x <html>"

"""A tokenizer from elsewhere is read as it was saved: no class, code or habit of transformers' changes its tokens."""

import json
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

from biogen.encoding import Encoder
from biogen.saved import beginning, load_saved, plain
from biogen.tokenizer import is_at_hand, make_tokenizer

TEXT = "Ada Bell Cole was born on May 11, 2041."
COVER = [["Ada", " Bell", " Cole", " was born on", " May 11,", " 2041", "."]]


def trained() -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    special = ["<s>", "</s>"]
    trainer = trainers.BpeTrainer(special_tokens=special, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator([TEXT] * 9, trainer)
    return tokenizer


@pytest.fixture
def saved(tmp_path: Path) -> PreTrainedTokenizerFast:
    """A tokenizer, saved in a folder."""
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=trained(), bos_token="<s>", eos_token="</s>")
    tokenizer.save_pretrained(tmp_path)
    return tokenizer


def alter(file: Path, **changes: object) -> None:
    content = json.loads(file.read_text()) if file.exists() else {}
    file.write_text(json.dumps(content | changes))


def tokens(folder: Path) -> list[str]:
    return plain(load_saved(str(folder))).encode(TEXT).tokens


@pytest.mark.parametrize("kind", ["qwen2", "llama", "gpt2", "gemma", "deepseek_v2"])
def test_the_type_of_a_model_does_not_change_its_tokens(saved: PreTrainedTokenizerFast, tmp_path: Path, kind: str):
    alter(tmp_path / "config.json", model_type=kind)
    assert tokens(tmp_path) == trained().encode(TEXT).tokens


def test_saved_truncation_padding_and_dropout_are_not_used(saved: PreTrainedTokenizerFast, tmp_path: Path):
    backend = saved.backend_tokenizer
    backend.enable_truncation(3)
    backend.enable_padding(length=200)
    backend.save(str(tmp_path / "tokenizer.json"))
    state = json.loads((tmp_path / "tokenizer.json").read_text())
    alter(tmp_path / "tokenizer.json", model=state["model"] | {"dropout": 0.9})
    alter(tmp_path / "tokenizer_config.json", model_max_length=4)
    assert tokens(tmp_path) == trained().encode(TEXT).tokens
    spliced = make_tokenizer(str(tmp_path), 0, [], COVER).split(COVER)
    assert sum(len(piece) for piece in spliced[0]) == len(trained().encode(TEXT).tokens)


@pytest.mark.parametrize(
    ("template", "expected"), [("<s> $A", ["<s>"]), ("<s> </s> $A </s>", ["<s>", "</s>"]), ("$A </s>", []), (None, [])]
)
def test_what_stands_before_a_text(template: str | None, expected: list[str]):
    tokenizer = trained()
    if template:
        tokenizer.post_processor = processors.TemplateProcessing(template, special_tokens=[("<s>", 0), ("</s>", 1)])
    tokenizer.enable_padding(direction="left", length=99)
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer)
    assert fast.convert_ids_to_tokens(beginning(fast, TEXT)) == expected
    assert plain(fast).encode(TEXT).ids == trained().encode(TEXT).ids


EVIL = """open({there!r}, "w")
from transformers import PreTrainedTokenizerFast as T
"""


def test_code_of_a_folder_is_never_run_and_never_asked_about(saved: PreTrainedTokenizerFast, tmp_path: Path):
    """Whatever stands on standard input; with a tokenizer.json and without."""
    (tmp_path / "evil.py").write_text(EVIL.format(there=str(tmp_path / "exploded")))
    alter(tmp_path / "config.json", model_type="evil", auto_map={"AutoConfig": "evil.C"})
    alter(tmp_path / "tokenizer_config.json", auto_map={"AutoTokenizer": ["evil.T", "evil.T"]}, tokenizer_class="Evil")
    bare = shutil.copytree(tmp_path, tmp_path / "bare")
    (bare / "tokenizer.json").unlink()
    for folder, code in ((tmp_path, 0), (bare, 1)):
        program = "import sys; from biogen.tokenizer import is_at_hand; is_at_hand(sys.argv[1])"
        command = [sys.executable, "-c", program, str(folder)]
        done = subprocess.run(command, input="y\n" * 9, capture_output=True, text=True, check=False)
        assert done.returncode == code
        assert done.stderr.count("ValueError: tokenizer: ") == code
    assert not (tmp_path / "exploded").exists()


@pytest.mark.parametrize("kind", ["gpt_neox", "qwen3", "llama", "bert"])
def test_no_tokenizer_is_made_up(tmp_path: Path, kind: str):
    alter(tmp_path / "config.json", model_type=kind)
    for load in (is_at_hand, lambda name: make_tokenizer(name, 0, [], COVER)):
        with pytest.raises(ValueError, match=r"^tokenizer: '.*' (has no tokenizer.json|cannot be loaded)[^\n]*$"):
            load(str(tmp_path))


def test_half_of_the_files_are_not_enough(tmp_path: Path):
    trained().model.save(str(tmp_path))
    alter(tmp_path / "config.json", model_type="gpt2")
    assert plain(load_saved(str(tmp_path))).encode(TEXT).tokens == trained().encode(TEXT).tokens
    (tmp_path / "merges.txt").unlink()
    with pytest.raises(ValueError, match=r"(has no tokenizer\.json, nor merges\.txt and vocab\.json|cannot be loaded)"):
        load_saved(str(tmp_path))


def test_sentencepiece_alone_is_converted_where_it_can_be(tmp_path: Path):
    alter(tmp_path / "config.json", model_type="llama")
    if find_spec("sentencepiece") is None:
        (tmp_path / "tokenizer.model").write_bytes(b"whatever")
        with pytest.raises(
            ValueError, match=r"^'.*' cannot be loaded \([^\n]*; SentencePiece's files need sentencepiece\)$"
        ):
            load_saved(str(tmp_path))
        return
    import sentencepiece

    (tmp_path / "text").write_text(f"{TEXT}\n" * 50)
    options = {"model_prefix": tmp_path / "tokenizer", "vocab_size": 40, "hard_vocab_limit": False, "minloglevel": 2}
    sentencepiece.SentencePieceTrainer.train(input=tmp_path / "text", **options)
    original = sentencepiece.SentencePieceProcessor(str(tmp_path / "tokenizer.model"))
    assert tokens(tmp_path) == original.encode(TEXT, out_type=str)


@pytest.mark.parametrize("content", ["[" * 9999, "{}", "", '{"model": 3}'])
def test_a_file_that_is_no_tokenizer_is_refused_in_one_line(
    saved: PreTrainedTokenizerFast, tmp_path: Path, content: str
):
    (tmp_path / "tokenizer.json").write_text(content)
    with pytest.raises(
        ValueError, match=r"^tokenizer: '.*' cannot be loaded \([^\n]*\); allowed are bpe, word, bytes, or"
    ):
        make_tokenizer(str(tmp_path), 0, [], COVER)


def test_a_tokenizer_that_is_not_a_fast_one_is_refused():
    with pytest.raises(ValueError, match=r"tokenizer: object is not a fast one; must have a tokenizer\.json"):
        plain(object())


@pytest.mark.parametrize("contents", [["aa"] * 40, ["a" * 10_000], ["AA"] * 40])
def test_a_normalizer_that_takes_all_memory_is_refused(contents: list[str]):
    tokenizer = trained()
    steps = [step for content in contents for step in (normalizers.Replace("a", content), normalizers.Lowercase())]
    tokenizer.normalizer = normalizers.Sequence(steps)
    with pytest.raises(ValueError, match=r"tokenizer: its normalizer makes texts 1\S* times as long; at most 64"):
        plain(PreTrainedTokenizerFast(tokenizer_object=tokenizer))


def test_replacements_of_different_characters_do_not_multiply():
    tokenizer = trained()
    digits = [normalizers.Replace(str(digit), word) for digit, word in enumerate(["ten ", "twenty "] * 5)]
    tokenizer.normalizer = normalizers.Sequence(digits)
    (spelled, _), *_ = tokenizer.pre_tokenizer.pre_tokenize_str("twenty")
    assert spelled in "".join(plain(PreTrainedTokenizerFast(tokenizer_object=tokenizer)).encode("1").tokens)


def test_a_template_of_a_token_that_is_not_there_is_refused():
    state = json.loads(trained().to_str())
    template = {"type": "TemplateProcessing", "pair": [], "special_tokens": {}}
    state["post_processor"] = template | {"single": [{"SpecialToken": {"id": "x", "type_id": 0}}]}
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=Tokenizer.from_str(json.dumps(state)))
    with pytest.raises(ValueError, match=r"^tokenizer: it cannot read these texts \([^\n]*\); is it of another"):
        beginning(tokenizer, TEXT)


def test_a_token_number_that_takes_all_memory_is_refused(tmp_path: Path):
    model = {"type": "WordLevel", "vocab": {"Ada": 4_000_000_000}, "unk_token": "Ada"}
    (tmp_path / "tokenizer.json").write_text(json.dumps({"version": "1.0", "added_tokens": [], "model": model}))
    with pytest.raises(ValueError, match="it has a token number 4000000000; must be below 16777216"):
        load_saved(str(tmp_path))


def test_a_panic_of_the_library_is_a_mistake_in_one_line():
    class Panicking:
        def encode_batch(self, texts: list[str], add_special_tokens: bool):
            raise type("PanicException", (BaseException,), {})("retry-limit-in-match over")

    encoder = Encoder(trained())
    encoder._backend = Panicking()  # type: ignore[assignment]
    with pytest.raises(ValueError, match=r"^tokenizer: it cannot read these texts \(retry-limit-in-match over\)"):
        encoder.encode([TEXT])

"""Tokenizers in Hugging Face's form, made here so that no test needs the network."""

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import pytest
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

from biogen.pools import PoolSizes, load_pools
from biogen.templates import load_bank


def corpus() -> list[str]:
    """Every word that a biography or a question can have."""
    bank = load_bank(312)
    lines = [line for kind in (bank.templates, bank.questions) for lines in kind.values() for line in lines]
    values = [value for values in asdict(load_pools(PoolSizes())).values() for value in values]
    subjects = [" He", " She"]
    return [line.format(subject="He", value=".", name=".") for line in lines] + [f" {v}, x." for v in values] + subjects


def gpt2_like() -> tuple[Tokenizer, dict[str, str]]:
    """Byte-level BPE: the first word of a text has tokens of its own, for want of a space before it."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    tokenizer.decoder = decoders.ByteLevel()
    end = "<|endoftext|>"
    trainer = trainers.BpeTrainer(
        vocab_size=1200,
        special_tokens=[end],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(corpus(), trainer)
    return tokenizer, {"eos_token": end, "unk_token": end}


def bert_like() -> tuple[Tokenizer, dict[str, str]]:
    """WordPiece in lower case, which has no end token."""
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    trainer = trainers.WordPieceTrainer(vocab_size=1200, special_tokens=["[UNK]", "[CLS]"], show_progress=False)
    tokenizer.train_from_iterator(corpus(), trainer)
    tokenizer.post_processor = processors.TemplateProcessing("[CLS] $0", special_tokens=[("[CLS]", 1)])
    return tokenizer, {"unk_token": "[UNK]", "cls_token": "[CLS]"}


def unigram() -> tuple[Tokenizer, dict[str, str]]:
    """Unigram with SentencePiece's spaces; only whole words and no letters stand alone in many texts."""
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Metaspace(), pre_tokenizers.Punctuation(behavior="isolated")]
    )
    tokenizer.decoder = decoders.Metaspace()
    trainer = trainers.UnigramTrainer(
        vocab_size=1200, special_tokens=["<unk>", "</s>"], unk_token="<unk>", show_progress=False
    )
    tokenizer.train_from_iterator(corpus(), trainer)
    return tokenizer, {"unk_token": "<unk>", "eos_token": "</s>"}


def joining() -> tuple[Tokenizer, dict[str, str]]:
    """BPE over whole texts: its tokens reach from one word into the next."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
    trainer = trainers.BpeTrainer(vocab_size=1000, special_tokens=["<unk>"], show_progress=False)
    tokenizer.train_from_iterator(corpus(), trainer)
    return tokenizer, {"unk_token": "<unk>"}


def without_digits() -> tuple[Tokenizer, dict[str, str]]:
    """WordPiece that knows no digits."""
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    trainer = trainers.WordPieceTrainer(vocab_size=1200, special_tokens=["[UNK]"], show_progress=False)
    tokenizer.train_from_iterator([line for line in corpus() if not any(c.isdigit() for c in line)], trainer)
    return tokenizer, {"unk_token": "[UNK]"}


MAKERS = {maker.__name__: maker for maker in (gpt2_like, bert_like, unigram, joining, without_digits)}


@pytest.fixture(scope="session")
def hugging_face(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The folder of the tokenizer of that name; other names stand for themselves."""
    folders: dict[str, Path] = {}

    def folder(name: str) -> Path:
        if name not in folders:
            tokenizer, special = MAKERS[name]()
            folders[name] = tmp_path_factory.mktemp(name)
            PreTrainedTokenizerFast(tokenizer_object=tokenizer, **special).save_pretrained(folders[name])
        return folders[name]

    return folder

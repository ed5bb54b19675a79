"""Tokenizers: byte-level BPE or whole words made from the data set itself, or any of Hugging Face's; all are
reduced to the tokens that the data set uses, renumbered from 0.

In: sample texts, and covering texts (lists of pieces) in which every piece of the data set stands. Out: a
`Tokenizer` that gives the tokens of pieces, and that saves itself as a Hugging Face folder whose tokenizer gives
a whole text exactly the tokens that splicing its pieces gives.
"""

import json
import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import AddedToken, decoders, models, pre_tokenizers, trainers
from tokenizers import Tokenizer as Backend

from basis.hub import may_be_on_hub
from basis.reading import read_json
from biogen.config import MADE_TOKENIZERS
from biogen.encoding import Encoder
from biogen.saved import load_saved, plain

END = "<|endoftext|>"
DOMAIN = "<|biography|>"
BYTES = "bytes"


class Tokenizer:
    """A tokenizer that knows only the tokens in use; the end token is number 0, other special ones follow."""

    def __init__(self, backend: Backend, used: Sequence[int], special: Sequence[str]) -> None:
        """`used`: the backend's ids to keep, in their new order, those of `special` first."""
        self.backend = _reduce(backend, used, special)
        self.vocab = len(used)
        self.special = tuple(special)
        assert [self.backend.token_to_id(token) for token in special] == list(range(len(special)))

    def encode(self, text: str) -> list[int]:
        """The tokens of a whole text, without an end token."""
        return self.backend.encode(text, add_special_tokens=False).ids

    def decode(self, tokens: Sequence[int]) -> str:
        """The text of tokens, special ones left out."""
        return self.backend.decode(list(tokens)).strip()

    def split(self, texts: Iterable[Sequence[str]]) -> list[list[list[int]]]:
        """The tokens of every piece of every text; see `split_tokens`."""
        return split_tokens(self.backend, texts)

    def unknown_words(self, text: str) -> list[str]:
        """The words and punctuation marks of any text that have no tokens among those in use, each once, in order."""
        encoding = _forgiving(self.backend).encode(text, add_special_tokens=False)
        known = range(len(self.special), self.vocab)
        places = {
            place
            for token, (start, end) in zip(encoding.ids, encoding.offsets, strict=True)
            if token not in known
            for place in range(start, end)
        }
        words = (match for match in re.finditer(r"\w+|[^\w\s]", text) if not places.isdisjoint(range(*match.span())))
        return list(dict.fromkeys(match[0] for match in words))

    def save_pretrained(self, folder: Path) -> None:
        """Write a folder that `AutoTokenizer.from_pretrained` reads.

        What no text of the data set holds is an error of this tokenizer, but an end token of the one in the folder,
        which names it as its unknown token too, so that a user may write anything.
        """
        from transformers import PreTrainedTokenizerFast  # slow to import

        PreTrainedTokenizerFast(
            tokenizer_object=_forgiving(self.backend),
            eos_token=self.special[0],
            unk_token=self.special[0],
            extra_special_tokens=list(self.special[1:]),
        ).save_pretrained(folder)
        file = folder / "tokenizer_config.json"
        config = read_json(file)
        # Names that transformers 4 knows, and 5 reads, too; 4 takes the space before a text from here alone.
        config["tokenizer_class"] = "PreTrainedTokenizerFast"
        config["additional_special_tokens"] = config.pop("extra_special_tokens")
        split = json.loads(self.backend.to_str())["pre_tokenizer"] or {}
        config |= {key: split[key] for key in split if key == "add_prefix_space"}
        file.write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")


def make_tokenizer(
    name: str, vocab: int, corpus: Sequence[str], cover: Sequence[Sequence[str]], extra: Sequence[str] = ()
) -> Tokenizer:
    """The tokenizer called `name`, reduced to the tokens that `cover` uses.

    name: `bpe` (as near to `vocab` tokens in use as merges allow, never more), `word`, `bytes`, or a name or folder of
    Hugging Face's. corpus: texts whose word frequencies a BPE is trained on, in the words of `cover`. cover: texts
    as lists of pieces in which every piece of the data set stands at least once. extra: special tokens besides the
    end token.

    Raises ValueError for a vocabulary smaller than the alphabet, for a name that is no tokenizer, and for a
    tokenizer that joins two pieces into one token or does not know every character.
    """
    if name == "bpe":
        return _train_bpe(vocab, [*corpus, *map("".join, cover)], cover, [END, *extra])
    if name == "word":
        return _whole_words(cover, [END, *extra])
    if name == BYTES:
        return _single_bytes([" ", *map("".join, cover)], [END, *extra])
    return _from_pretrained(name, cover, extra)


def text_tokenizer(name: str, vocab: int, training: Sequence[str], held_out: Sequence[str]) -> Tokenizer:
    """The tokenizer called `name`, reduced to the tokens that texts use, for texts that are no pieces.

    It puts no space before a text. name: as for `make_tokenizer`, but not `word`. training: texts that a BPE is trained
    on. held_out: texts that it has tokens for, too. Raises ValueError as `make_tokenizer` does.
    """
    texts = [*training, *held_out]
    if name == "bpe":
        return _train_bpe(vocab, training, [[text] for text in texts], [END], prefix=False)
    if name == BYTES:
        return _single_bytes(texts, [END], prefix=False)
    backend, special, unknown = _load(name, ())
    backend.encode_special_tokens = True
    encoder = Encoder(backend, unknown)
    in_use: set[int] = set()
    for text in texts:
        in_use.update(np.unique(encoder.encode([text]).tokens).tolist())
    return _in_use(backend, special, in_use)


def word_tokenizer(words: Sequence[str], special: Sequence[str]) -> Tokenizer:
    """A token for each special one and each word; words stand between spaces."""
    vocabulary = {word: number for number, word in enumerate([*special, *words])}
    backend = Backend(models.WordLevel(vocabulary, unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return Tokenizer(backend, range(len(vocabulary)), special)


def split_tokens(backend: Backend, texts: Iterable[Sequence[str]], unknown: int | None = None) -> list[list[list[int]]]:
    """Tokenize whole texts and cut the tokens where the pieces meet.

    unknown: the token that stands for what the tokenizer does not know. Raises ValueError if a token reaches over the
    border of two pieces, as splicing could not give its text, and if the tokens lose a part of the text.
    """
    texts = list(texts)
    encoded = Encoder(backend, unknown).encode(["".join(text) for text in texts])
    pieces = [piece for text in texts for piece in text]
    owners = encoded.owners(np.repeat(np.arange(len(pieces)), [len(piece) for piece in pieces]))
    split: list[list[int]] = [[] for _ in pieces]
    for token, owner in zip(encoded.tokens.tolist(), owners.tolist(), strict=True):
        split[owner].append(token)
    of_pieces = iter(split)
    return [[next(of_pieces) for _ in text] for text in texts]


def byte_letters() -> list[str]:
    """The letter that stands for each byte in the names of tokens, as in GPT-2's: its own if that can be printed."""
    plain = {*range(33, 127), *range(161, 173), *range(174, 256)}
    others = iter(range(256, 512))
    return [chr(byte) if byte in plain else chr(next(others)) for byte in range(256)]


def _byte_level(model: models.Model, prefix: bool = True) -> Backend:
    """GPT-2's splitting into words. prefix: a text's first word gets a space, so a name is the same everywhere."""
    backend = Backend(model)
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=prefix)
    backend.decoder = decoders.ByteLevel()
    return backend


def _words(backend: Backend, cover: Iterable[Sequence[str]]) -> list[str]:
    """Every word, as the pre-tokenizer writes it, that stands in the covering texts; sorted."""
    split = backend.pre_tokenizer.pre_tokenize_str
    return sorted({word for text in cover for word, _ in split("".join(text))})


def _whole_words(cover: Sequence[Sequence[str]], special: list[str]) -> Tokenizer:
    names = special + _words(_byte_level(models.WordLevel({})), cover)
    vocabulary = {name: number for number, name in enumerate(names)}
    backend = _byte_level(models.WordLevel(vocabulary, unk_token=END))
    return Tokenizer(backend, range(len(names)), special)


def _single_bytes(texts: Sequence[str], special: list[str], prefix: bool = True) -> Tokenizer:
    """A token for each byte that stands in the texts: a BPE without merges."""
    letters = byte_letters()
    names = [*special, *sorted(letters[byte] for byte in set().union(*(text.encode() for text in texts)))]
    backend = _byte_level(models.BPE({name: number for number, name in enumerate(names)}, []), prefix)
    return Tokenizer(backend, range(len(names)), special)


def _train_bpe(
    vocab: int, corpus: Sequence[str], cover: Sequence[Sequence[str]], special: list[str], prefix: bool = True
) -> Tokenizer:
    """Train more merges than needed once, then keep the longest run of them that uses at most `vocab` tokens.

    The number of tokens in use grows with the merges, but slower: a merge can make its parts useless.
    """
    backend = _byte_level(models.BPE(), prefix)
    words = _words(backend, cover)
    alphabet = sorted({letter for word in words for letter in word})
    if vocab < len(special) + len(alphabet):
        raise ValueError(
            f"vocab: {vocab} is too small; this data set's alphabet and end token take {len(special) + len(alphabet)}"
        )
    trainer = trainers.BpeTrainer(
        vocab_size=4 * vocab + 4096, special_tokens=special, initial_alphabet=alphabet, show_progress=False
    )
    backend.train_from_iterator(corpus, trainer)
    merges = [tuple(merge) for merge in json.loads(backend.to_str())["model"]["merges"]]

    def with_merges(count: int) -> tuple[models.BPE, list[str]]:
        names = special + alphabet + ["".join(merge) for merge in merges[:count]]
        model = models.BPE({name: i for i, name in enumerate(dict.fromkeys(names))}, merges[:count])
        return model, sorted({token.value for word in words for token in model.tokenize(word)})

    low, high = 0, len(merges)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if len(with_merges(middle)[1]) + len(special) <= vocab else (low, middle - 1)
    model, in_use = with_merges(low)
    backend = _byte_level(model, prefix)
    vocabulary = backend.get_vocab()
    return Tokenizer(backend, [vocabulary[token] for token in special + in_use], special)


def is_at_hand(name: str) -> bool:
    """Whether the tokenizer called `name` is available without the network.

    Raises ValueError for a name that is no tokenizer here and that the hub cannot have, such as another file's.
    """
    if name in MADE_TOKENIZERS:
        return True
    try:
        load_saved(name, local=True)
    except ValueError as error:
        if may_be_on_hub(name):
            return False
        raise _refused(error) from None
    return True


def _refused(error: ValueError) -> ValueError:
    made = ", ".join(MADE_TOKENIZERS)
    return ValueError(f"tokenizer: {error}; allowed are {made}, or the name or folder of a Hugging Face tokenizer")


def _from_pretrained(name: str, cover: Sequence[Sequence[str]], extra: Sequence[str]) -> Tokenizer:
    backend, special, unknown = _load(name, extra)
    split = split_tokens(backend, cover, unknown)
    return _in_use(backend, special, {token for text in split for piece in text for token in piece})


def _load(name: str, extra: Sequence[str]) -> tuple[Backend, list[str], int | None]:
    """A tokenizer of Hugging Face's with its special tokens, and the token for what it does not know."""
    try:
        loaded = load_saved(name)
    except ValueError as error:
        raise _refused(error) from None
    backend, special = plain(loaded), [loaded.eos_token or END, *extra]
    backend.add_special_tokens(special)
    return backend, special, loaded.unk_token_id


def _in_use(backend: Backend, special: list[str], in_use: set[int]) -> Tokenizer:
    """A tokenizer reduced to these tokens. Raises ValueError if the end token is among them."""
    vocabulary = backend.get_vocab()
    special_ids = [vocabulary[token] for token in special]
    if ends := in_use.intersection(special_ids):
        token = backend.id_to_token(min(ends))
        raise ValueError(f"tokenizer: its token {token!r} stands before every text and in it; must end texts alone")
    return Tokenizer(backend, special_ids + sorted(in_use), special)


def _reduce(backend: Backend, used: Sequence[int], special: Sequence[str]) -> Backend:
    """The same tokenizer with the used tokens alone, in their new order.

    A BPE must keep the tokens that the used ones are merged from, and a Unigram needs one for unknown text; they get
    the numbers after the used ones. No text of the data set contains them.
    """
    state = json.loads(backend.to_str())
    names = [str(backend.id_to_token(token)) for token in used]
    kind = state["model"]["type"]
    if kind not in _REDUCERS:
        raise ValueError(f"tokenizer: its model is of type {kind}; allowed are {', '.join(sorted(_REDUCERS))}")
    _REDUCERS[kind](state["model"], names)
    number = {name: place for place, name in enumerate(names)}
    kept = [token for token in state["added_tokens"] if token["content"] in number.keys() - set(special)]
    state["added_tokens"] = [token | {"id": number[token["content"]]} for token in kept]
    state["post_processor"] = state["truncation"] = state["padding"] = None
    reduced = Backend.from_str(json.dumps(state))
    reduced.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in special])
    return reduced


def _forgiving(backend: Backend) -> Backend:
    """The same tokenizer, with token 0, the end token, for text that has no token."""
    state = json.loads(backend.to_str())
    if state["model"]["type"] == "Unigram":
        state["model"]["unk_id"] = 0
    else:
        state["model"]["unk_token"] = backend.id_to_token(0)
    return Backend.from_str(json.dumps(state))


def _reduce_bpe(model: dict[str, Any], names: list[str]) -> None:
    merges = [tuple(m) if isinstance(m, list) else tuple(m.split(" ")) for m in model["merges"]]
    prefix = model.get("continuing_subword_prefix") or ""
    products = [left + right.removeprefix(prefix) for left, right in merges]
    needed = set(names)
    for merge, product in zip(reversed(merges), reversed(products), strict=True):
        if product in needed:
            needed.update(merge)
    model["merges"] = [merge for merge, product in zip(merges, products, strict=True) if product in needed]
    parts = sorted(needed - set(names), key=model["vocab"].__getitem__)
    model["vocab"] = {name: number for number, name in enumerate([*names, *parts])}
    model["unk_token"] = None


def _reduce_word_vocabulary(model: dict[str, Any], names: list[str]) -> None:
    model["vocab"] = {name: number for number, name in enumerate(names)}
    model["unk_token"] = "<unk>"  # not in the vocabulary, so that a word of no biography is an error


def _reduce_unigram(model: dict[str, Any], names: list[str]) -> None:
    scores = dict(model["vocab"])
    model["vocab"] = [[name, scores.get(name, 0.0)] for name in names]
    # A Unigram needs it for letters that are not tokens; its score is never the best, and no better than before.
    model["vocab"].append(["<unk>", min(scores.values())])
    model["unk_id"] = len(names)


_REDUCERS: dict[str, Callable[[dict[str, Any], list[str]], None]] = {
    "BPE": _reduce_bpe,
    "WordLevel": _reduce_word_vocabulary,
    "WordPiece": _reduce_word_vocabulary,
    "Unigram": _reduce_unigram,
}

"""Families of models that users train with transformers' Trainer, on texts that biogen wrote: each is measured as a
scorer of a dozen lines measures it, that knows nothing of this project but the formula of the bits.
"""

import math
from collections import defaultdict

import numpy as np
import pandas
import pytest
import torch
import transformers as T

import eval
from basis.flags import UserError
from biogen.config import DataConfig
from biogen.dataset import EVALUATION, make_dataset
from biogen.folder import write_dataset
from eval.__main__ import main
from eval.hf import load

PEOPLE = 12
POOLS = {"first_names": 3, "middle_names": 4, "last_names": 5, "birth_cities": 6, "universities": 5, "majors": 4}
DATA = DataConfig(people=PEOPLE, templates=6, tokenizer="word", pools={**POOLS, "employers": 5})
SMALL = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "max_position_embeddings": 128}
GATED = {**SMALL, "intermediate_size": 24, "num_key_value_heads": 1}
PLAIN = {**SMALL, "intermediate_size": 32}
CAUSAL = {
    "gpt2": (T.GPT2Config, {"n_embd": 16, "n_layer": 1, "n_head": 2, "n_positions": 128}),
    "llama": (T.LlamaConfig, GATED),
    "qwen2": (T.Qwen2Config, GATED | {"tie_word_embeddings": True}),
    "qwen3": (T.Qwen3Config, GATED | {"head_dim": 8}),
    "mistral": (T.MistralConfig, GATED | {"sliding_window": 16}),
    "gemma3": (T.Gemma3TextConfig, GATED | {"head_dim": 8, "query_pre_attn_scalar": 8, "sliding_window": 16}),
    "phi": (T.PhiConfig, PLAIN),
    "gpt_neox": (T.GPTNeoXConfig, PLAIN),
    "opt": (T.OPTConfig, {**SMALL, "ffn_dim": 32, "word_embed_proj_dim": 16}),
    "mamba": (T.MambaConfig, {"hidden_size": 16, "num_hidden_layers": 1, "state_size": 4}),
}
NO_DROPOUT = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
OTHERS = {
    "bert": (T.BertLMHeadModel, T.BertConfig, PLAIN | NO_DROPOUT, "it is not causal"),
    "roberta": (T.RobertaForCausalLM, T.RobertaConfig, PLAIN | NO_DROPOUT, "it is not causal"),
    "t5": (
        T.T5ForConditionalGeneration,
        T.T5Config,
        {"d_model": 16, "d_kv": 8, "d_ff": 24, "num_layers": 1, "num_heads": 2},
        "must be a causal language model",
    ),
}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("people") / "data"
    write_dataset(DATA, 20, folder)
    return folder


@pytest.fixture(scope="module")
def tokenizer(data):
    return T.AutoTokenizer.from_pretrained(data / "tokenizer", pad_token="<|endoftext|>")


@pytest.fixture(scope="module")
def rows(data, tokenizer):
    texts = pandas.read_parquet(data / "data.parquet")["text"].tolist()
    return [{"input_ids": [0, *ids], "labels": [0, *ids]} for ids in tokenizer(texts)["input_ids"]]


def train(model, tokenizer, rows, folder):
    """A short training by transformers' own Trainer, saved as users save models."""
    arguments = T.TrainingArguments(
        output_dir=folder / "training",
        max_steps=6,
        per_device_train_batch_size=16,
        learning_rate=1e-2,
        save_strategy="no",
        report_to="none",
        logging_strategy="no",
        disable_tqdm=True,
        use_cpu=True,
    )
    collate = T.DataCollatorForSeq2Seq(tokenizer)
    T.Trainer(model, arguments, train_dataset=rows, data_collator=collate).train()
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


@torch.no_grad()
def score(folder):
    """Losses of names and values, R, without the tokens of a text's beginning: a scorer independent of `eval`."""
    model = T.AutoModelForCausalLM.from_pretrained(folder)
    tokenizer = T.PreTrainedTokenizerFast.from_pretrained(folder)  # AutoTokenizer gives Qwen 2 another one
    dataset, losses = make_dataset(DATA), defaultdict(float)
    for outline in dataset.outlines(np.arange(PEOPLE), EVALUATION):
        text, spans = dataset.pieces.render(outline)
        encoded = tokenizer(text, return_offsets_mapping=True)
        ids = torch.tensor([0, *encoded["input_ids"]])
        nats = -model(ids[None, :-1]).logits[0].log_softmax(-1)[range(len(ids) - 1), ids[1:]]
        for (_, end), loss in zip(encoded["offset_mapping"], nats.tolist(), strict=True):
            role = next((span.role for span in spans if span.start < end <= span.end), None)
            losses[dataset.role_names.get(role)] += loss / PEOPLE
    name = losses["name"]
    value = sum(losses[role] for role in dataset.value_roles)
    bits = PEOPLE * max(0, math.log2(3 * 4 * 5) - name / math.log(2))
    bits += PEOPLE * max(0, math.log2(2 * 12 * 28 * 200 * 6 * 5 * 4 * 5) - value / math.log(2))
    return name, value, bits / sum(parameter.numel() for parameter in model.parameters())


@pytest.mark.parametrize("family", CAUSAL)
def test_a_trained_model_is_measured_as_an_independent_scorer_does(family, data, tokenizer, rows, tmp_path):
    kind, sizes = CAUSAL[family]
    ends = {"bos_token_id": 0, "eos_token_id": 0, "pad_token_id": 0}
    torch.manual_seed(0)
    model = T.AutoModelForCausalLM.from_config(kind(vocab_size=len(tokenizer), **sizes | ends))
    train(model, tokenizer, rows, tmp_path)
    name, value, bits_per_param = score(tmp_path)
    (record,) = eval.measure(*load(str(tmp_path)), data)
    assert record["params"] == sum(parameter.numel() for parameter in model.parameters())
    assert record["loss_name"] == pytest.approx(name, rel=1e-5)
    assert record["loss_value"] == pytest.approx(value, rel=1e-5)
    assert record["bits_per_param"] == pytest.approx(bits_per_param, rel=1e-4)
    assert record["stored_bits"] == 32 * record["params"]
    assert record["qa_greedy_agreement"] == 1


@pytest.mark.parametrize("family", OTHERS)
def test_a_model_that_is_not_causal_is_refused(family, data, tokenizer, tmp_path):
    head, kind, sizes, reason = OTHERS[family]
    torch.manual_seed(0)
    model = head(kind(vocab_size=len(tokenizer), **sizes))
    with pytest.raises(ValueError, match=f"^model: [^\n]*{reason}[^\n]*$"):
        eval.measure(model, tokenizer, data)
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    with pytest.raises(UserError, match=r"^model: [^\n]*$"):
        main([str(tmp_path), "--data", str(data)])

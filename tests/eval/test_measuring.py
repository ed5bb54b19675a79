"""`eval.measure` from Python: the records that the program prints, of a model that stays as it was."""

import copy
import inspect
import math
import subprocess
import sys

import pytest
import torch
from torch import nn
from transformers import LlamaConfig, LlamaForCausalLM

import eval
from biogen.dataset import make_dataset
from eval.hf import load

untyped = inspect.unwrap(eval.measure)
"""As it is without the types that the tests check."""


@pytest.fixture(scope="module")
def loaded(biod_run):
    return load(str(biod_run.model))


def same(found, expected):
    for key, value in found.items():
        exact = value is None or isinstance(value, str)
        assert value == (expected[key] if exact else pytest.approx(expected[key], rel=1e-4)), key


def test_a_model_in_hand_is_measured_as_its_run_was(biod_run, loaded, rows_of):
    model, tokenizer = loaded
    before = copy.deepcopy(model.state_dict())
    records = eval.measure(model, tokenizer, biod_run.path, quantize=["gptq-int4", "int8"])
    assert [record["quantization"] for record in records] == ["none", "gptq-int4", "rtn-int8+embedding"]
    assert records[0].pop("text_begins_with") == "<|endoftext|>"
    same(records[0], rows_of(biod_run)[0])
    assert records[2]["stored_bits"] == rows_of(biod_run)[1]["stored_bits"]
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


def test_data_are_a_folder_its_name_or_options(biod_run, loaded):
    by = [biod_run.path, str(biod_run.path), biod_run.read_config().data]
    first, *others = [eval.measure(*loaded, data, people=9) for data in by]
    assert all(other == first for other in others)
    assert first[0]["people_measured"] == 9


def test_a_model_that_was_just_trained_is_measured_without_dropout(biod_run, loaded):
    model, tokenizer = copy.deepcopy(loaded[0]), loaded[1]
    for layer in model.gpt_neox.layers:
        layer.post_mlp_dropout.p = 0.5
    model.train()
    (record,) = eval.measure(model, tokenizer, biod_run.path)
    assert record == eval.measure(*loaded, biod_run.path)[0]
    assert model.training


def test_llama_has_quantized_copies(biod_run, loaded):
    """Queries, keys and values read one input, and so do gate and up; the head is not tied."""
    dataset = make_dataset(biod_run.read_config().data)
    sizes = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 1, "num_attention_heads": 2}
    torch.manual_seed(0)
    model = LlamaForCausalLM(LlamaConfig(vocab_size=dataset.tokenizer.vocab, tie_word_embeddings=False, **sizes))
    records = eval.measure(model, loaded[1], dataset.config, quantize=["gptq-int4", "gptq-int4+embedding"])
    inside = 4 * 16**2 + 3 * 16 * 24
    assert [r["quantized_weights"] for r in records] == [0, inside, inside + 2 * 16 * dataset.tokenizer.vocab]


def test_a_model_in_half_precision_is_measured_in_full(biod_run, loaded):
    model, tokenizer = copy.deepcopy(loaded[0]).half(), loaded[1]
    records = eval.measure(model, tokenizer, biod_run.path, quantize=["int8", "rtn-int8"], people=9)
    wide = eval.measure(copy.deepcopy(model).float(), tokenizer, biod_run.path, quantize=["int8", "rtn-int8"], people=9)
    assert next(model.parameters()).dtype == torch.float16
    for ours, theirs in zip(records, wide, strict=True):
        sizes = ("stored_bits", "bits_per_stored_bit")
        assert {k: v for k, v in ours.items() if k not in sizes} == {k: v for k, v in theirs.items() if k not in sizes}
    plain, everything, inside = ((a["stored_bits"], b["stored_bits"]) for a, b in zip(records, wide, strict=True))
    params = records[0]["params"]
    assert plain == (16 * params, 32 * params)
    for each, (half, full) in zip(records[1:], (everything, inside), strict=True):
        assert full - half == 16 * (params - each["quantized_weights"])


def hide_in_attention(model):
    model.gpt_neox.layers[0].attention.query_key_value.weight.data[0, 0] = float("nan")


def overflow(model):
    for parameter in model.parameters():
        parameter.data *= 1e30


@pytest.mark.parametrize(
    ("damage", "expected"),
    [
        (hide_in_attention, "model: gpt_neox.layers.0.attention.query_key_value.weight holds nan; "),
        (lambda model: model.gpt_neox.final_layer_norm.bias.data.fill_(-math.inf), "model: .* holds -inf; "),
        (overflow, "model: a loss is nan; "),
        (lambda model: setattr(model, "peft_config", {}), "model: it has an adapter; "),
        (lambda model: setattr(model.config, "quantization_config", {"bits": 4}), "model: it is quantized; "),
        (lambda model: model.requires_grad_(False), "model: none of its parameters is trainable"),
        (lambda model: model.resize_token_embeddings(5), "model: it has no row for token "),
    ],
)
def test_a_model_that_cannot_be_measured_is_refused_in_one_line(biod_run, loaded, damage, expected):
    model = copy.deepcopy(loaded[0])
    damage(model)
    with pytest.raises(ValueError, match=f"^{expected}[^\n]*$"):
        eval.measure(model, loaded[1], biod_run.path)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"people": 1}, "people: 1 is not allowed; must be a whole number of at least 2"),
        ({"people": 2.5}, "people: 2.5 is not allowed; must be a whole number"),
        ({"people": math.nan}, "people: nan is not allowed; must be a whole number"),
        ({"people": None}, "people: None is not allowed; must be a whole number"),
        ({"quantize": "int8"}, "quantize: 'int8' is not allowed; must be a list of names"),
        ({"quantize": None}, "quantize: None is not allowed; must be a list of names"),
        ({"quantize": [8]}, "quantize: 8 is not allowed; must be one of none"),
        ({"data": None}, "data: None is not allowed; must be a path"),
        ({"data": {"people": 5}}, "data: {'people': 5} is not allowed; must be a path"),
        ({"data": ""}, "data: '' is not allowed; must be a path"),
        ({"quantize": ["int9"]}, "quantize: 'int9' is not allowed; must be one of none"),
        ({"quantize": ["nowhere:Mine-int4"]}, "quantize: 'nowhere:Mine' cannot be imported"),
        ({"data": "/nowhere"}, "data: /nowhere is not a folder"),
    ],
)
def test_mistakes_are_value_errors(biod_run, loaded, changes, expected):
    given = {"data": biod_run.path} | changes
    with pytest.raises(ValueError, match=f"^{expected}[^\n]*$"):
        untyped(*loaded, given.pop("data"), **given)


@pytest.mark.parametrize("model", [None, "folder", {}, nn.Linear(2, 2)])
def test_what_is_no_language_model_is_refused(biod_run, loaded, model):
    with pytest.raises(ValueError, match=f"^model: {type(model).__name__} is not allowed; [^\n]*$"):
        untyped(model, loaded[1], biod_run.path)


def test_quantized_copies_may_be_named_one_after_another(biod_run, loaded):
    """A generator is read once."""
    records = untyped(*loaded, biod_run.path, quantize=(f"int{bits}" for bits in (8, 4)), people=9)
    assert [record["quantization"] for record in records][1:] == ["rtn-int8+embedding", "rtn-int4+embedding"]


def test_a_quantizer_of_ones_own(biod_run, loaded, tmp_path, monkeypatch):
    lines = ["def zeros(model, matrices, scheme, calibration):"]
    lines += ["    for weight in matrices.values():", "        weight.zero_()"]
    (tmp_path / "my_quantizers.py").write_text("\n".join(lines))
    monkeypatch.syspath_prepend(tmp_path)
    _, record = eval.measure(*loaded, biod_run.path, quantize=["my_quantizers:zeros-int2"])
    assert record["quantization"] == "my_quantizers:zeros-int2"
    assert record["bits"] == 0


def test_the_package_is_light_until_it_measures():
    program = "import sys, eval; assert 'torch' not in sys.modules; eval.measure; assert 'torch' in sys.modules"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    with pytest.raises(AttributeError, match="'eval' has no attribute 'measures'"):
        eval.measures  # noqa: B018

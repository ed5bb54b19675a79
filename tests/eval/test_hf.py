"""Any model of transformers: read as it computes, counted as the paper counts, refused in one line where it is none."""

import contextlib
import json
import os
import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import Gemma3Config, Gemma3ForConditionalGeneration, PhiConfig, PhiForCausalLM

import eval
from biogen.dataset import EVALUATION
from eval import hf
from eval.hf import HuggingFaceModel, count_parameters, load
from eval.recall import recall_people
from eval.source import OtherTokens, OwnTokens
from train.architectures.gpt2 import GPT2
from train.export import load_weights
from train.inference import Inference
from train.sizes import parse_size

CPU = torch.device("cpu")
PEOPLE = np.arange(12)


@pytest.mark.parametrize("tied", [True, False])
def test_parameters_of_a_foreign_model(bios, foreign_model, tied):
    model, tokenizer = load(str(foreign_model(tie_word_embeddings=tied)))
    used = len(OtherTokens(bios, tokenizer).tokens_in_use())
    width, vocab, positions = 16, model.config.vocab_size, 256
    assert used < len(tokenizer) < vocab
    block = 12 * width**2 + 13 * width  # GPT-2's matrices with their biases, and two norms
    rest = positions * width + block + 2 * width
    assert sum(p.numel() for p in model.parameters()) == rest + vocab * width * (1 if tied else 2)
    assert count_parameters(model, used) == rest + used * width * (1 if tied else 2)


def test_the_rows_of_a_heads_bias_count_like_its_own(bios, foreign_tokenizer):
    sizes = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 1, "num_attention_heads": 2}
    few, many = (PhiForCausalLM(PhiConfig(vocab_size=rows, **sizes)) for rows in (len(foreign_tokenizer), 1000))
    used = len(OtherTokens(bios, foreign_tokenizer).tokens_in_use())
    inside = sum(p.numel() for p in few.model.parameters()) - len(foreign_tokenizer) * 16
    assert count_parameters(few, used) == count_parameters(many, used) == inside + used * (16 + 16 + 1)


def test_frozen_parameters_are_not_trainable(foreign_model):
    model, _ = load(str(foreign_model(tie_word_embeddings=True)))
    total = count_parameters(model, model.config.vocab_size)
    model.transformer.ln_f.weight.requires_grad_(False)
    assert count_parameters(model, model.config.vocab_size) == total - 16


@pytest.mark.parametrize("which", ["bios_run", "biod_run"])
def test_an_exported_model_is_read_as_our_own(which, request, rows_of):
    folder = request.getfixturevalue(which)
    model, tokenizer = load(str(folder.model))
    dataset = request.getfixturevalue(which.removesuffix("_run"))
    dataset = type(dataset)(folder.read_config().data)
    other, own = OtherTokens(dataset, tokenizer), OwnTokens(dataset)
    assert count_parameters(model, len(other.tokens_in_use())) == rows_of(folder)[0]["params"]
    gpt2 = GPT2(parse_size(folder.read_config().size), dataset.tokenizer.vocab)
    load_weights(gpt2, folder.model)
    ours = recall_people(Inference(gpt2, CPU), own, PEOPLE, EVALUATION)
    theirs = recall_people(HuggingFaceModel(model, CPU), other, PEOPLE, EVALUATION)
    np.testing.assert_allclose(theirs.name, ours.name, atol=1e-4)
    np.testing.assert_allclose(theirs.value, ours.value, atol=1e-4)
    for name, right in ours.completed.items():
        np.testing.assert_array_equal(theirs.completed[name], right)


def test_scores_and_next_tokens_are_those_of_the_logits(foreign_model, monkeypatch):
    model, _ = load(str(foreign_model()))
    reader = HuggingFaceModel(model, CPU)
    rng = np.random.default_rng(0)
    inputs, targets = rng.integers(0, 300, (5, 7)), rng.integers(0, 300, (5, 7))
    targets[2, 4:] = -1
    with torch.no_grad():
        logits = model(input_ids=torch.tensor(inputs)).logits
    expected = -torch.log_softmax(logits, -1).gather(-1, torch.tensor(targets).clamp_min(0)[..., None])[..., 0].numpy()
    likeliest = logits.argmax(-1).numpy()
    targets[0] = likeliest[0]
    for at_once in (hf._LOGITS, 1):  # all rows together, and one by one
        monkeypatch.setattr(hf, "_LOGITS", at_once)
        nats, correct = reader.score(inputs, targets)
        np.testing.assert_allclose(nats[1:], np.where(targets < 0, 0, expected)[1:], rtol=1e-5)
        np.testing.assert_array_equal(correct, likeliest == targets)
        lengths = np.array([1, 7, 3, 2, 6])
        np.testing.assert_array_equal(reader.next_tokens(inputs, lengths), likeliest[np.arange(5), lengths - 1])


def test_logits_take_bounded_memory_however_large_the_vocabulary(foreign_model, monkeypatch):
    model, _ = load(str(foreign_model()))
    sizes = []
    model.lm_head.register_forward_hook(lambda module, inputs, logits: sizes.append(logits.numel()))
    monkeypatch.setattr(hf, "_LOGITS", 10 * 7 * model.config.vocab_size)
    reader, tokens = HuggingFaceModel(model, CPU), np.zeros((64, 7), dtype=np.int64)
    reader.score(tokens, tokens)
    reader.next_tokens(tokens, np.full(64, 7))
    assert sum(sizes) == 2 * 64 * 7 * model.config.vocab_size
    assert max(sizes) == hf._LOGITS


def test_a_configuration_may_have_its_vocabulary_one_level_deeper(biod_run, tmp_path):
    _, tokenizer = load(str(biod_run.model))
    sizes = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    text = {**sizes, "vocab_size": len(tokenizer), "head_dim": 8, "num_key_value_heads": 1}
    vision = {**sizes, "image_size": 28, "patch_size": 14}
    torch.manual_seed(0)
    model = Gemma3ForConditionalGeneration(Gemma3Config(text_config=text, vision_config=vision, mm_tokens_per_image=1))
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    loaded, tokenizer = load(str(tmp_path))
    assert "vocab_size" not in loaded.config.to_dict()
    (record,) = eval.measure(loaded, tokenizer, biod_run.path)
    assert record["params"] == sum(p.numel() for p in model.parameters())


@pytest.mark.parametrize(("kind", "bits"), [(torch.float16, 16), (torch.bfloat16, 16), (torch.float64, 64)])
def test_a_model_keeps_the_numbers_that_are_stored(broken, kind, bits):
    """Whatever its config.json says about them."""
    tensors = {name: tensor.to(kind) for name, tensor in load_file(broken / "model.safetensors").items()}
    tensors["transformer.ln_f.weight"] = tensors["transformer.ln_f.weight"].float() + 1e-7  # as Mamba keeps some
    save_file(tensors, broken / "model.safetensors", metadata={"format": "pt"})
    model, _ = load(str(broken))
    for name, parameter in model.named_parameters():
        assert parameter.dtype == (torch.float32 if name == "transformer.ln_f.weight" else kind)
        assert torch.equal(parameter, tensors[name])


def test_texts_longer_than_a_models_positions_are_refused(foreign_model):
    model, _ = load(str(foreign_model(n_positions=16)))
    tokens = np.zeros((2, 17), dtype=np.int64)
    with pytest.raises(ValueError, match="model: it cannot read a text of 17 tokens"):
        HuggingFaceModel(model, CPU).score(tokens, tokens)
    with pytest.raises(ValueError, match="no row for token 9999"):
        HuggingFaceModel(model, CPU).next_tokens(tokens[:, :2] + 9999, np.array([1, 2]))


@pytest.fixture
def broken(foreign_model, tmp_path):
    """A copy of a model's folder, to be broken."""
    return shutil.copytree(foreign_model(), tmp_path / "model")


def only_pickle(folder):
    class Bomb:
        def __reduce__(self):
            return (open, (str(folder / "exploded"), "w"))

    (folder / "model.safetensors").unlink()
    torch.save({"transformer.wte.weight": Bomb()}, folder / "pytorch_model.bin")


def without_one_tensor(folder):
    tensors = load_file(folder / "model.safetensors")
    del tensors["transformer.h.0.attn.c_attn.weight"]
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


def another_width(folder):
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"n_embd": 32}))


def with_another_tensor(folder):
    tensors = load_file(folder / "model.safetensors")
    tensors["transformer.h.1.attn.c_attn.weight"] = torch.zeros(16, 48)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


def as_eight_bits(folder):
    tensors = load_file(folder / "model.safetensors")
    tensors["transformer.ln_f.weight"] = tensors["transformer.ln_f.weight"].to(torch.float8_e4m3fn)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


def configured(**changes):
    def damage(folder):
        config = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps(config | changes))

    return damage


def adapter_alone(folder):
    (folder / "config.json").rename(folder / "adapter_config.json")


def without_tokenizer(folder):
    for file in folder.glob("tokenizer*"):
        file.unlink()


def piped(name):
    """Reading a pipe would never end."""

    def damage(folder):
        (folder / name).unlink(missing_ok=True)
        os.mkfifo(folder / name)

    return damage


def nested(depth):
    return lambda folder: (folder / "config.json").write_text('{"a":' * depth + "1" + "}" * depth)


def indexed_pipe(folder):
    (folder / "model.safetensors").unlink()
    os.mkfifo(folder / "part.safetensors")
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"a": "part.safetensors"}}))


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        *((piped(name), "Not a file") for name in ("config.json", "generation_config.json", "tokenizer_config.json")),
        (indexed_pipe, "Not a file"),
        (nested(100_000), "nested too deeply"),
        (nested(950), "nested too deeply|Unrecognized model"),
        (lambda folder: os.truncate(folder / "config.json", 1 << 24), "is larger than"),
        (lambda folder: os.truncate(folder / "tokenizer.json", 1 << 29), "is larger than"),
        (only_pickle, "no file named model.safetensors"),
        (without_one_tensor, "lacks transformer.h.0.attn.c_attn.weight"),
        (with_another_tensor, "holds transformer.h.1.attn.c_attn.weight, for which its config.json has no place"),
        (as_eight_bits, "stores transformer.ln_f.weight as F8_E4M3"),
        (another_width, "its config.json asks for other shapes than its weights have"),
        (configured(n_layer=2), "lacks transformer.h.1"),
        (configured(n_layer=10**9), "has n_layer: 1000000000 in its config.json; its weights are 16 tensors"),
        (configured(num_labels=10**9), "has num_labels: 1000000000 in its config.json"),
        (configured(quantization_config={"quant_method": "gptq", "bits": 4}), r"is stored quantized \(gptq\)"),
        (configured(text_config={"quantization_config": {"bits": 4}}), "is stored quantized"),
        (lambda folder: (folder / "adapter_config.json").write_text("{}"), "holds an adapter"),
        (adapter_alone, "holds an adapter"),
        (lambda folder: (folder / "config.json").write_text("[]"), "must be a mapping"),
        (without_tokenizer, "has no tokenizer.json, nor"),
        (lambda folder: (folder / "config.json").unlink(), "config.json"),
        (lambda folder: (folder / "config.json").write_text("{"), "config.json"),
        (lambda folder: (folder / "config.json").write_text('{"model_type": "nothing"}'), "nothing"),
        (lambda folder: (folder / "config.json").write_text('{"model_type": "gpt2", "n_embd": "x"}'), "n_embd"),
        (lambda folder: (folder / "model.safetensors").write_bytes(b""), "cannot be loaded"),
        (lambda folder: (folder / "model.safetensors").write_bytes(b"x" * 999), "cannot be loaded"),
    ],
)
def test_a_folder_that_is_no_model_is_refused_in_one_line(broken, damage, reason, capfd):
    damage(broken)
    with pytest.raises(ValueError, match=f"^(model|tokenizer): '{broken}' .*{reason}") as caught:
        load(str(broken))
    assert "\n" not in str(caught.value)
    assert not (broken / "exploded").exists()
    assert capfd.readouterr() == ("", "")


def test_loading_is_silent_and_leaves_progress_bars_as_they_were(broken, capfd):
    from transformers.utils import logging

    assert logging.is_progress_bar_enabled()
    load(str(broken))
    assert logging.is_progress_bar_enabled()
    assert capfd.readouterr() == ("", "")


def test_a_kernel_that_a_config_names_is_not_fetched(broken):
    configured(attn_implementation="a/kernel", _attn_implementation="a/kernel")(broken)
    model, _ = load(str(broken))
    assert model.config._attn_implementation in ("sdpa", "eager")


def test_code_in_a_folder_is_not_run(broken):
    code = f"open({str(broken / 'exploded')!r}, 'w')\nclass Model: pass\nclass Config: pass\nclass Tokenizer: pass\n"
    for name in ("evil.py", "modeling_gpt2.py", "tokenization_gpt2.py", "__init__.py", "setup.py"):
        (broken / name).write_text(code)
    maps = {
        "config.json": {"AutoConfig": "evil.Config", "AutoModelForCausalLM": "evil.Model"},
        "tokenizer_config.json": {"AutoTokenizer": ["evil.Tokenizer", "evil.Tokenizer"]},
    }
    for file, auto_map in maps.items():
        content = json.loads((broken / file).read_text())
        (broken / file).write_text(json.dumps(content | {"auto_map": auto_map}))
    with contextlib.suppress(ValueError):  # refused, or read by transformers' own classes: both will do
        load(str(broken))
    config = json.loads((broken / "config.json").read_text())
    (broken / "config.json").write_text(json.dumps(config | {"model_type": "evil"}))
    with pytest.raises(ValueError, match=r"^model: "):
        load(str(broken))
    assert not (broken / "exploded").exists()


def test_the_rows_of_an_inner_embedding_count_like_the_outer_ones(foreign_model):
    model, _ = load(str(foreign_model()))
    total = count_parameters(model, 20)
    model.embed_tokens_per_layer = torch.nn.Embedding(999, 4)  # as Gemma 3n has one
    assert count_parameters(model, 20) == total + 20 * 4
    assert HuggingFaceModel(model, CPU)._rows == model.config.vocab_size


def test_files_that_transformers_does_not_read_do_not_matter(foreign_model, bios):
    folder = foreign_model()
    save_file({"state": torch.zeros(3, dtype=torch.int8)}, folder / "optimizer.safetensors")
    config = json.loads((folder / "config.json").read_text())
    expected = eval.measure(*load(str(folder)), bios.config)
    (folder / "config.json").write_text(json.dumps(config | {"return_dict": False}))
    assert eval.measure(*load(str(folder)), bios.config) == expected

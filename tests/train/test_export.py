"""The exported folder is the same model: equal logits in transformers, and the same bits when read back."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from eval.quantize import quantize
from eval.quantizers.schemes import parse_scheme
from tests.train.architectures.conftest import FORMS, new, perturbed, windows
from train.architectures.causal_lm import CausalLM
from train.export import load_weights, save_pretrained

ALL = [*[(form, "2x48") for form in FORMS], *[("gpt2", size) for size in ("1x20x2", "3-1", "1x32x1")], ("llama", "3-1")]
CLASSES = {"gpt2 gated": "StableLmForCausalLM", "llama": "LlamaForCausalLM", "llama untied": "LlamaForCausalLM"}


def logits(model: CausalLM, tokens: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        return model(tokens) @ model.head_weight.T


@pytest.mark.parametrize(("form", "size"), ALL)
def test_logits_in_transformers_equal_ours(form: str, size: str, tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM

    model = perturbed(form, size)
    save_pretrained(model, tmp_path, context=50, end_id=5)
    exported = AutoModelForCausalLM.from_pretrained(tmp_path)
    assert type(exported).__name__ == CLASSES.get(form, "GPTNeoXForCausalLM")
    inert = model.size.layers * (7 * model.size.width + 2) if form == "gpt2 none" else 0
    assert sum(p.numel() for p in exported.parameters()) == sum(p.numel() for p in model.parameters()) + inert
    tied = exported.get_output_embeddings().weight is exported.get_input_embeddings().weight
    assert tied == (form != "llama untied")
    assert exported.config.eos_token_id == exported.config.bos_token_id == 5
    with torch.no_grad():
        theirs = exported(windows(50)).logits
    torch.testing.assert_close(theirs, logits(model, windows(50)), rtol=0, atol=1e-5)


@pytest.mark.parametrize("form", FORMS)
def test_transformers_has_a_place_for_every_tensor_and_needs_no_other(form: str, tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM

    save_pretrained(perturbed(form), tmp_path, context=50, end_id=5)
    _, report = AutoModelForCausalLM.from_pretrained(tmp_path, output_loading_info=True)
    assert not any(report[key] for key in ("missing_keys", "unexpected_keys", "mismatched_keys"))


def test_folder_loads_in_a_fresh_process_without_this_project(tmp_path: Path) -> None:
    model, folder = perturbed("gpt2"), tmp_path / "model"
    save_pretrained(model, folder, context=50, end_id=5)
    script = (
        "import sys, torch; from transformers import AutoModelForCausalLM\n"
        "tokens = torch.randint(29, (3, 50), generator=torch.Generator().manual_seed(3))\n"
        "model = AutoModelForCausalLM.from_pretrained(sys.argv[1])\n"
        "assert not any(name.split('.')[0] == 'train' for name in sys.modules)\n"
        "torch.save(model(tokens).logits.detach(), sys.argv[2])\n"
    )
    command = [sys.executable, "-P", "-c", script, str(folder), str(tmp_path / "logits.pt")]
    subprocess.run(command, check=True, cwd=tmp_path, capture_output=True)
    theirs = torch.load(tmp_path / "logits.pt", weights_only=True)
    torch.testing.assert_close(theirs, logits(model, windows(50)), rtol=0, atol=1e-5)


@pytest.mark.parametrize(("form", "size"), ALL)
def test_round_trip_is_exact(form: str, size: str, tmp_path: Path) -> None:
    model = perturbed(form, size)
    save_pretrained(model, tmp_path, context=50, end_id=0)
    again = new(form, size)
    load_weights(again, tmp_path)
    assert again.state_dict().keys() == model.state_dict().keys()
    assert all(torch.equal(value, again.state_dict()[name]) for name, value in model.state_dict().items())
    assert torch.equal(logits(again, windows(50)), logits(model, windows(50)))


def test_reading_and_writing_do_not_import_transformers() -> None:
    script = "import sys, train.export; assert 'transformers' not in sys.modules"
    subprocess.run([sys.executable, "-c", script], check=True, capture_output=True)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("model_type", "gpt2"),
        ("use_parallel_residual", True),
        ("tie_word_embeddings", False),
        ("hidden_act", "gelu"),
        ("rope_parameters", {"rope_theta": 500.0, "rope_type": "default", "partial_rotary_factor": 1.0}),
        ("intermediate_size", 48),
        ("num_attention_heads", 5),
        ("num_hidden_layers", 3),
        ("vocab_size", 30),
        ("hidden_size", None),
    ],
)
def test_another_architecture_is_refused_by_name(key: str, value: object, tmp_path: Path) -> None:
    save_pretrained(perturbed("gpt2"), tmp_path, context=50, end_id=0)
    path = tmp_path / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {key: value}))
    with pytest.raises(ValueError, match=f"^{key}: ") as error:
        load_weights(new("gpt2"), tmp_path)
    assert "\n" not in str(error.value)


def test_a_folder_without_weights_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"model\.safetensors"):
        load_weights(new("gpt2"), tmp_path)


@pytest.mark.parametrize("arguments", [{"context": 0, "end_id": 0}, {"context": 8, "end_id": 29}])
def test_impossible_metadata_is_refused(arguments: dict[str, int], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="is not allowed; allowed:"):
        save_pretrained(perturbed("gpt2"), tmp_path, **arguments)


@pytest.mark.parametrize("form", FORMS)
def test_an_export_can_be_quantized_like_the_model(form: str, tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM

    model = perturbed(form)
    save_pretrained(model, tmp_path, context=50, end_id=0)
    copies = [quantize(one, parse_scheme("int8"))[0] for one in (model, AutoModelForCausalLM.from_pretrained(tmp_path))]
    with torch.no_grad():
        torch.testing.assert_close(copies[1](windows()).logits, logits(copies[0], windows()), rtol=0, atol=1e-4)

"""A trained model as a Hugging Face folder and back: a `GPT` comes in, config.json and safetensors go out.

GPT-NeoX without its parallel residual, with rotary positions over the whole head and a tied head, is exactly
the model of `train/model.py`: only the names of the parameters differ. Reading and writing need neither
transformers nor pickle; a user of the folder needs `AutoModelForCausalLM.from_pretrained(folder)` and nothing
of this project.
"""

import json
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from train.model import GPT, MLP_RATIO, NORM_EPS, ROTARY_BASE
from train.sizes import Size

CONFIG, WEIGHTS = "config.json", "model.safetensors"

# What every model here has in common. `rotary_pct` and `rotary_emb_base` say what `rope_parameters` says to
# transformers before 5, whose default of a quarter of the head would load in silence and be wrong.
FAMILY: dict[str, Any] = {
    "architectures": ["GPTNeoXForCausalLM"],
    "attention_bias": True,
    "hidden_act": "gelu_pytorch_tanh",
    "layer_norm_eps": NORM_EPS,
    "model_type": "gpt_neox",
    "rope_parameters": {
        "partial_rotary_factor": 1.0,
        "rope_theta": ROTARY_BASE,
        "rope_type": "default",
    },
    "rotary_emb_base": ROTARY_BASE,
    "rotary_pct": 1.0,
    "tie_word_embeddings": True,
    "use_parallel_residual": False,
}

# The head of every name that we give a parameter -> GPT-NeoX's; blocks follow `blocks.<layer>.`.
OUTER_NAMES = {"embedding": "gpt_neox.embed_in", "norm": "gpt_neox.final_layer_norm"}
BLOCK_NAMES = {
    "attention_norm": "input_layernorm",
    "qkv": "attention.query_key_value",
    "attention_out": "attention.dense",
    "mlp_norm": "post_attention_layernorm",
    "mlp_in": "mlp.dense_h_to_4h",
    "mlp_out": "mlp.dense_4h_to_h",
}


def exported_name(name: str) -> str:
    """GPT-NeoX's name of our parameter `name`."""
    *path, module, kind = name.split(".")
    if not path:
        return f"{OUTER_NAMES[module]}.{kind}"
    return f"gpt_neox.layers.{path[1]}.{BLOCK_NAMES[module]}.{kind}"


def save_pretrained(model: GPT, folder: Path, *, context: int, end_id: int) -> None:
    """Write `model` to `folder`, made if need be.

    `context` is the number of tokens in a window, `end_id` the token between people (bos and eos).
    The tied head is stored once, as the embedding.

    Raises:
        ValueError: `context` is below 1, or `end_id` is not a token of the vocabulary.

    """
    if context < 1:
        raise ValueError(f"context: {context} is not allowed; allowed: at least 1")
    if not 0 <= end_id < model.vocab:
        raise ValueError(f"end_id: {end_id} is not allowed; allowed: 0 to {model.vocab - 1}")
    config = FAMILY | {
        "attention_dropout": 0.0,
        "bos_token_id": end_id,
        "dtype": str(model.embedding.weight.dtype).removeprefix("torch."),
        "eos_token_id": end_id,
        "hidden_dropout": 0.0,
        "hidden_size": model.size.width,
        "intermediate_size": MLP_RATIO * model.size.width,
        "max_position_embeddings": context,
        "num_attention_heads": model.size.heads,
        "num_hidden_layers": model.size.layers,
        "vocab_size": model.vocab,
    }
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {exported_name(name): p.detach().cpu().contiguous() for name, p in model.named_parameters()}
    save_file(tensors, folder / WEIGHTS, metadata={"format": "pt"})
    (folder / CONFIG).write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def load_pretrained(folder: Path) -> GPT:
    """Read a folder that `save_pretrained` wrote; the parameters are the same to the bit.

    Raises:
        ValueError: a file is missing or damaged, the architecture is another one, or tensors do not fit the config.

    """
    for name in (CONFIG, WEIGHTS):
        if not (folder / name).is_file():
            raise ValueError(f"folder: {folder} is not an exported model; it must hold {CONFIG} and {WEIGHTS}")
    try:
        config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        size = Size(config["num_hidden_layers"], config["hidden_size"], config["num_attention_heads"])
        expected = FAMILY | {"intermediate_size": MLP_RATIO * size.width}
        model = GPT(size, config["vocab_size"])
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        raise ValueError(f"{CONFIG} of {folder}: not the config of an exported model: {error!r}") from error
    for key, allowed in expected.items():
        if config.get(key) != allowed:
            raise ValueError(f"{key}: {config.get(key)!r} in {folder / CONFIG}; allowed: {allowed!r}")
    try:
        tensors = load_file(folder / WEIGHTS)
    except SafetensorError as error:
        raise ValueError(f"{WEIGHTS} of {folder}: is damaged ({error})") from None
    parameters = {exported_name(name): p for name, p in model.named_parameters()}
    if wrong := sorted(parameters.keys() ^ tensors.keys()):
        raise ValueError(f"{wrong[0]}: missing or not allowed in {folder / WEIGHTS}; the config decides the names")
    for name, parameter in parameters.items():
        if tensors[name].shape != parameter.shape or tensors[name].dtype != parameter.dtype:
            found, wanted = (f"{t.dtype} {list(t.shape)}" for t in (tensors[name], parameter))
            raise ValueError(f"{name}: {found} in {folder / WEIGHTS}; allowed: {wanted}")
        parameter.data.copy_(tensors[name])
    return model

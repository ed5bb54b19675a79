"""GPT-2 with rotary positions, the architecture of the paper (Allen-Zhu and Li, arXiv 2404.05405).

Pre-norm, biases, tanh-approximated GELU, no dropout, and one matrix that is both embedding and output head. The option
`mlp` says what is inside the MLP, and so which class of transformers' computes the same:

- `gelu`: two matrices with four times the width between them. GPT-NeoX without its parallel residual and with rotary
  positions over the whole head; its parameters have the same layout, so that exporting them is renaming.
- `quarter`: two matrices with the width between them. GPT-NeoX, too.
- `none`: no MLP, and no norm before it. GPT-NeoX with an MLP of two features whose weights are all 0, as is the norm
  before it: the export stores 7·width + 2 zeros a layer that our model does not have. A run's R does not count them;
  what measures the export (`python -m eval`) does.
- `gated`: three matrices with the weights of `gelu` (`gated_hidden`), the gate through GELU. StableLM; of its linear
  layers only q, k and v can have biases, so no other has one here.
"""

from typing import Any

from train.architectures.huggingface import LLAMA_MODULES, HuggingFaceForm, renamed
from train.architectures.rotary import ROTARY_BASE
from train.architectures.transformer import NORM_EPS, Transformer, gated_hidden
from train.native.form import KernelForm
from train.sizes import Size

MLPS = ("gelu", "gated", "quarter", "none")
_INERT = 2
"""Features of an MLP of zeros: PyTorch warns of one without any, torchao 0.18 cannot quantize a single column."""

_ROPE = {"partial_rotary_factor": 1.0, "rope_theta": ROTARY_BASE, "rope_type": "default"}

# `rotary_pct` and `rotary_emb_base` say what `rope_parameters` says to transformers before 5, whose default of a
# quarter of the head would load in silence and be wrong.
_NEOX: dict[str, Any] = {
    "architectures": ["GPTNeoXForCausalLM"],
    "attention_bias": True,
    "attention_dropout": 0.0,
    "hidden_act": "gelu_pytorch_tanh",
    "hidden_dropout": 0.0,
    "layer_norm_eps": NORM_EPS,
    "model_type": "gpt_neox",
    "rope_parameters": _ROPE,
    "rotary_emb_base": ROTARY_BASE,
    "rotary_pct": 1.0,
    "tie_word_embeddings": True,
    "use_parallel_residual": False,
}

_NEOX_MODULES = {
    "embedding": "gpt_neox.embed_in",
    "attention_norm": "input_layernorm",
    "qkv": "attention.query_key_value",
    "attention_out": "attention.dense",
    "mlp_norm": "post_attention_layernorm",
    "mlp_in": "mlp.dense_h_to_4h",
    "mlp_out": "mlp.dense_4h_to_h",
    "norm": "gpt_neox.final_layer_norm",
}

# As above: transformers before 5 reads `rope_theta` and `partial_rotary_factor` from the config itself.
_STABLELM: dict[str, Any] = {
    "architectures": ["StableLmForCausalLM"],
    "attention_dropout": 0.0,
    "hidden_act": "gelu_pytorch_tanh",
    "hidden_dropout": 0.0,
    "layer_norm_eps": NORM_EPS,
    "model_type": "stablelm",
    "partial_rotary_factor": 1.0,
    "qk_layernorm": False,
    "rope_parameters": _ROPE,
    "rope_theta": ROTARY_BASE,
    "tie_word_embeddings": True,
    "use_parallel_residual": False,
    "use_qkv_bias": True,
}


class GPT2(Transformer):
    """See above. mlp: one of `MLPS`."""

    def __init__(self, size: Size, vocab: int, *, mlp: str = "gelu") -> None:
        if mlp not in MLPS:
            raise ValueError(f"mlp: {mlp!r} is not allowed with architecture gpt2; must be {', '.join(MLPS)}")
        hidden = {"gelu": 4 * size.width, "gated": gated_hidden(size.width), "quarter": size.width, "none": 0}
        form = KernelForm(
            layers=size.layers,
            width=size.width,
            heads=size.heads,
            vocab=vocab,
            norm="layer",
            norm_eps=NORM_EPS,
            mlp=mlp if mlp in ("gated", "none") else "plain",  # type: ignore[arg-type]
            hidden=hidden[mlp],
            activation="gelu_tanh",
            qkv_bias=True,
            out_bias=mlp != "gated",
            mlp_bias=mlp not in ("gated", "none"),
            tied=True,
        )
        super().__init__(form)

    def kernel_form(self) -> KernelForm | None:
        """Its form; not of a subclass, which may compute something else."""
        return self.form if type(self) is GPT2 else None

    def huggingface(self) -> HuggingFaceForm | None:
        """GPT-NeoX or StableLM; not of a subclass, which may compute something else."""
        if type(self) is not GPT2:
            return None
        size, names = self.size, [name for name, _ in self.named_parameters()]
        shape = {
            "hidden_size": size.width,
            "intermediate_size": self.form.hidden or _INERT,
            "num_attention_heads": size.heads,
            "num_hidden_layers": size.layers,
            "vocab_size": self.vocab,
        }
        if self.form.mlp == "gated":
            tensors = renamed(names, "model.layers", LLAMA_MODULES, size)
            return HuggingFaceForm(_STABLELM | shape | {"num_key_value_heads": size.heads}, tensors)
        tensors = renamed(names, "gpt_neox.layers", _NEOX_MODULES, size)
        return HuggingFaceForm(_NEOX | shape, tensors, _inert_mlps(size) if self.form.mlp == "none" else {})


def _inert_mlps(size: Size) -> dict[str, tuple[int, ...]]:
    """Shapes of the norms and MLPs that GPT-NeoX has in any case; all zeros, they add 0 to the residual stream."""
    width = size.width
    shapes: dict[str, tuple[int, ...]] = {
        "post_attention_layernorm.weight": (width,),
        "post_attention_layernorm.bias": (width,),
        "mlp.dense_h_to_4h.weight": (_INERT, width),
        "mlp.dense_h_to_4h.bias": (_INERT,),
        "mlp.dense_4h_to_h.weight": (width, _INERT),
        "mlp.dense_4h_to_h.bias": (width,),
    }
    return {f"gpt_neox.layers.{layer}.{name}": shape for layer in range(size.layers) for name, shape in shapes.items()}

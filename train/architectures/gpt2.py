"""GPT-2 with rotary positions, the architecture of the paper (Allen-Zhu and Li, arXiv 2404.05405).

Pre-norm, biases, tanh-approximated GELU, an MLP of four times the width, no dropout, and one matrix that is both
embedding and output head. transformers' GPT-NeoX without its parallel residual and with rotary positions over the whole
head computes exactly this; its parameters have the same layout, so that exporting them is renaming.
"""

from typing import Any

from train.architectures.huggingface import HuggingFaceForm, renamed
from train.architectures.rotary import ROTARY_BASE
from train.architectures.transformer import NORM_EPS, Transformer
from train.native.form import KernelForm
from train.sizes import Size

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


class GPT2(Transformer):
    """See above."""

    def __init__(self, size: Size, vocab: int) -> None:
        super().__init__(
            KernelForm(
                layers=size.layers,
                width=size.width,
                heads=size.heads,
                vocab=vocab,
                norm="layer",
                norm_eps=NORM_EPS,
                mlp="plain",
                hidden=4 * size.width,
                activation="gelu_tanh",
                qkv_bias=True,
                out_bias=True,
                mlp_bias=True,
                tied=True,
            )
        )

    def kernel_form(self) -> KernelForm | None:
        """Its form; not of a subclass, which may compute something else."""
        return self.form if type(self) is GPT2 else None

    def huggingface(self) -> HuggingFaceForm | None:
        """GPT-NeoX; not of a subclass, which may compute something else."""
        if type(self) is not GPT2:
            return None
        config = _NEOX | {
            "hidden_size": self.size.width,
            "intermediate_size": self.form.hidden,
            "num_attention_heads": self.size.heads,
            "num_hidden_layers": self.size.layers,
            "vocab_size": self.vocab,
        }
        names = (name for name, _ in self.named_parameters())
        return HuggingFaceForm(config, renamed(names, "gpt_neox.layers", _NEOX_MODULES, self.size))

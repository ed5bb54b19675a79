"""LLaMA (Touvron et al. 2023, arXiv 2302.13971): RMS norms, an MLP with a SiLU gate, no biases.

Rotary positions over the whole head, as many heads of keys and values as of queries, and `gated_hidden` features inside
the MLP, so that its three matrices have the weights of GPT-2's two. The option `tied` says whether the embedding is
also the output head, as in our GPT-2 (the default), or the head is a matrix of its own, as in LLaMA itself.
LlamaForCausalLM of transformers computes exactly this; it keeps q, k and v apart.
"""

from typing import Any

from train.architectures.huggingface import LLAMA_MODULES, HuggingFaceForm, renamed
from train.architectures.rotary import ROTARY_BASE
from train.architectures.transformer import NORM_EPS, Transformer, gated_hidden
from train.native.form import KernelForm
from train.sizes import Size

# `rope_theta` says what `rope_parameters` says to transformers before 5.
_LLAMA: dict[str, Any] = {
    "architectures": ["LlamaForCausalLM"],
    "attention_bias": False,
    "attention_dropout": 0.0,
    "hidden_act": "silu",
    "mlp_bias": False,
    "model_type": "llama",
    "rms_norm_eps": NORM_EPS,
    "rope_parameters": {"rope_theta": ROTARY_BASE, "rope_type": "default"},
    "rope_theta": ROTARY_BASE,
}


class Llama(Transformer):
    """See above. tied: whether the embedding is also the output head."""

    def __init__(self, size: Size, vocab: int, *, tied: bool = True) -> None:
        form = KernelForm(
            layers=size.layers,
            width=size.width,
            heads=size.heads,
            vocab=vocab,
            norm="rms",
            norm_eps=NORM_EPS,
            mlp="gated",
            hidden=gated_hidden(size.width),
            activation="silu",
            qkv_bias=False,
            out_bias=False,
            mlp_bias=False,
            tied=tied,
        )
        super().__init__(form)

    def kernel_form(self) -> KernelForm | None:
        """Its form; not of a subclass, which may compute something else."""
        return self.form if type(self) is Llama else None

    def huggingface(self) -> HuggingFaceForm | None:
        """LLaMA; not of a subclass, which may compute something else."""
        if type(self) is not Llama:
            return None
        size, names = self.size, [name for name, _ in self.named_parameters()]
        config = _LLAMA | {
            "head_dim": size.head_width,
            "hidden_size": size.width,
            "intermediate_size": self.form.hidden,
            "num_attention_heads": size.heads,
            "num_hidden_layers": size.layers,
            "num_key_value_heads": size.heads,
            "tie_word_embeddings": self.form.tied,
            "vocab_size": self.vocab,
        }
        return HuggingFaceForm(config, renamed(names, "model.layers", LLAMA_MODULES, size))

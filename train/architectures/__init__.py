"""Architectures by name: a class of models in a file each.

In: a name from a preset or a flag. Out: a class whose models are `CausalLM`s (causal_lm.py). To add an architecture,
add its file and its line here; a user's own is named `module:Class`. This package imports torch only when a class is
accessed, so that programs that only list names start fast.
"""

from typing import TYPE_CHECKING, Any, Protocol

from basis.registry import Registry
from train.sizes import Size

if TYPE_CHECKING:
    from train.architectures.causal_lm import CausalLM


class Architecture(Protocol):
    """A class of models. Its keyword arguments after size and vocabulary are its options; each has a default."""

    def __call__(self, size: Size, vocab: int, **options: Any) -> "CausalLM":
        """A model; its parameters hold anything until `initialize` is called. Raises ValueError for a bad option."""
        ...


_KNOWN: dict[str, tuple[str, dict[str, object]]] = {
    "gpt2": ("train.architectures.gpt2:GPT2", {"mlp": "gelu"}),
    "llama": ("train.architectures.llama:Llama", {"tied": True}),
    "moe": ("train.architectures.moe:MoE", {"experts": 32, "capacity": 2.0, "balance": 0.01}),
}
"""Where the class is, and the defaults of its options, so that tables need not import it; a test compares both."""

ARCHITECTURES: Registry[Architecture] = Registry(
    "architecture", {name: place for name, (place, _) in _KNOWN.items()}, needs=("__call__",)
)
ARCHITECTURE_DEFAULTS = {name: defaults for name, (_, defaults) in _KNOWN.items()}

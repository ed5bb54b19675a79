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


ARCHITECTURES: Registry[Architecture] = Registry(
    "architecture",
    {
        "gpt2": "train.architectures.gpt2:GPT2",
        "llama": "train.architectures.llama:Llama",
    },
)

ARCHITECTURE_DEFAULTS: dict[str, dict[str, object]] = {"gpt2": {"mlp": "gelu"}, "llama": {"tied": True}}
"""The defaults of options, so that tables need not import the classes; a test compares both."""

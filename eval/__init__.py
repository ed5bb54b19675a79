"""What a trained model recalls: losses by role, bits, question answering, quantized copies.

`eval.measure(model, tokenizer, data)` measures any causal language model of transformers; it is imported when it is
asked for, so that `import eval` stays light.
"""

from typing import TYPE_CHECKING, Any

import basis  # noqa: F401  # what Ctrl-C does until the program runs

if TYPE_CHECKING:
    from eval.measuring import measure

__all__ = ["measure"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from eval import measuring

    return getattr(measuring, name)

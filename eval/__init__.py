"""Measurements of a trained model: losses by role, bits, question answering, quantized copies.

`eval.measure(model, tokenizer, data)` measures any causal language model of transformers; it is imported on
access, so that `import eval` stays light.
"""

from runpy import run_path
from typing import TYPE_CHECKING, Any

run_path(f"{__path__[0]}/../basis/start.py")["start"]()  # before anything is imported

if TYPE_CHECKING:
    from eval.measuring import measure

__all__ = ["measure"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from eval import measuring

    return getattr(measuring, name)

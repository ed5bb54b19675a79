"""What a `KernelForm` means, in plain PyTorch: the list of a model's parameters and tokens come in, logits go out.

Written from the form alone, without the code of the architectures; in the precision of the parameters.
"""

from collections.abc import Iterable

import torch
import torch.nn.functional as F
from torch import Tensor

from train.architectures.rotary import rotation
from train.native.form import KernelForm


def reference_logits(form: KernelForm, parameters: Iterable[Tensor], tokens: Tensor) -> Tensor:
    """Logits [batch, time, vocab] of tokens [batch, time]; takes the parameters in the order that the form says."""
    remaining = iter(parameters)

    def linear(x: Tensor, has_bias: bool) -> Tensor:
        weight = next(remaining)
        return F.linear(x, weight, next(remaining) if has_bias else None)

    def norm(x: Tensor) -> Tensor:
        gain = next(remaining)
        if form.norm == "layer":
            return F.layer_norm(x, x.shape[-1:], gain, next(remaining), form.norm_eps)
        return x * gain / (x.square().mean(dim=-1, keepdim=True) + form.norm_eps).sqrt()

    def mlp(x: Tensor) -> Tensor:
        activated = activate(form, linear(x, form.mlp_bias))
        if form.mlp == "gated":
            activated = activated * linear(x, form.mlp_bias)
        return linear(activated, form.mlp_bias)

    embedding = next(remaining)
    x = embedding[tokens]
    for _ in range(form.layers):
        x = x + linear(attend(form, linear(norm(x), form.qkv_bias)), form.out_bias)
        if form.mlp != "none":
            x = x + mlp(norm(x))
    x = norm(x)
    logits = F.linear(x, embedding if form.tied else next(remaining))
    assert next(remaining, None) is None
    return logits


def activate(form: KernelForm, x: Tensor) -> Tensor:
    """The activation inside the MLP."""
    return F.silu(x) if form.activation == "silu" else F.gelu(x, approximate="tanh")


def attend(form: KernelForm, qkv: Tensor) -> Tensor:
    """Causal attention [batch, time, width] of rows [heads, 3, head_width] in [batch, time, 3·width]."""
    q, k, v = qkv.unflatten(-1, (form.heads, 3, -1)).permute(3, 0, 2, 1, 4)  # each [batch, heads, time, head_width]
    mixed = F.scaled_dot_product_attention(rotate(q), rotate(k), v, is_causal=True)
    return mixed.transpose(1, 2).flatten(2)


def rotate(x: Tensor) -> Tensor:
    """Feature i together with feature i + head_width / 2, by the angles of the position."""
    cos, sin = (angle.to(x.dtype) for angle in rotation(*x.shape[-2:]))
    first, second = x.chunk(2, dim=-1)
    return torch.cat((first * cos - second * sin, second * cos + first * sin), dim=-1)


def reference_loss(form: KernelForm, parameters: Iterable[Tensor], inputs: Tensor, targets: Tensor) -> Tensor:
    """Cross-entropies in nats of targets [batch, time], 0 where they are -1."""
    logits = reference_logits(form, parameters, inputs).transpose(1, 2)
    return F.cross_entropy(logits, targets.long(), ignore_index=-1, reduction="none")

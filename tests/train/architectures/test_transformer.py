"""What each form must be: causal, relative in position, equal to its textbook version, with that one's gradients."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from tests.train.architectures.conftest import EVERY_FORM, FORMS, new, perturbed, windows
from train.architectures.causal_lm import CausalLM, count_parameters
from train.architectures.rotary import Rotate, qkv_rotation
from train.architectures.transformer import gated_hidden
from train.head import linear_cross_entropy
from train.sizes import Size, parse_size

ALL = [*[(form, "2x48") for form in FORMS], *[("gpt2", size) for size in ("1x20x2", "3x32x1", "1-2")]]


def norm(x: Tensor, layer: nn.Module) -> Tensor:
    weight, bias = layer.get_parameter("weight"), 0.0
    if isinstance(layer, nn.LayerNorm):
        x, bias = x - x.mean(-1, keepdim=True), layer.bias
    return x / (x.square().mean(-1, keepdim=True) + 1e-5).sqrt() * weight + bias


def turn(x: Tensor) -> Tensor:
    """Rotary positions of x [batch, time, head_width] by complex numbers."""
    half = x.shape[-1] // 2
    angle = torch.arange(x.shape[1])[:, None] * 10_000.0 ** (-torch.arange(half).double() / half)
    z = torch.complex(x[..., :half], x[..., half:]) * torch.polar(torch.ones_like(angle), angle)
    return torch.cat((z.real, z.imag), -1)


def linear(x: Tensor, layer: nn.Linear) -> Tensor:
    return x @ layer.weight.T + (0.0 if layer.bias is None else layer.bias)


def gelu(x: Tensor) -> Tensor:
    return 0.5 * x * (1 + (((2 / torch.pi) ** 0.5) * (x + 0.044715 * x**3)).tanh())


def textbook(form: str, model: CausalLM, tokens: Tensor) -> Tensor:
    """The same function written for reading: complex rotations, an explicit mask, one head at a time."""
    heads, head_width = model.size.heads, model.size.head_width
    llama = form.startswith("llama")
    x = model.get_parameter("embedding.weight")[tokens]
    future = torch.ones(tokens.shape[1], tokens.shape[1], dtype=torch.bool).triu(1)
    for block in model.get_submodule("blocks").children():
        rows = linear(norm(x, block.attention_norm), block.qkv).split(head_width, -1)
        mixed = []
        for head in range(heads):
            q, k, v = rows[3 * head : 3 * head + 3]
            scores = turn(q) @ turn(k).mT / head_width**0.5
            mixed.append(scores.masked_fill(future, -torch.inf).softmax(-1) @ v)
        x = x + linear(torch.cat(mixed, -1), block.attention_out)
        if form == "gpt2 none":
            continue
        y = norm(x, block.mlp_norm)
        if llama or form == "gpt2 gated":
            gate = linear(y, block.mlp_gate)
            y = (gate * gate.sigmoid() if llama else gelu(gate)) * linear(y, block.mlp_in)
        else:
            y = gelu(linear(y, block.mlp_in))
        x = x + linear(y, block.mlp_out)
    return norm(x, model.get_submodule("norm"))


@pytest.mark.parametrize(("form", "size"), ALL)
def test_hidden_states_equal_the_textbook(form: str, size: str) -> None:
    model = perturbed(form, size).double()
    torch.testing.assert_close(model(windows()), textbook(form, model, windows()), rtol=0, atol=2e-6)


@pytest.mark.parametrize(("form", "size"), ALL)
def test_gradient_of_the_whole_loss_equals_plain_autograd(form: str, size: str) -> None:
    model, tokens = perturbed(form, size).double(), windows(13)
    inputs, targets = tokens[:, :-1], tokens[:, 1:].reshape(-1)
    head = model.get_parameter("head.weight" if form == "llama untied" else "embedding.weight")
    assert model.head_weight is head
    ours = linear_cross_entropy(model(inputs).flatten(0, 1), model.head_weight, targets, 5)
    logits = textbook(form, model, inputs) @ head.T
    plain = F.cross_entropy(logits.flatten(0, 1), targets, reduction="sum")
    parameters = [*model.parameters()]
    for a, b in zip(torch.autograd.grad(ours, parameters), torch.autograd.grad(plain, parameters), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("form", ["gpt2", "llama untied"])
def test_gradient_of_the_whole_loss_equals_finite_differences(form: str) -> None:
    model, tokens = perturbed(form).double(), windows(13)
    inputs, targets = tokens[:, :-1], tokens[:, 1:].reshape(-1)

    def loss() -> Tensor:
        return linear_cross_entropy(model(inputs).flatten(0, 1), model.head_weight, targets, 5)

    gradients = torch.autograd.grad(loss(), [*model.parameters()])
    step = 1e-6
    for parameter, gradient in zip(model.parameters(), gradients, strict=True):
        direction = torch.randn(parameter.shape, generator=torch.Generator().manual_seed(4)).double()
        values = []
        for sign in (1, -2, 1):  # there, to the other side, and back again
            parameter.data.add_(direction, alpha=sign * step)
            values.append(loss().item())
        slope = (values[0] - values[1]) / (2 * step)
        assert slope == pytest.approx((gradient * direction).sum().item(), rel=1e-5, abs=1e-5)


@pytest.mark.parametrize("form", EVERY_FORM)
def test_no_position_sees_a_later_token(form: str) -> None:
    model = perturbed(form).double().eval()
    embedded: list[Tensor] = []
    model.get_submodule("embedding").register_forward_hook(lambda _module, _inputs, output: embedded.append(output))
    hidden = model(windows(9))
    for t in range(9):
        (gradient,) = torch.autograd.grad(hidden[:, t].square().sum(), embedded, retain_graph=True)
        assert not gradient[:, t + 1 :].any()
        assert gradient[:, : t + 1].abs().amax(-1).min() > 0


@pytest.mark.parametrize("size", ["2x48", "1x20x2", "1-2"])
def test_rotated_products_depend_on_the_distance_only(size: str) -> None:
    heads, head_width, time = parse_size(size).heads, parse_size(size).head_width, 40
    own, partner = (factor.double() for factor in qkv_rotation(time, parse_size(size)))
    row = torch.randn(3 * heads * head_width, dtype=torch.float64)
    turned = Rotate.apply(row.expand(1, time, -1), own, partner, head_width)
    q, k, v = turned.view(time, heads, 3, head_width).unbind(2)
    plain = row.view(heads, 3, head_width)
    products = torch.einsum("ihd,jhd->hij", q, k)
    for distance in range(-time + 1, time):
        along = products.diagonal(distance, 1, 2)
        torch.testing.assert_close(along, along[:, :1].expand_as(along), rtol=0, atol=1e-4)
    assert torch.equal(v, plain[:, 2].expand_as(v))
    assert torch.equal(q[0], plain[:, 0])
    torch.testing.assert_close(q.norm(dim=-1), plain[:, 0].norm(dim=-1).expand(time, -1), rtol=1e-6, atol=0)
    assert (products[:, 0] - products[:, :1, 0]).abs().max() > 1e-2  # and on the distance they do depend


def test_rotation_has_the_gradient_of_its_finite_differences() -> None:
    own, partner = (factor.double() for factor in qkv_rotation(4, Size(1, 8, 2)))
    x = torch.randn(2, 4, 24, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: Rotate.apply(x, own, partner, 4), (x,))


@pytest.mark.parametrize("form", EVERY_FORM)
def test_any_length_of_window_works_and_a_prefix_stays_what_it_was(form: str) -> None:
    model, tokens = perturbed(form).double().eval(), windows(30)
    short = model(tokens[:, :7])
    torch.testing.assert_close(model(tokens)[:, :7], short)
    assert torch.equal(model(tokens[:, :7]), short)
    assert not any(name in model.state_dict() for name in ("own", "partner"))


@pytest.mark.parametrize("form", FORMS)
def test_embedding_and_head_are_one_parameter_if_tied(form: str) -> None:
    model = new(form)
    assert [tuple(p.shape) for p in model.parameters()].count((29, 48)) == (2 if form == "llama untied" else 1)
    assert sum(p.numel() for p in model.parameters()) == sum(model.parameter_counts().values())


@pytest.mark.parametrize(("form", "size"), ALL)
def test_closed_forms_agree_with_the_tensors(form: str, size: str) -> None:
    model = new(form, size)
    told = model.parameter_counts()
    assert {group: count for group, count in told.items() if count} == count_parameters(model)
    assert model.active_parameters == sum(told.values())
    inside = sum(p.numel() for p in model.get_submodule("blocks").parameters() if p.ndim == 2)
    assert model.non_embedding == super(type(model).__mro__[1], model).non_embedding == inside


@pytest.mark.parametrize(
    ("form", "size", "vocab", "total"),
    [
        ("gpt2", "12-12", 50_257, 124_439_808 - 1024 * 768),  # GPT-2 small without its table of positions
        ("gpt2", "2x32", 1_024, 58_240),
        ("gpt2 quarter", "2x32", 1_024, 58_240 - 2 * (6 * 32**2 + 3 * 32)),
        ("gpt2 none", "2x32", 1_024, 58_240 - 2 * (8 * 32**2 + 5 * 32 + 2 * 32)),
        ("gpt2 gated", "2x48", 1_024, 1_024 * 48 + 2 * (12 * 48**2 + 3 * 48) + 5 * 2 * 48),
        ("llama", "2x48", 1_024, 1_024 * 48 + 2 * 12 * 48**2 + 5 * 48),
        ("llama untied", "2x48", 1_024, 2 * 1_024 * 48 + 2 * 12 * 48**2 + 5 * 48),
    ],
)
def test_totals_of_known_models(form: str, size: str, vocab: int, total: int) -> None:
    assert sum(new(form, size, vocab).parameter_counts().values()) == total


def test_a_gated_mlp_has_the_weights_of_a_plain_one_to_the_nearest_multiple() -> None:
    for width in range(16, 2048, 2):
        hidden = gated_hidden(width)
        assert hidden % 16 == 0
        assert abs(3 * hidden - 8 * width) <= 24  # exact where width is a multiple of 6·16/2


@pytest.mark.parametrize("form", FORMS)
def test_flops_are_those_of_the_matrix_products_and_of_attention(form: str) -> None:
    model, tokens = new(form), windows(16)
    with FlopCounterMode(display=False) as counter:
        hidden = model(tokens).flatten(0, 1)
        linear_cross_entropy(hidden, model.head_weight, tokens.reshape(-1)).backward()
    products = sum(count for op, count in counter.get_flop_counts()["Global"].items() if "attention" not in str(op))
    attention = 12 * model.size.layers * model.size.width * 16
    assert products == (model.flops_per_token(16) - attention) * tokens.numel()


@pytest.mark.parametrize("form", FORMS)
def test_parameters_stand_in_the_order_that_the_kernels_read(form: str) -> None:
    model = new(form)
    kernel = model.kernel_form()
    assert kernel is not None
    inside = ["attention_norm", "qkv", "attention_out"]
    inside += {"none": [], "plain": ["mlp_norm", "mlp_in", "mlp_out"]}.get(
        kernel.mlp, ["mlp_norm", "mlp_gate", "mlp_in", "mlp_out"]
    )
    blocks = [f"blocks.{layer}.{module}" for layer in range(kernel.layers) for module in inside]
    modules = ["embedding", *blocks, "norm", *([] if kernel.tied else ["head"])]
    biases = {"qkv": kernel.qkv_bias, "attention_out": kernel.out_bias, "embedding": False, "head": False}
    biases |= dict.fromkeys(("mlp_gate", "mlp_in", "mlp_out"), kernel.mlp_bias)
    expected = [
        f"{module}.{kind}"
        for module in modules
        for kind in ("weight", "bias")
        if kind == "weight" or biases.get(module.rpartition(".")[2], kernel.norm == "layer")
    ]
    assert [name for name, _ in model.named_parameters()] == expected


@pytest.mark.parametrize("scheme", ["width", "gpt2"])
@pytest.mark.parametrize("form", EVERY_FORM)
def test_initialization_is_a_function_of_the_seed(form: str, scheme: str) -> None:
    models = [new(form) for _ in range(3)]
    torch.manual_seed(0)
    before = torch.get_rng_state()
    for model, seed in zip(models, (5, 5, 6), strict=True):
        model.initialize(scheme, seed)
    assert torch.equal(torch.get_rng_state(), before)
    first, same, other = (torch.cat([p.flatten() for p in model.parameters()]) for model in models)
    assert torch.equal(first, same)
    assert not torch.equal(first, other)


@pytest.mark.parametrize("scheme", ["width", "gpt2"])
@pytest.mark.parametrize("form", FORMS)
def test_initialization_has_the_spread_it_says(form: str, scheme: str) -> None:
    model = new(form, "2x128", 1000)
    model.initialize(scheme, seed=0)
    for name, parameter in model.named_parameters():
        module, kind = name.split(".")[-2:]
        if module.endswith("norm"):
            assert torch.equal(parameter, torch.full_like(parameter, kind == "weight"))
        elif kind == "bias":
            assert not parameter.any()
        else:
            std = 0.02 if scheme == "gpt2" else 0.1 if module == "embedding" else parameter.shape[1] ** -0.5
            std *= 0.5 if module in ("attention_out", "mlp_out") else 1  # 1/sqrt(2·2 layers)
            assert parameter.std().item() == pytest.approx(std, rel=0.03)
            assert abs(parameter.mean().item()) < 0.02 * std


def test_an_empty_vocabulary_is_refused() -> None:
    with pytest.raises(ValueError, match="vocab: 0"):
        new("gpt2", vocab=0)

"""What the model must be: causal, relative in position, tied, counted, equal to its textbook version."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from train.architectures.causal_lm import count_parameters
from train.architectures.gpt2 import GPT2
from train.architectures.rotary import Rotate, qkv_rotation
from train.head import linear_cross_entropy
from train.sizes import Size, parse_size

SIZES = ["2x48", "1x20x2", "3x32x1", "1-2"]


def perturbed(size: str, vocab: int = 29) -> GPT2:
    """A model in double precision in which every parameter, biases and norms too, matters."""
    model = GPT2(parse_size(size), vocab)
    model.initialize("width", seed=1)
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.1)
    return model.double()


def windows(time: int = 12, vocab: int = 29) -> Tensor:
    return torch.randint(vocab, (3, time), generator=torch.Generator().manual_seed(3))


def textbook(model: GPT2, tokens: Tensor) -> Tensor:
    """The same function written for reading: complex rotations, an explicit mask, one head at a time."""

    def norm(x: Tensor, layer: nn.LayerNorm) -> Tensor:
        centered = x - x.mean(-1, keepdim=True)
        return centered / (centered.square().mean(-1, keepdim=True) + 1e-5).sqrt() * layer.weight + layer.bias

    def turn(x: Tensor) -> Tensor:  # [batch, time, head_width]
        half = x.shape[-1] // 2
        angle = torch.arange(x.shape[1])[:, None] * 10_000.0 ** (-torch.arange(half).double() / half)
        z = torch.complex(x[..., :half], x[..., half:]) * torch.polar(torch.ones_like(angle), angle)
        return torch.cat((z.real, z.imag), -1)

    heads, head_width = model.size.heads, model.size.head_width
    x = model.embedding.weight[tokens]
    future = torch.ones(tokens.shape[1], tokens.shape[1], dtype=torch.bool).triu(1)
    for block in model.blocks:
        rows = (norm(x, block.attention_norm) @ block.qkv.weight.T + block.qkv.bias).split(head_width, -1)
        mixed = []
        for head in range(heads):
            q, k, v = rows[3 * head : 3 * head + 3]
            scores = turn(q) @ turn(k).mT / head_width**0.5
            mixed.append(scores.masked_fill(future, -torch.inf).softmax(-1) @ v)
        x = x + torch.cat(mixed, -1) @ block.attention_out.weight.T + block.attention_out.bias
        inner = norm(x, block.mlp_norm) @ block.mlp_in.weight.T + block.mlp_in.bias
        inner = 0.5 * inner * (1 + (((2 / torch.pi) ** 0.5) * (inner + 0.044715 * inner**3)).tanh())
        x = x + inner @ block.mlp_out.weight.T + block.mlp_out.bias
    return norm(x, model.norm)


@pytest.mark.parametrize("size", SIZES)
def test_hidden_states_equal_the_textbook(size: str) -> None:
    model = perturbed(size)
    torch.testing.assert_close(model(windows()), textbook(model, windows()), rtol=0, atol=2e-6)


@pytest.mark.parametrize("size", SIZES)
def test_gradient_of_the_whole_loss_equals_plain_autograd(size: str) -> None:
    model, tokens = perturbed(size), windows(13)
    inputs, targets = tokens[:, :-1], tokens[:, 1:].reshape(-1)
    ours = linear_cross_entropy(model(inputs).flatten(0, 1), model.embedding.weight, targets, 5)
    logits = textbook(model, inputs) @ model.embedding.weight.T
    plain = F.cross_entropy(logits.flatten(0, 1), targets, reduction="sum")
    parameters = [*model.parameters()]
    for a, b in zip(torch.autograd.grad(ours, parameters), torch.autograd.grad(plain, parameters), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-5)


def test_gradient_of_the_whole_loss_equals_finite_differences() -> None:
    model, tokens = perturbed("2x48"), windows(13)
    inputs, targets = tokens[:, :-1], tokens[:, 1:].reshape(-1)

    def loss() -> Tensor:
        return linear_cross_entropy(model(inputs).flatten(0, 1), model.embedding.weight, targets, 5)

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


def test_no_position_sees_a_later_token() -> None:
    model = perturbed("2x48")
    embedded: list[Tensor] = []
    model.embedding.register_forward_hook(lambda _module, _inputs, output: embedded.append(output))
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


def test_any_length_of_window_works_and_a_prefix_stays_what_it_was() -> None:
    model, tokens = perturbed("2x48"), windows(30)
    short = model(tokens[:, :7])
    torch.testing.assert_close(model(tokens)[:, :7], short)
    assert torch.equal(model(tokens[:, :7]), short)
    assert not any(name in model.state_dict() for name in ("own", "partner"))


def test_embedding_and_head_are_one_parameter() -> None:
    model = GPT2(parse_size("2x48"), 29)
    assert [tuple(p.shape) for p in model.parameters()].count((29, 48)) == 1
    assert sum(p.numel() for p in model.parameters()) == sum(model.parameter_counts().values())


@pytest.mark.parametrize("size", SIZES)
def test_counts_agree_with_the_tensors(size: str) -> None:
    model = GPT2(parse_size(size), 29)
    assert count_parameters(model) == model.parameter_counts()


@pytest.mark.parametrize(
    ("size", "vocab", "total"),
    [
        ("12-12", 50_257, 124_439_808 - 1024 * 768),  # GPT-2 small without its table of positions
        ("2x32", 1_024, 58_240),
    ],
)
def test_totals_of_known_models(size: str, vocab: int, total: int) -> None:
    assert sum(GPT2(parse_size(size), vocab).parameter_counts().values()) == total


def test_non_embedding_counts_the_matrices_of_the_blocks() -> None:
    model = GPT2(parse_size("2x48"), 29)
    assert model.non_embedding == sum(p.numel() for p in model.blocks.parameters() if p.ndim == 2)


def test_flops_are_those_of_the_matrix_products_and_of_attention() -> None:
    size, vocab, tokens = parse_size("2x48"), 29, windows(16)
    model = GPT2(size, vocab)
    with FlopCounterMode(display=False) as counter:
        hidden = model(tokens).flatten(0, 1)
        linear_cross_entropy(hidden, model.embedding.weight, tokens.reshape(-1)).backward()
    products = sum(count for op, count in counter.get_flop_counts()["Global"].items() if "attention" not in str(op))
    attention = 12 * size.layers * size.width * 16
    assert products == (model.flops_per_token(16) - attention) * tokens.numel()


@pytest.mark.parametrize("scheme", ["width", "gpt2"])
def test_initialization_is_a_function_of_the_seed(scheme: str) -> None:
    models = [GPT2(parse_size("2x48"), 29) for _ in range(3)]
    torch.manual_seed(0)
    before = torch.get_rng_state()
    for model, seed in zip(models, (5, 5, 6), strict=True):
        model.initialize(scheme, seed)
    assert torch.equal(torch.get_rng_state(), before)
    first, same, other = (torch.cat([p.flatten() for p in model.parameters()]) for model in models)
    assert torch.equal(first, same)
    assert not torch.equal(first, other)


@pytest.mark.parametrize("scheme", ["width", "gpt2"])
def test_initialization_has_the_spread_it_says(scheme: str) -> None:
    size = parse_size("2x128")
    model = GPT2(size, 1000)
    model.initialize(scheme, seed=0)
    residual = (2 * size.layers) ** -0.5
    narrow, wide = (0.02, 0.02) if scheme == "gpt2" else (128**-0.5, 512**-0.5)
    expected = {
        "embedding": 0.02 if scheme == "gpt2" else 0.1,
        "qkv": narrow,
        "attention_out": narrow * residual,
        "mlp_in": narrow,
        "mlp_out": wide * residual,
    }
    for name, parameter in model.named_parameters():
        module, kind = name.split(".")[-2:]
        if module.endswith("norm"):
            assert torch.equal(parameter, torch.full_like(parameter, kind == "weight"))
        elif kind == "bias":
            assert not parameter.any()
        else:
            assert parameter.std().item() == pytest.approx(expected[module], rel=0.03)
            assert abs(parameter.mean().item()) < 0.02 * expected[module]


def test_an_empty_vocabulary_is_refused() -> None:
    with pytest.raises(ValueError, match="vocab: 0"):
        GPT2(parse_size("2x48"), 0)

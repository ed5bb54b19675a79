"""The mixture of experts against a loop over tokens, and its counts."""

import pytest
import torch
import torch.nn.functional as F

from tests.train.architectures.conftest import windows
from train.architectures.causal_lm import make_model
from train.architectures.moe import Mixture, MoE
from train.sizes import Size


def mixture(experts=4, capacity=2.0, balance=0.01):
    made = Mixture(6, experts, capacity, balance).double()
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator))
    return made


def rows(n=40):
    return torch.randn(n, 6, generator=torch.Generator().manual_seed(2), dtype=torch.float64)


def one_by_one(made, x, limit):
    """What each token gets, in their order, until its expert is full; and how many got nothing."""
    taken, out, dropped = dict.fromkeys(range(len(made.up)), 0), torch.zeros_like(x), 0
    for place, row in enumerate(x):
        chances = (made.router.weight @ row).softmax(0)
        expert = int(chances.argmax())
        if taken[expert] < limit:
            out[place] = chances[expert] * (made.down[expert] @ F.gelu(made.up[expert] @ row, approximate="tanh"))
        else:
            dropped += 1
        taken[expert] += 1
    return out, dropped


@pytest.mark.parametrize("capacity", [0.5, 1.0, 3.0])
def test_it_is_a_loop_over_tokens_and_full_experts_leave_the_rest(capacity):
    made, x = mixture(capacity=capacity, balance=0.0), rows()
    expected, dropped = one_by_one(made, x, limit=40 * capacity / 4)
    torch.testing.assert_close(made(x), expected)
    assert (dropped > 0) == (capacity < 3)


def test_in_measuring_no_token_is_left_out_and_none_depends_on_others():
    made, x = mixture(capacity=0.5).eval(), rows()
    torch.testing.assert_close(made(x), one_by_one(made, x, limit=40)[0])
    torch.testing.assert_close(made(x)[:7], made(x[:7]))


def test_the_balance_is_switch_transformers_and_changes_gradients_only():
    plain, balanced, x = mixture(balance=0.0), mixture(balance=0.3), rows()
    assert torch.equal(plain(x), balanced(x))
    for made in (plain, balanced):
        made(x).square().mean().backward()
    chances = (x @ plain.router.weight.T).softmax(-1)
    share = F.one_hot(chances.argmax(-1), 4).double().mean(0)
    (expected,) = torch.autograd.grad(0.3 * 4 * (share * chances.mean(0)).sum(), plain.router.weight)
    torch.testing.assert_close(balanced.router.weight.grad, plain.router.weight.grad + expected)
    torch.testing.assert_close(balanced.up.grad, plain.up.grad)


def test_every_expert_counts_and_one_is_active():
    model = make_model("moe", Size(2, 16, 1), 30, {"experts": 8})
    counts = model.parameter_counts()
    assert counts["experts"] == 2 * 8 * 2 * 16**2
    assert counts["router"] == 2 * 8 * 16
    assert model.active_parameters == sum(counts.values()) - 2 * 7 * 2 * 16**2
    one = make_model("moe", Size(2, 16, 1), 30, {"experts": 1})
    assert one.active_parameters == sum(one.parameter_counts().values())
    assert model.flops_per_token(10) - one.flops_per_token(10) == 6 * 2 * 7 * 16


def test_one_expert_is_the_quarter_mlp_without_biases():
    model = make_model("moe", Size(1, 16, 2), 29, {"experts": 1})
    model.initialize("width", seed=3)
    plain = make_model("gpt2", Size(1, 16, 2), 29, {"mlp": "quarter"})
    theirs = plain.state_dict()
    ours = model.state_dict()
    renamed = {
        "blocks.0.mlp_in.weight": ours["mixtures.0.up"][0],
        "blocks.0.mlp_out.weight": ours["mixtures.0.down"][0],
    }
    renamed |= {f"blocks.0.mlp_norm.{kind}": ours[f"mlp_norms.0.{kind}"] for kind in ("weight", "bias")}
    zeros = {name: torch.zeros_like(value) for name, value in theirs.items()}
    plain.load_state_dict(zeros | {name: ours[name] for name in theirs if name in ours} | renamed)
    torch.testing.assert_close(model.eval()(windows()), plain(windows()))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"experts": 0}, r"^experts: 0 is not allowed with architecture moe; allowed: 1 to 1,024$"),
        (
            {"capacity": 0.0},
            r"^capacity: 0.0 is not allowed with architecture moe; allowed: more than 0,",
        ),
        ({"balance": -1.0}, r"^balance: -1.0 is not allowed with architecture moe; allowed: 0 to 100$"),
    ],
)
def test_what_cannot_be_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        MoE(Size(1, 16, 1), 30, **options)

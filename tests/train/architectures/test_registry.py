"""Architectures by name, a user's own among them; what is no model, or no option, is refused in one line."""

import inspect
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tests.train.architectures.conftest import EVERY_FORM
from train.architectures import ARCHITECTURE_DEFAULTS, ARCHITECTURES
from train.architectures.causal_lm import changed_options, make_model, outline
from train.sizes import Size

SIZE = Size(2, 16, 1)

OWN = '''
import torch
from torch import nn

from train.architectures.causal_lm import CausalLM, Part
from train.architectures.gpt2 import GPT2


class Averages(CausalLM):
    """Each position sees the mean of the embeddings up to it, through matrices of several experts."""

    def __init__(self, size, vocab, *, experts=1):
        super().__init__(size, vocab)
        self.embedding = nn.Embedding(vocab, size.width)
        self.experts = nn.Parameter(torch.empty(experts, size.width, size.width))

    def forward(self, tokens):
        x = self.embedding(tokens)
        counts = torch.arange(1, x.shape[1] + 1, device=x.device)
        return x + (x.cumsum(1) / counts[:, None]) @ self.experts.mean(0)

    @property
    def head_weight(self):
        return self.embedding.weight

    def part(self, name):
        parts = {"embedding.weight": Part("embedding", "table"), "experts": Part("experts", "matrix")}
        return parts.get(name)

    def flops_per_token(self, context):
        return 6 * (self.non_embedding + self.vocab * self.size.width)


class Silent(CausalLM):
    def forward(self, tokens):
        raise NotImplementedError


class Forgetful(Averages):
    def part(self, name):
        return None if name == "experts" else super().part(name)


class Wrong(Averages):
    def part(self, name):
        return Part("experts", "table") if name == "experts" else super().part(name)


class Boastful(Averages):
    def parameter_counts(self):
        return {"embedding": 1_000_000}


class Changed(GPT2):
    """Subclassed, so that it may compute anything."""


def nothing(size, vocab):
    return nn.Linear(size.width, vocab)
'''


@pytest.fixture
def own(tmp_path, monkeypatch):
    (tmp_path / "own_models.py").write_text(OWN)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    yield lambda name: f"own_models:{name}"
    sys.modules.pop("own_models", None)


def test_names_are_known_without_torch() -> None:
    script = (
        "import sys, train.architectures, train.optimizers\n"
        "assert train.architectures.ARCHITECTURES.names and train.optimizers.OPTIMIZERS.names\n"
        "assert 'torch' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True, cwd=Path(__file__).parents[3])


def test_every_architecture_has_a_form_in_the_tests() -> None:
    assert {name for name, _ in EVERY_FORM.values()} == set(ARCHITECTURES.names)


@pytest.mark.parametrize("form", EVERY_FORM)
def test_an_outline_is_counted_without_memory(form) -> None:
    name, options = EVERY_FORM[form]
    large = outline(name, Size(96, 12_288, 96), 50_000, options)
    assert {p.device.type for p in large.parameters()} == {"meta"}
    small, same = (make(name, SIZE, 20, options) for make in (outline, make_model))
    assert small.parameter_counts() == same.parameter_counts()
    assert small.kernel_form() == same.kernel_form()


@pytest.mark.parametrize(
    ("architecture", "options", "message"),
    [
        ("gpt2", {"mlp": "wide"}, r"^mlp: 'wide' is not allowed with architecture gpt2; must be gelu, gated,"),
        ("gpt2", {"tied": True}, r"^tied: True is not allowed with architecture gpt2; its options are mlp$"),
        ("llama", {"mlp": "gated"}, r"^mlp: 'gated' is not allowed with architecture llama; its options are tied$"),
        ("llama", {"tied": "no"}, r"^tied: 'no' is not allowed with architecture llama; must be of type bool$"),
        ("gpt2", {"mlp": 4}, r"^mlp: 4 is not allowed with architecture gpt2; must be of type str$"),
        ("mamba", {}, r"^architecture: 'mamba' is not allowed; must be gpt2, llama, moe or your own as module:Name$"),
    ],
)
def test_what_an_architecture_does_not_take_is_refused(architecture, options, message) -> None:
    with pytest.raises(ValueError, match=message):
        make_model(architecture, SIZE, 20, options)


def test_options_at_their_defaults_are_left_out() -> None:
    assert changed_options("gpt2", {"mlp": "gelu"}) == changed_options("llama", {"tied": True}) == {}
    assert changed_options("gpt2", {"mlp": "none"}) == {"mlp": "none"}


def test_a_users_own_is_drawn_counted_and_grouped(own) -> None:
    model = make_model(own("Averages"), SIZE, 20, {"experts": 3})
    assert model.parameter_counts() == {"embedding": 20 * 16, "experts": 3 * 16 * 16}
    assert model.non_embedding == 3 * 16 * 16
    model.initialize("width", seed=0)
    again = make_model(own("Averages"), SIZE, 20, {"experts": 3})
    again.initialize("width", seed=0)
    assert all(torch.equal(one, other) for one, other in zip(model.parameters(), again.parameters(), strict=True))
    assert model.get_parameter("experts").std().item() == pytest.approx(16**-0.5, rel=0.1)
    groups = model.parameter_groups()
    assert [list(matrix.parameter.shape) for matrix in groups.matrices] == [[3, 16, 16]]
    assert (len(groups.tables), len(groups.vectors)) == (1, 0)
    assert model.kernel_form() is model.huggingface() is None


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("Silent", r"lacks flops_per_token, head_weight, part; see train/architectures$"),
        ("nothing", r"makes no CausalLM; see train/architectures$"),
        ("Forgetful", r"^experts: belongs to no group; Forgetful.part must say what it is$"),
        ("Wrong", r"^experts: shape \[1, 16, 16\] is not allowed for a table; must have 2 dimensions$"),
        ("Boastful", r"counts \{'embedding': 1000000\}, but its parameters are"),
        ("Missing", r"^architecture: 'own_models:Missing' cannot be imported"),
    ],
)
def test_what_is_no_model_is_refused(own, name, message) -> None:
    with pytest.raises(ValueError, match=message):
        make_model(own(name), SIZE, 20)


def test_neither_kernels_nor_transformers_take_a_subclass_for_what_it_may_not_be(own) -> None:
    changed = make_model(own("Changed"), SIZE, 20)
    assert changed.kernel_form() is changed.huggingface() is None


@pytest.mark.parametrize("name", ARCHITECTURES.names)
def test_what_an_option_left_out_means_is_said_without_the_class(name):
    parameters = [*inspect.signature(ARCHITECTURES[name]).parameters.values()][2:]
    assert ARCHITECTURE_DEFAULTS[name] == {parameter.name: parameter.default for parameter in parameters}

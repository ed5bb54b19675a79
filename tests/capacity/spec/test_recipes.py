"""Recipes: the paper's numbers where it has them, and what a preset says before all."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from biogen.config import DataConfig
from capacity.spec import recipes
from capacity.spec.config import Training, TrainingOptions
from capacity.spec.recipes import resolve, settings_of
from train.architectures.causal_lm import outline
from train.sizes import parse_size


def resolved(people=1000, exposures=100, size="2x48", text_tokens=73.0, junk="0", dataset="bios", **options):
    data = DataConfig(dataset=dataset, people=people, junk=junk)
    found = TrainingOptions(**options)
    shape = {"size": parse_size(size), "weights": outline("gpt2", parse_size(size), 1).non_embedding}
    return resolve(found, **shape, data=data, exposures=exposures, text_tokens=text_tokens)


FORM, NARROW = (outline("gpt2", parse_size(size), 9).kernel_form() for size in ("2x48", "2x24x1"))
PAPER = [  # exposures, people, lr, weight decay, windows of 512 a batch
    *[(1000, 10_000, 1e-3, 0.02, 24), (1000, 20_000, 1e-3, 0.02, 48), (1000, 50_000, 1e-3, 0.02, 96)],
    *[(1000, 100_000, 1e-3, 0.02, 192), (1000, 500_000, 5e-4, 0.01, 192), (1000, 1_000_000, 5e-4, 0.01, 192)],
    *[(1000, 2_000_000, 3e-4, 0.005, 1536), (1000, 5_000_000, 3e-4, 0.002, 1536)],
    *[(1000, 10_000_000, 3e-4, 0.001, 1536), (100, 50_000, 1e-3, 0.01, 12), (100, 100_000, 1e-3, 0.01, 24)],
    *[(100, 200_000, 1e-3, 0.01, 48), (100, 500_000, 5e-4, 0.01, 96), (100, 1_000_000, 5e-4, 0.01, 192)],
]


@pytest.mark.parametrize(("exposures", "people", "lr", "weight_decay", "batch"), PAPER)
def test_the_papers_rows(exposures, people, lr, weight_decay, batch):
    found = resolved(people, exposures, recipe="paper")
    assert (found.lr, found.weight_decay, found.batch) == (lr, weight_decay, batch)
    assert (found.layout, found.context, found.optimizer) == ("packed", 512, "adamw")
    assert (found.warmup_steps, found.final_lr) == (1000, 0.1)


def test_between_the_papers_smallest_people_and_10_000_the_batch_shrinks_in_proportion():
    assert resolved(25_000, 100, recipe="paper").batch == 6
    assert resolved(10_000, 100, recipe="paper").batch == 2


@pytest.mark.parametrize("exposures", [100, 1000])
def test_below_10_000_people_the_lr_follows_the_width(exposures):
    assert resolved(9_999, exposures, "2x768", recipe="paper").lr == 1e-3
    assert resolved(9_999, exposures, "4-2", recipe="paper").lr == pytest.approx(0.21 / 128, abs=1e-5)
    assert resolved(9_999, exposures, "2x24x1", recipe="paper").lr == pytest.approx(1e-3 * 32 ** (2 / 3), abs=1e-5)
    assert resolved(9_999, exposures, "2x62x1", recipe="paper").lr == 0.00535
    assert resolved(9_999, exposures, "1-1", recipe="paper").lr == pytest.approx(0.21 / 64, abs=1e-5)
    rates = [resolved(9_999, exposures, f"1x{width}x1", recipe="paper").lr for width in range(2, 1024, 2)]
    assert rates == sorted(rates, reverse=True)
    few = resolved(1300, exposures, "2x48", 24.0, recipe="paper", layout="rows")
    assert (few.weight_decay, few.batch) == (0.05, 40)
    assert resolved(9_999, 1000, recipe="paper", layout="rows").batch == 167  # 60K steps, as the paper at 10,000


def test_fast_batches_grow_with_the_model_and_the_data():
    rows = {"text_tokens": 24.0, "layout": "rows"}
    assert resolved(1300, 100, "2x48", **rows).batch == 64
    assert resolved(4400, 100, "5x64x2", **rows).batch == round(64 * 245_760 / 80_000)
    assert resolved(4400, 1000, "12-12", **rows).batch == 8 * 64
    assert resolved(13_000, 1000, "2x48", **rows).batch == 650  # 20K steps
    assert resolved(500, 100, "2x24x1", **rows).batch == round(500 * 100 / 1200)
    assert resolved(390, 50, "2x24x1", **rows).batch == 32  # half as large at least


def test_fast_decays_weights_for_biod_only():
    assert resolved(dataset="biod").weight_decay == 0.1
    assert resolved(dataset="bios").weight_decay == 0


GIVEN = {
    **{"layout": "packed", "context": 99, "batch": 7, "optimizer": "adamw", "initialization": "gpt2", "lr": 0.123},
    **{"embedding_lr": 0.456, "weight_decay": 0.321, "beta1": 0.11, "beta2": 0.22, "eps": 0.33, "momentum": 0.44},
    **{"warmup_steps": 17, "final_lr": 0.55, "clip": 6.6, "precision": "bf16", "compile": "on"},
    **{"schedule": "wsd", "decay_share": 0.77},
    "kernels": "pytorch",
}


@pytest.mark.parametrize("recipe", ["paper", "fast"])
def test_what_a_preset_says_wins(recipe):
    assert GIVEN.keys() == TrainingOptions.model_fields.keys() - {"recipe"}
    for name, value in GIVEN.items():
        assert getattr(resolved(recipe=recipe, **{name: value}), name) == value
    assert resolved(recipe=recipe, **GIVEN).model_dump() == GIVEN | {"recipe": recipe}


def test_adamw_has_one_learning_rate_unless_told_otherwise():
    for recipe in ("paper", "fast"):
        adamw = {"recipe": recipe, "optimizer": "adamw"}
        assert resolved(**adamw, lr=0.123).embedding_lr == 0.123
        assert resolved(**adamw, lr=0.123, embedding_lr=0.456).embedding_lr == 0.456
        assert (found := resolved(**adamw)).embedding_lr == found.lr
    assert resolved(recipe="fast", lr=0.123).embedding_lr == resolved(recipe="fast").embedding_lr


@given(
    people=st.integers(1, 20_000_000),
    exposures=st.integers(1, 10_000),
    text_tokens=st.floats(3, 500),
    size=st.sampled_from(["1x16", "2x48x1", "12-12"]),
    junk=st.sampled_from(["0", "7/8"]),
    recipe=st.sampled_from(["paper", "fast"]),
    layout=st.sampled_from(["rows", "packed", None]),
)
def test_every_number_is_decided(**drawn):
    found = resolved(**drawn)
    assert isinstance(found, Training)
    assert None not in found.model_dump().values()
    window = found.context if found.layout == "packed" else drawn["text_tokens"]
    tokens = drawn["people"] * drawn["exposures"] * drawn["text_tokens"] / (1 if drawn["junk"] == "0" else 1 / 8)
    assert found.warmup_steps <= 0.1 * tokens / (found.batch * window) + 1


@given(people=st.integers(10_000, 1_000_000), recipe=st.sampled_from(["paper", "fast"]))
def test_both_layouts_take_about_as_many_tokens_in_a_step(people, recipe):
    rows, packed = (resolved(people, recipe=recipe, layout=layout, context=64) for layout in ("rows", "packed"))
    assert rows.batch * 73 == pytest.approx(packed.batch * 64, abs=73)


@pytest.fixture
def kernels_for(monkeypatch):
    """Pretend that there are kernels for fp32 and for bf16."""

    def pretend(fp32=None, bf16=None):
        monkeypatch.setattr(recipes, "instruction_set", lambda of_bf16=False: bf16 if of_bf16 else fp32)

    return pretend


@pytest.mark.parametrize("on_gpu", [False, True])
def test_the_settings_are_those_of_the_recipe(kernels_for, on_gpu):
    kernels_for(fp32="avx2")
    found = settings_of(resolved(lr=0.25, clip=3, warmup_steps=7), 4, form=FORM, on_gpu=on_gpu)
    assert (found.lr, found.clip, found.warmup_steps, found.exposures) == (0.25, 3, 7, 4)
    assert (found.bf16, found.compile) == (on_gpu, on_gpu)
    decided = settings_of(resolved(precision="bf16", compile="on"), 4, form=FORM, on_gpu=on_gpu)
    assert (decided.bf16, decided.compile, decided.native) == (True, True, False)
    decided = settings_of(resolved(precision="fp32", compile="off"), 4, form=FORM, on_gpu=on_gpu)
    assert (decided.bf16, decided.compile) == (False, False)


@pytest.mark.parametrize(
    ("fp32", "bf16", "precision", "expected"),
    [
        ("avx2", None, "auto", (True, False)),
        ("avx2", None, "bf16", (False, True)),
        ("avx512", "amx", "auto", (True, True)),
        ("avx512", "amx", "bf16", (True, True)),
        ("avx512", "amx", "fp32", (True, False)),
        (None, None, "auto", (False, False)),
        (None, "amx", "auto", (False, False)),
        (None, None, "bf16", (False, True)),
    ],
)
def test_the_precision_that_there_are_kernels_for(kernels_for, fp32, bf16, precision, expected):
    kernels_for(fp32, bf16)
    found = settings_of(resolved(precision=precision), 4, form=FORM, on_gpu=False)
    assert (found.native, found.bf16) == expected
    if not found.native:
        with pytest.raises(ValueError, match=r"^kernels: native needs"):
            settings_of(resolved(precision=precision, kernels="native"), 4, form=FORM, on_gpu=False)


@pytest.mark.parametrize("bf16", ["avx512_bf16", None])
@pytest.mark.parametrize(
    "cannot", [{"on_gpu": True}, {"form": NARROW}, {"form": None}, {"compile": "on"}, {"kernels": "pytorch"}]
)
def test_kernels_serve_only_where_they_can(kernels_for, bf16, cannot):
    kernels_for("avx512", bf16)
    where = {"form": FORM, "on_gpu": False} | {key: value for key, value in cannot.items() if key in ("on_gpu", "form")}
    options = {key: value for key, value in cannot.items() if key not in where}
    found = settings_of(resolved(**options), 4, **where)
    assert not found.native
    assert found.bf16 == where["on_gpu"]  # PyTorch's own bf16 is slower than its fp32 on a CPU
    if "kernels" not in options:
        with pytest.raises(ValueError, match=r"^kernels: native needs"):
            settings_of(resolved(**options, kernels="native"), 4, **where)


def test_fast_has_learning_rates_for_lion_and_soap():
    lion, soap, muon = (resolved(optimizer=name) for name in ("lion", "soap", "muon"))
    assert lion.lr == lion.embedding_lr < soap.lr == soap.embedding_lr
    assert muon == resolved()
    assert resolved(optimizer="soap", lr=0.02).embedding_lr == 0.02
    assert resolved(optimizer="lion", recipe="paper").lr == resolved(recipe="paper").lr

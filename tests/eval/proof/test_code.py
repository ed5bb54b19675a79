"""The code of people: decoded to the letter, the same for every batch, as long as the losses say, and never wrong."""

import numpy as np
import pytest
import torch

from eval.proof.code import NAMES, VALUES, read
from eval.proof.record import AGREEMENT, compare, make_proof
from eval.source import OtherTokens
from tests.eval.proof.proved import Proved


def test_people_are_decoded(proved, written):
    found = read(proved.blanked, proved.exact(), written.content())
    expected = proved.dataset.describe(proved.everyone)
    assert found == written.people
    assert compare(found, expected) == []
    assert all({*proved.dataset.value_roles} <= person.keys() for person in found)


def test_the_code_depends_on_no_batch_size(proved, written):
    """One size writes, and another reads."""
    assert proved.write(7).content() == written.content()
    assert read(proved.blanked, proved.exact(1), written.content()) == written.people


def test_the_code_is_as_long_as_the_losses_say(proved, written):
    proof = make_proof(written, proved.recall, proved.dataset, proved.parameters)
    slack = 64 / proof["estimated_bits"]  # a word for the end of each code
    assert abs(proof["difference"]) < AGREEMENT + slack
    for part, name in ((NAMES, "name"), (VALUES, "value")):
        assert abs(32 * len(written.codes[part]) - proof[f"estimated_bits_{name}"]) < 40 + 0.001 * proof["code_bits"]
    assert proof["bits_per_param"] == pytest.approx(proof["bits_per_param_estimated"], abs=100 / proved.parameters)
    assert proof["bits"] == proof["bits_name"] + proof["bits_value"] + proof["bits_value_set"]
    assert proof["set_bits_known"] <= proof["set_bits"]
    assert proof["ambiguous_roundings"] == 0


def test_a_flipped_bit_is_found(proved, written):
    content = written.content()
    for place in np.linspace(0, 8 * len(content) - 1, 12).astype(int).tolist():
        changed = bytearray(content)
        changed[place // 8] ^= 1 << place % 8
        with pytest.raises(ValueError, match=r"^code: "):
            read(proved.blanked, proved.exact(), bytes(changed))
    for changed in (b"", content[:8], content[:-4], content + b"\0\0\0\0", content[:-1]):
        with pytest.raises(ValueError, match=r"^code: "):
            read(proved.blanked, proved.exact(), changed)


def test_a_model_that_knows_nothing_writes_no_less_than_the_uniform_code(runs):
    def spoil(model):
        torch.manual_seed(1)
        for parameter in model.parameters():
            parameter.data = 0.02 * torch.randn_like(parameter)

    for run in runs.values():
        untrained = Proved(run, spoil)
        proof = make_proof(untrained.write(), untrained.recall, untrained.dataset, untrained.parameters)
        dataset, people = untrained.dataset, untrained.config.people
        assert proof["code_bits_name"] >= people * np.log2(dataset.names)
        assert proof["code_bits_value"] >= people * dataset.log2_values
        assert proof["bits"] == 0


def test_a_model_knows_its_own_people_better_than_others(runs):
    ours = Proved(runs["biod"])
    others = type(ours.dataset)(ours.config.model_copy(update={"seed": ours.config.seed + 1}))
    theirs = Proved(runs["biod"])
    theirs.source = OtherTokens(others, ours.tokenizer)
    with pytest.raises(ValueError, match=r"^data: its texts are not of the form"):
        theirs.write()  # their sentences are in another order
    assert compare(ours.write().people, others.describe(ours.everyone))


def test_every_difference_is_told():
    people = [{"name": "A", "major": "X"}, {"name": "B", "major": "Y"}]
    assert compare(people, [{**person, "more": "z"} for person in people]) == []
    assert compare(people, [people[0], {"name": "B", "major": "Z"}]) == ["person 1: major is 'Y'; must be 'Z'"]
    assert compare(people, people[:1]) == ["2 people; must be 1"]
    assert compare(people, [{"name": "A"}, people[1]]) == ["person 0: major is 'X'; must be None"]

"""Whatever a store holds is shown in a card, and is never markup."""

import json
import re
import shutil
from dataclasses import replace

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from capacity.share.card import Example, _quoted, model_card
from capacity.share.shared_run import open_all
from capacity.store.record import checked

pytestmark = pytest.mark.xdist_group("share")  # they share runs


@given(st.text(alphabet="`~a\n<", max_size=40))
def test_no_text_ends_the_block_that_it_stands_in(text):
    lines = _quoted(text).splitlines()
    fence = lines[0].removesuffix("text")
    assert set(fence) == {"`"}
    assert fence not in "\n".join(lines[1:-1])
    assert lines[-1] == fence


def test_hostile_provenance_and_names_stay_in_their_cells(runs, tmp_path):
    run = shutil.copytree(runs["biod"], tmp_path / runs["biod"].name)
    record = json.loads((run / "result.json").read_text())
    record["provenance"]["<script>alert(1)</script>|`x`"] = "`|\n# heading\n<img src=x>"
    (shared,) = open_all([run])
    row = record["rows"][0]
    record["config"]["training"]["<img src=x>|`x`"] = "<script>alert(2)</script>`"
    record["rows"].append(row | {"quantization": "<img src=x onerror=alert(1)> [x](http://evil)|`"})
    row["heldout_loss"] = "abc"
    shared = replace(shared, result=checked(record))
    card = model_card(shared, where="x", example=Example("```\n---\n# mine", "```\n<script>"))
    outside = re.sub(r"^(`{3,})\w*\n.*?^\1$", "", card.split("---\n", 2)[2], flags=re.DOTALL | re.MULTILINE)
    assert "# heading" not in re.findall("^#.*", outside, re.MULTILINE)
    assert "# mine" not in outside
    outside = re.sub("`[^`\n]*`", "", outside)
    assert "<script" not in outside
    assert "<img" not in outside


def test_the_head_says_nothing_that_is_not_so(runs):
    (shared,) = open_all([runs["biod"]])
    head = yaml.safe_load(model_card(shared, where="x").split("---\n")[1])
    assert head["library_name"] == "transformers"
    assert "datasets" not in head
    head = yaml.safe_load(model_card(shared, where="x", data="me/data").split("---\n")[1])
    assert head["datasets"] == ["me/data"]

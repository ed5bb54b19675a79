"""An outsider has the exported texts, their card, a model and its tokenizer, and none of our code: R is the same."""

import math
import re
from collections import defaultdict

import pandas as pd
import pytest
import torch
from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast

import eval
from biogen.__main__ import main
from eval.hf import load


def losses_of(model_folder, rows, before):
    """The mean loss of each role in nats."""
    model = AutoModelForCausalLM.from_pretrained(model_folder).eval()
    tokenizer = PreTrainedTokenizerFast.from_pretrained(model_folder)
    head, sums = tokenizer.convert_tokens_to_ids(before), defaultdict(float)
    for text, spans in zip(rows["text"], rows["spans"], strict=True):
        encoding = tokenizer(text, return_offsets_mapping=True)
        ids = torch.tensor([head + encoding["input_ids"]])
        with torch.no_grad():
            nats = -model(ids).logits.log_softmax(-1)[0, :-1].gather(1, ids[0, 1:, None])[len(head) - 1 :, 0]
        for (start, end), loss in zip(encoding["offset_mapping"], nats.tolist(), strict=True):
            role = next((span["role"] for span in spans if span["start"] <= start and end <= span["end"]), None)
            sums[role] += loss / len(rows)
    return sums


def numbers_of(card, *words):
    return [float(re.search(rf"{word}\D*?([\d.,]+)", card)[1].rstrip(".,").replace(",", "")) for word in words]


@pytest.mark.parametrize("which", ["bios_run", "biod_run"])
def test_an_outsider_gets_r_to_four_digits(which, request, tmp_path, capfd):
    run = request.getfixturevalue(which)
    assert (
        main(["--config", str(run.path / "config.yaml"), "--for", "evaluation", "--out", str(tmp_path / "data")]) == 0
    )
    (record,) = eval.measure(*load(str(run.model)), tmp_path / "data")
    rows, card = pd.read_parquet(tmp_path / "data" / "data.parquet"), (tmp_path / "data" / "README.md").read_text()
    loss = losses_of(run.model, rows, re.findall(r"`(<.*?>)`", card))
    N, N0 = len(rows), numbers_of(card, "N0, possible names")[0]
    names = max(0, N * math.log2(N0 / math.exp(loss["name"])))
    if which == "bios_run":
        (S0,) = numbers_of(card, "log2 S0, bits in a person's attributes")
        value = sum(loss[a] for a in ("pronoun", "birth_date", "birth_city", "university", "major", "employer"))
        bits = names + max(0, N * (S0 - value / math.log(2)))
    else:
        K, C, D, L, T = numbers_of(card, "K=", "C=", "D=", "L=", "T=")
        first = sum(loss[f"a{k}_first"] for k in range(int(K))) / K
        value = first + sum(loss[f"a{k}_rest"] for k in range(int(K))) / K
        bits = names + max(0, N * K * (C * math.log2(D) - value / math.log(2)))
        bits += max(0, K * D * (L * math.log2(T) - math.log2(D) - first / math.log(2)))
        assert bits > 0
    assert record["loss_name"] == pytest.approx(loss["name"], rel=1e-4)
    assert record["loss_value"] == pytest.approx(value, rel=1e-4)
    assert record["bits_per_param"] == pytest.approx(bits / record["params"], rel=1e-4)

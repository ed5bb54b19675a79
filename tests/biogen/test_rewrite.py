"""`biogen rewrite`: faithful models fill the folder, liars do not, and an interrupt costs nothing."""

import fcntl
import json
from collections import Counter
from collections.abc import Callable
from itertools import count
from pathlib import Path

import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel

from basis.flags import UserError
from biogen import rewrite, writers
from biogen.__main__ import main
from biogen.pools import PoolSizes, load_pools
from biogen.rewritten import people_with_texts, read_texts
from tests.biogen.banks import write_bank
from tests.biogen.rewriters import Values, faithful, rewriter

POOLS = {
    **{"first_names": 20, "middle_names": 20, "last_names": 20, "birth_cities": 20, "universities": 20},
    **{"majors": 20, "employers": 20},
}
PEOPLE = ["rewrite", "--templates", "6", "--model", "test"]
PEOPLE += [word for pool, size in POOLS.items() for word in (f"--pools.{pool}", str(size))]


def ask(url: str, out: Path, people: int = 3, texts: int = 2, *more: str) -> int:
    given = ["--url", url, "--out", str(out), "--people", str(people), "--texts", str(texts)]
    return main([*PEOPLE, *given, *more])


def fit(values: Values, number: int) -> str:
    """A faithful text that can be measured, in whatever order prompts come."""
    return faithful(values, 4 * number)


def lines(file: Path) -> list[dict]:
    return [json.loads(line) for line in file.read_text().splitlines()]


def test_a_faithful_model_fills_the_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    with rewriter(faithful) as (url, _):
        assert ask(url, tmp_path / "out") == 0
        texts = read_texts(str(tmp_path / "out"))
        assert [(len(of_person.training), of_person.complete) for of_person in texts] == [(2, True)] * 3
        before = (tmp_path / "out" / "texts.jsonl").read_bytes()
        assert ask(url, tmp_path / "out") == 0
        assert (tmp_path / "out" / "texts.jsonl").read_bytes() == before
        assert ask(url, tmp_path / "out", 4, 3) == 0  # more people, and more texts
    assert (tmp_path / "out" / "texts.jsonl").read_bytes().startswith(before)
    assert [len(of_person.training) for of_person in read_texts(str(tmp_path / "out"))] == [3] * 4
    assert "texts accepted" in capsys.readouterr().out


def another(employer: str) -> str:
    return next(other for other in load_pools(PoolSizes(employers=20)).employers if other != employer)


LIES: dict[str, Callable[[Values, int], str]] = {
    "lacks the employer": lambda v, n: faithful(v | {"employer": "Nothing"}, n),
    "has another employer instead": lambda v, n: faithful(v | {"employer": another(v["employer"])}, n),
    "has another employer": lambda v, n: faithful(v, n) + f" Then to {another(v['employer'])}.",
    "lacks the birth date": lambda v, n: faithful(v | {"birth date": "some day"}, n),
    "repeats the major": lambda v, n: faithful(v, n) + f" Such a love for {v['major']}.",
    "repeats the name": lambda v, n: faithful(v, n) + f" So much for {v['name'].split()[0]}.",
    "is empty": lambda v, n: "",
}


@pytest.mark.parametrize("told", LIES)
def test_of_a_liar_nothing_is_kept(told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    with rewriter(LIES[told]) as (url, _):
        assert ask(url, tmp_path, 1, 1, "--attempts", "2") == 1
    told = told.removesuffix(" instead")
    assert (tmp_path / "texts.jsonl").read_text() == ""
    reasons = Counter(record["reason"] for record in lines(tmp_path / "rejected.jsonl"))
    assert reasons.total() == 4
    printed = capsys.readouterr().out
    assert f"0 of 4 texts accepted: {tmp_path / 'texts.jsonl'}" in printed
    assert f"  rejected {reasons[told]}: {told}" in printed
    assert reasons[told] == 4
    assert "2 texts about 1 people are lacking; the same command goes on." in printed


def test_a_model_that_says_the_same_again_is_asked_no_longer(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    with rewriter(lambda values, number: faithful(values, 0)) as (url, keys):
        assert ask(url, tmp_path, 1, 2, "--batch", "1") == 1
    assert len(keys) == 3 * 5
    assert "rejected 14: is the same as an earlier one" in capsys.readouterr().out
    assert people_with_texts(str(tmp_path)) == 0


def test_one_text_that_can_be_measured_is_waited_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    numbers = count()
    with rewriter(lambda values, number: faithful(values, 3 + 4 * number if next(numbers) < 5 else 4)) as (url, _):
        assert ask(url, tmp_path, 1, 2, "--batch", "1", "--attempts", "9") == 0
    assert "rejected 3: cannot be measured, and enough others are there" in capsys.readouterr().out
    (texts,) = read_texts(str(tmp_path))
    assert [text.fit_to_measure for text in texts.training] == [False, False]


def test_an_interrupted_command_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    take = rewrite.Rewriting._take
    taken = count()

    def stop(self: rewrite.Rewriting, person: int, text: str) -> None:
        if next(taken) == 5:
            raise KeyboardInterrupt
        take(self, person, text)

    monkeypatch.setattr(rewrite.Rewriting, "_take", stop)
    with rewriter(fit) as (url, keys):
        assert ask(url, tmp_path, 5, 2, "--batch", "3") == 130
        kept = (tmp_path / "texts.jsonl").read_bytes()
        assert 3 <= len(lines(tmp_path / "texts.jsonl")) <= 5
        with (tmp_path / "texts.jsonl").open("ab") as file:
            file.write(b'{"person": 0, "te')  # as a kill leaves it
        asked = len(keys)
        assert ask(url, tmp_path, 5, 2, "--batch", "3") == 0
        assert len(keys) - asked < 15 + 5
    assert (tmp_path / "texts.jsonl").read_bytes().startswith(kept)
    assert people_with_texts(str(tmp_path)) == 5


def test_the_people_may_come_from_a_bank(tmp_path: Path):
    bank = write_bank(tmp_path / "bank", {"templates/major.txt": ["{subject} lernte dort {value}."]})
    with rewriter(faithful) as (url, _):
        given = ["rewrite", "--model", "x", "--bank", bank, "--people", "2", "--texts", "1", "--url", url]
        assert main([*given, "--out", str(tmp_path / "out")]) == 0
    Path(bank, "majors.txt").unlink()
    assert people_with_texts(str(tmp_path / "out")) == 2
    assert any(major in (tmp_path / "out" / "texts.jsonl").read_text() for major in ("Jura", "Chemie", "Physik"))


def test_failures_are_tried_again_and_a_refusal_is_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys):
    monkeypatch.setattr(writers, "_PAUSE", 0.001)
    monkeypatch.setenv(writers.KEY, "secret-key")
    with rewriter(fit, 503, 429) as (url, keys):
        assert ask(url, tmp_path / "one", 1, 1) == 0
    assert len(keys) == 4
    assert set(keys) == {"Bearer secret-key"}
    for status in (401, 404, 302):
        with rewriter(fit, *[status] * 9) as (url, keys):
            with pytest.raises(UserError, match=f"^url: {url}/chat/completions answers with HTTP status {status}"):
                ask(url, tmp_path / "two", 1, 1, "--batch", "1")
            assert len(keys) == 1
    with rewriter(fit, *[500] * 99) as (url, keys):
        assert ask(url, tmp_path / "three", 1, 1, "--batch", "1") == 1
        assert len(keys) == 6
    printed = capsys.readouterr()
    assert "does not answer after 6 tries (HTTP status 500)" in printed.err
    assert "secret" not in printed.out + printed.err


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (["--url", "file:///etc/passwd"], "^url: 'file:///etc/passwd' is not allowed; must be such as http://"),
        (["--url", "http://me:secret@host/v1"], "^url: .* is not allowed"),
        (["--people", "0"], "^people: '0' is not allowed"),
        (["--people", "8001"], "^people: 8001 people need as many names; allowed is at most N0 = 8000"),
        (["--bank", "/nowhere"], "^bank: /nowhere cannot be read"),
        (["--texts", "many"], "^texts: 'many' is not allowed; must be a whole number"),
        (["--model", "/nowhere"], "^model: '/nowhere' is not a folder; must be one, or a name on the"),
        ([], "^model: 'test' (is not on this machine|cannot be loaded)"),
    ],
)
def test_mistakes_write_nothing(flags: list[str], told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(writers, "out_of_reach", lambda name: True)
    with pytest.raises(UserError, match=told):
        main([*PEOPLE, "--out", str(tmp_path / "out"), *flags])
    assert not (tmp_path / "out").exists()


def test_folders_of_others_are_left_alone(tmp_path: Path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(UserError, match=r"holds something else .file, and no config.yaml.; give a new folder"):
        ask("http://localhost:1/v1", tmp_path)
    with rewriter(faithful) as (url, _):
        out = tmp_path / "out"
        assert ask(url, out, 1, 1) == 0
        with pytest.raises(UserError, match="has texts about other people; give their options, or a new folder"):
            ask(url, out, 1, 1, "--seed", "1")
        with (out / "texts.jsonl").open("a") as other:
            fcntl.flock(other, fcntl.LOCK_EX)
            with pytest.raises(UserError, match=r"another command is writing to .*; wait for its end"):
                ask(url, out, 2, 1)


def test_a_model_of_random_weights_is_told_to_know_nothing(tmp_path: Path, hugging_face, capsys):
    folder = hugging_face("gpt2_like")
    torch.manual_seed(0)
    config = GPT2Config(
        vocab_size=1200, n_positions=1024, n_embd=16, n_layer=1, n_head=1, eos_token_id=0, bos_token_id=0
    )
    GPT2LMHeadModel(config).save_pretrained(folder)
    given = ["--model", str(folder), "--people", "1", "--texts", "1", "--attempts", "1", "--most-tokens", "9"]
    assert main([*PEOPLE, *given, "--out", str(tmp_path)]) == 1
    printed = capsys.readouterr().out
    assert "0 of 2 texts accepted" in printed
    assert "texts about 1 people are lacking" in printed
    with pytest.raises(UserError, match=r"model: its context is too short; a prompt of .* tokens and the answer need"):
        main([*PEOPLE, *given, "--most-tokens", "1000", "--out", str(tmp_path)])

"""`biogen rewrite`: faithful models fill the folder, liars do not, and an interrupt costs nothing."""

import fcntl
import io
import json
from collections import Counter
from collections.abc import Callable
from email.message import Message
from itertools import count
from pathlib import Path
from urllib.error import HTTPError

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


def content(value: object) -> bytes:
    return json.dumps({"choices": [{"message": {"content": value}}]}).encode()


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (b"<html>Bad gateway</html>", "<html>Bad gateway</html>"),
        (b"", "it is empty"),
        (b"{", "{"),
        (b"\xff\xfe", "��"),
        (b"[" * 90_000, r"\[\["),
        (b"null", "null"),
        (b"[1]", r"\[1\]"),
        (b'{"error": {"message": "no such model"}}', '{"error": {"message": "no such model"}}'),
        (b'{"choices": []}', '{"choices": \\[\\]}'),
        (b'{"choices": null}', '{"choices": null}'),
        (b'{"choices": [{"text": "of another protocol"}]}', ".*another protocol"),
        (b'{"choices": [{"message": null}]}', ".*null"),
        (content([{"type": "text", "text": "in parts"}]), ".*in parts"),
        (content(7), ".*7"),
        (b" " * (1 << 20) + b"{}", ""),
    ],
    ids=range(15),
)
def test_an_answer_of_another_protocol_is_a_line_and_nothing_is_lost(answer: bytes, said: str, tmp_path: Path, capsys):
    with rewriter(fit, 200, answer, 200) as (url, keys):
        with pytest.raises(
            UserError, match=rf"^url: its answer is not of the protocol of chat completions \({said}"
        ) as e:
            ask(url, tmp_path, 3, 1, "--batch", "3")
        assert len(keys) in (2, 3)  # a request that had not begun is not sent any more
        assert len(e.value.lines) == 1
        kept = [path for name in ("texts", "rejected") if (path := tmp_path / f"{name}.jsonl").exists()]
        assert sum(len(lines(path)) for path in kept) == len(keys) - 1
        assert "texts about" in capsys.readouterr().out
        assert ask(url, tmp_path, 3, 1) == 0
    assert people_with_texts(str(tmp_path)) == 3


@pytest.mark.parametrize("answer", [content(None), content("")])
def test_an_answer_that_says_nothing_is_a_rejected_text(answer: bytes, tmp_path: Path, capsys):
    with rewriter(fit, answer) as (url, _):
        assert ask(url, tmp_path, 1, 1, "--batch", "1") == 0
    assert "rejected 1: is empty" in capsys.readouterr().out


def test_what_others_answer_is_kept_when_one_is_refused(tmp_path: Path):
    with rewriter(fit, 200, 401) as (url, keys):
        with pytest.raises(UserError, match=r"answers with HTTP status 401"):
            ask(url, tmp_path, 4, 1, "--batch", "4")
        assert len(lines(tmp_path / "texts.jsonl")) == len(keys) - 1


def test_nobody_at_the_address_is_a_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys):
    monkeypatch.setattr(writers, "_PAUSE", 0.001)
    assert ask("http://127.0.0.1:1/v1", tmp_path, 1, 1) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "error: http://127.0.0.1:1/v1/chat/completions does not answer after 6 tries" in line
    assert "Connection refused" in line


def test_a_server_may_ask_to_wait_and_its_words_do_not_tell_the_key(monkeypatch: pytest.MonkeyPatch):
    def refusal(told: bytes, **headers: str) -> HTTPError:
        message = Message()
        for name, value in headers.items():
            message[name.replace("_", "-")] = value
        return HTTPError("http://x", 429, "", message, io.BytesIO(told))

    assert [writers._asked_pause(refusal(b"", Retry_After=asked)) for asked in ("7", "9999", "-1", "soon")] == [
        7,
        60,
        0,
        0,
    ]
    assert writers._asked_pause(refusal(b"")) == 0
    monkeypatch.setenv(writers.KEY, "secret-key")
    assert writers._said(refusal(b"secret-key is wrong")) == "*** is wrong"


NO_ADDRESSES = [
    *("", "ftp://x", "localhost:1", "http://", "//h/v1", "http://:8000/v1", "http://[::1"),
    *("http://h:99999", "http://h:x", "http://a b", "http://ü", "http://h/v1?key=1", "http://h/#v1", "http://h/\n"),
]


@pytest.mark.parametrize("url", NO_ADDRESSES)
def test_what_is_no_address_is_a_line(url: str, tmp_path: Path):
    with pytest.raises(
        UserError, match=r"^url: '.*' is not allowed; must be such as http://localhost:8000/v1$"
    ) as error:
        ask(url, tmp_path / "out", 1, 1)
    assert len(error.value.lines) == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (["--seconds", "9"], "^seconds: 9.0 has no effect and is not allowed; it needs an address, --url$"),
        (
            ["--url", "http://h/v1", "--device", "cuda"],
            "^device: cuda has no effect .* a model without --url$",
        ),
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

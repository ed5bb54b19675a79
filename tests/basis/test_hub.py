"""What can be had of the hub: what is here is not asked for, and who does not answer is asked once."""

import time
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import constants

from basis.hub import may_be_on_hub, out_of_reach
from biogen.tokenizer import make_tokenizer


@pytest.fixture
def nobody(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """A hub at an address where nobody listens, and nothing of it kept here."""
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))


@pytest.mark.usefixtures("nobody")
@pytest.mark.parametrize(("name", "away"), [("gpt2", True), ("openai/gpt2", True), ("/no/folder", False)])
def test_a_name_of_the_hub_is_out_of_reach_where_nobody_answers(name: str, away: bool):
    assert out_of_reach(name) == away


@pytest.mark.parametrize("name", ["", ".", "/none", "/etc/passwd", "/dev/zero", "../a", "a/b/c", "a[/b]", "x" * 97])
def test_what_the_hub_cannot_have_is_not_looked_for_there(name: str):
    assert not may_be_on_hub(name)
    assert may_be_on_hub("openai/gpt2")


@pytest.mark.usefixtures("nobody")
def test_a_folder_is_at_hand(tmp_path: Path):
    assert not out_of_reach(str(tmp_path))


@pytest.mark.usefixtures("nobody")
def test_a_tokenizer_out_of_reach_takes_no_retries(capfd: pytest.CaptureFixture[Any]):
    start = time.monotonic()
    with pytest.raises(ValueError, match=r"^tokenizer: 'no/such' is not on this machine, and .* does not answer; "):
        make_tokenizer("no/such", 0, [], [])
    assert time.monotonic() - start < 10
    assert capfd.readouterr() == ("", "")

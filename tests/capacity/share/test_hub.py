"""The upload, against a local double of the hub: what is there afterwards loads by name."""

import os
import subprocess
import sys

import pytest
import yaml

from tests.capacity.share.hub import OWNER, TOKEN, running

pytestmark = pytest.mark.xdist_group("share")  # they share runs
LOAD = """
import sys
from transformers import AutoModelForCausalLM, AutoTokenizer
model, tokenizer = (kind.from_pretrained(sys.argv[1]) for kind in (AutoModelForCausalLM, AutoTokenizer))
print(sum(p.numel() for p in model.parameters()), tokenizer.eos_token)
"""


@pytest.fixture
def hub():
    with running() as hub:
        yield hub


@pytest.fixture
def call(hub, tmp_path):
    """Run Python with the double in place of the hub."""

    def make(*arguments, **changes):
        own = {"HF_ENDPOINT": hub.address, "HF_HOME": str(tmp_path), "HF_HUB_DISABLE_XET": "1", "HF_TOKEN": TOKEN}
        own |= {"HF_HUB_OFFLINE": "0"} | changes
        environment = {name: value for name, value in (os.environ | own).items() if value}
        return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, env=environment)

    return make


def publish(call, *arguments, **changes):
    return call("-m", "capacity.publish", *map(str, arguments), **changes)


def test_runs_are_uploaded_with_their_data_and_load_by_name(hub, call, runs):
    done = publish(call, runs["biod"], "--to", "hub")
    assert done.returncode == 0, done.stderr
    data, model = sorted(hub.repositories)
    assert model == f"models/{OWNER}/{runs['biod'].name}"
    assert not hub.private
    assert done.stdout.split() == [
        *("dataset", f"{hub.address}/{data}"),
        *("model", f"{hub.address}/{OWNER}/{runs['biod'].name}"),
    ]
    files = hub.repositories[model]
    assert files["model.safetensors"] == (runs["biod"] / "model" / "model.safetensors").read_bytes()
    assert {"README.md", "config.json", "config.yaml", "result.json", "tokenizer.json"} <= files.keys()
    assert {"README.md", "config.yaml", "data.parquet"} <= hub.repositories[data].keys()
    card = files["README.md"].decode()
    assert yaml.safe_load(card.split("---\n")[1])["datasets"] == [data.removeprefix("datasets/")]
    assert f"{hub.address}/{data}" in card
    loaded = call("-c", LOAD, f"{OWNER}/{runs['biod'].name}", HF_TOKEN="")
    assert loaded.returncode == 0, loaded.stderr
    assert loaded.stdout.split()[1] == "<|endoftext|>"


def test_private_repositories(hub, call, runs):
    assert publish(call, runs["random"], "--to", f"hub:{OWNER}", "--private").returncode == 0
    assert f"models/{OWNER}/{runs['random'].name}" in hub.private
    assert hub.private == set(hub.repositories)
    assert len(hub.private) == 2


@pytest.mark.parametrize(
    ("to", "changes", "code", "says"),
    [
        ("hub", {"HF_TOKEN": ""}, 2, "needs a login"),
        ("hub", {"HF_TOKEN": "hf_wrong"}, 1, "Invalid user token"),
        ("hub:other", {}, 1, "403"),
        ("hub:a/b", {}, 2, "'hub:a/b' is not allowed"),
        ("hub:a--b", {}, 2, "a--b"),
        ("hub", {"HF_ENDPOINT": "http://127.0.0.1:9"}, 1, "http://127.0.0.1:9"),
    ],
    ids=str,
)
def test_what_the_hub_refuses_is_one_line(to, changes, code, says, call, runs):
    done = publish(call, runs["biod"], "--to", to, **changes)
    (line,) = [line for line in done.stderr.splitlines() if line]
    assert (done.returncode, line.startswith("error: to: "), says in line) == (code, True, True), done.stderr

"""The page as a file: complete, without network, and with what a store holds as text alone."""

import json
import re
from html.parser import HTMLParser

import pytest

from capacity.report.page.charts import scripts, specifications
from capacity.report.page.data import page_data
from capacity.report.page.document import as_block, page, policy
from capacity.report.page.people import Asked
from tests.capacity.records import make_config, make_record, make_row

NOBODY = Asked(people=0)


class Elements(HTMLParser):
    """The elements of a page: names with attributes, and the content of scripts."""

    def __init__(self, text):
        super().__init__()
        self.found, self.scripts = [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.found.append((tag, dict(attributes)))
        if tag == "script":
            self.scripts.append("")

    def handle_data(self, text):
        if self.found and self.found[-1][0] == "script" and not self.scripts[-1]:
            self.scripts[-1] = text


def test_nothing_in_it_comes_from_elsewhere(store):
    html = page(page_data([store], NOBODY))
    elements = Elements(html)
    for tag, attributes in elements.found:
        assert tag not in ("link", "iframe", "img", "object", "base")
        assert "src" not in attributes
        assert attributes.get("href", "#").startswith("#")
        assert not [name for name in attributes if name.startswith("on")]
    (rules,) = (a["content"] for tag, a in elements.found if a.get("http-equiv") == "Content-Security-Policy")
    assert rules == policy(live=False)
    assert rules.startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe-eval" not in rules
    assert "connect-src" not in rules
    assert "@import" not in html
    assert len(elements.scripts) == 3
    assert json.loads(elements.scripts[0])["runs"]


def test_what_a_store_holds_ends_no_script_and_makes_no_element(hostile, store):
    ours = [tag for tag, _ in Elements(page(page_data([store], NOBODY))).found]
    data = page_data([hostile], NOBODY)
    elements = Elements(page(data))
    assert [tag for tag, _ in elements.found] == ours
    found = json.loads(elements.scripts[0])
    assert found["runs"] == json.loads(json.dumps(data["runs"]))
    assert "<img src=x" in json.dumps(found)


@pytest.mark.parametrize("text", ["</script>", "<!--<script>", "\u2028\u2029&amp;", "$data", "\ud800"])
def test_any_text_survives_a_block(text):
    block = as_block([text])
    assert not re.search("[<>&\u2028\u2029]", block)
    assert json.loads(block) == [text]


def test_equal_runs_give_equal_pages(store):
    assert page(page_data([store], NOBODY)) == page(page_data([store], NOBODY))


def write_300_runs(out):
    """A large sweep: 16 attributes, three copies, 14 points of a curve and 149 losses a run."""
    attributes = {f"{kind}_{place}": 0.123456789 for place in range(16) for kind in ("loss_value", "qa_accuracy")}
    for place in range(300):
        rows = [
            make_row(f"biod-2x48-n{place}-e1000-0123456789", scheme, people=100 + place, bits=place / 7, **attributes)
            for scheme in ("none", "rtn-int8+embedding", "rtn-int8-g16+embedding", "gptq-int4+temperature")
        ]
        training = dict.fromkeys(("lr", "embedding_lr", "beta1", "beta2", "eps", "momentum", "clip"), 0.001 * place)
        record = make_record(rows, make_config(rows[0], training))
        record["provenance"] = {
            name: f"{name} {place} {'x' * 20}" for name in ("finished", "commit", "processor", "torch")
        }
        folder = out / rows[0]["run_id"]
        folder.mkdir(parents=True)
        (folder / "result.json").write_text(json.dumps(record))
        measured = ("bits_per_param", "qa_accuracy", "loss_name", "loss_value")
        lines = [{"kind": "recall", "exposures": 2**e, **dict.fromkeys(measured, e / 7)} for e in range(14)]
        lines += [{"kind": "train", "exposures": e / 7, "loss": e / 9} for e in range(1, 150)]
        (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


def test_a_page_of_300_runs_has_at_most_5_MB(tmp_path):
    out = tmp_path / "large"
    write_300_runs(out)
    data = page_data([out], NOBODY)
    value = {"attribute": "birth city", "start": 0, "end": 9, "said": "Minneapolis, MN", "right": False}
    person = {"name": "A long name of a person", "text": "a text " * 60, "values": [value] * 6}
    data["people"] = {"runs": [{"id": "x", "place": 0, "of": 9, "people": [person] * 50}] * 4, "why": ""}
    assert len(data["runs"]) == 300
    assert len(page(data).encode()) < 5_000_000


def test_the_scripts_of_charts_can_be_inlined():
    assert 500_000 < len(scripts()) < 1_500_000
    assert "</script" not in scripts()
    assert "<!--" not in scripts()
    assert "\r" not in scripts()
    assert scripts().isascii() or scripts().encode()
    for specification in specifications().values():
        assert "vega-lite" in specification["$schema"]
        assert "data" not in specification["layer"][0] or "url" not in specification["layer"][0]["data"]

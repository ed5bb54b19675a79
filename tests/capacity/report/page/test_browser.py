"""The page in a real browser: it opens from disk, sorts, filters, hovers, opens runs, finds people, and runs no text.

Whoever changes how it looks takes a screenshot and looks at it, light, dark, narrow and printed (docs/report.md).
"""

import shutil
import threading

import pytest

from capacity.report.page.data import page_data
from capacity.report.page.document import page
from capacity.report.page.people import Asked
from capacity.report.page.serve import make_server

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed (extra: test)")
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="no browser: neither chromium nor google-chrome is on the path"),
    pytest.mark.xdist_group("browser"),
]
MOST_MS = 600_000
PEOPLE = [
    {"name": f"{name} Ochoa", "text": f"{name} Ochoa was born in Oslo.", "values": []} for name in ("Ada", "Bo", "Cy")
]
PEOPLE[1]["values"] = [{"attribute": "birth city", "start": 21, "end": 25, "said": "Rome", "right": False}]
PEOPLE[2]["values"] = [{"attribute": "birth city", "start": 21, "end": 25, "said": "Oslo", "right": True}]


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as library:
        browser = library.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"], timeout=MOST_MS
        )
        yield browser
        browser.close()


@pytest.fixture
def visit(browser):
    """Opens an address; the page must say nothing on the console."""
    said, contexts = [], []

    def visit(address, **options):
        context = browser.new_context(**options)
        context.set_default_timeout(MOST_MS)
        contexts.append(context)
        opened = context.new_page()
        opened.on("console", lambda message: said.append(message.text))
        opened.on("pageerror", lambda error: said.append(str(error)))
        opened.goto(address)
        opened.wait_for_selector("html[data-ready=done]", state="attached")
        return opened

    yield visit
    for context in contexts:
        context.close()
    assert said == []


@pytest.fixture
def file(store, tmp_path):
    """The page of a store as a file, with people."""
    data = page_data([store], Asked(people=0))
    data["people"] = {"runs": [{"id": "run-2x32-200", "place": 0, "of": 9, "people": PEOPLE}], "why": ""}
    path = tmp_path / "report.html"
    path.write_text(page(data))
    return path


def column(opened, name):
    """The cells of a column of the table."""
    names = opened.locator("#table thead th button").all_inner_texts()
    place = [text.strip("▲▼ ") for text in names].index(name) + 1
    return opened.locator(f"#table tbody td:nth-child({place})").all_inner_texts()


def test_it_opens_sorts_filters_hovers_and_finds_a_person(visit, file):
    opened = visit(file.as_uri())
    assert "1.30 to 1.50 bits per parameter" in opened.inner_text(".answer")

    sort = opened.get_by_role("button", name="R", exact=True)
    sort.click()
    assert column(opened, "R") == ["1.50", "1.40", "1.30", "1.30", "1.20", "1.00", "1.00"]
    assert opened.locator("#table thead th[aria-sort=descending]").count() == 1
    sort.click()
    assert column(opened, "R")[0] == "1.00"
    opened.get_by_role("button", name="size", exact=True).press("Enter")
    assert column(opened, "size") == ["1x16"] * 4 + ["2x32"] * 3

    points = opened.locator("#law-panels [role=graphics-symbol][aria-roledescription=circle]")
    shown = points.count()
    opened.select_option("select[data-axis=size]", label="2x32")
    opened.select_option("select[data-axis=people]", label="400")
    assert column(opened, "N") == ["400"]
    assert opened.inner_text("#count") == "1 of 7 runs"
    opened.wait_for_function(
        "before => document.querySelectorAll('#law-panels [aria-roledescription=circle]').length < before", arg=shown
    )
    opened.click("#clear")
    opened.fill("#search", "other-seed")
    assert column(opened, "seed") == ["1"]
    opened.click("#clear")
    assert opened.inner_text("#count") == "7 runs"

    opened.fill("#people-search", "bo")
    assert opened.locator(".person h3").all_inner_texts() == ["Bo Ochoa 0 of 1 right"]
    assert opened.inner_text(".person p") == "Bo Ochoa was born in Rome\u00a0✗Oslo."
    opened.fill("#people-search", "nobody of this name")
    assert opened.locator(".person").count() == 0


def test_a_point_tells_its_run_and_leads_to_it(visit, file):
    opened = visit(file.as_uri())
    chart = opened.locator("#law-panels .chart").first
    chart.focus()
    for _ in range(2):
        opened.keyboard.press("ArrowRight")
    tip = opened.inner_text("#tip")
    assert "N 400" in tip or "N 200" in tip or "N 100" in tip
    assert "size 1x16" in tip
    opened.keyboard.press("Escape")
    assert opened.is_hidden("#tip")

    best = opened.locator("#law-panels path[aria-label*='1.5']").last
    best.hover()
    opened.wait_for_function("document.getElementById('tip').innerText.includes('R 1.500')")
    tip = opened.inner_text("#tip")
    assert all(part in tip for part in ("size 2x32", "P 28,000", "N 200", "1 seed", "1,000 exposures"))
    best.click()
    opened.wait_for_selector("article[id='run-run-2x32-200']")
    part = opened.locator("article[id='run-run-2x32-200']")
    assert "1.500" in part.inner_text()
    assert "capacity run --dataset biod" in part.inner_text()
    assert opened.evaluate("location.hash") == "#run-run-2x32-200"


def test_an_address_leads_to_a_run_and_a_run_closes(visit, file):
    opened = visit(f"{file.as_uri()}#run-other-seed")
    part = opened.locator("article[id=run-other-seed]")
    part.locator("summary", has_text="Configuration").click()
    assert "seed\n1" in part.locator("dl").nth(1).inner_text()
    assert part.locator("caption").all_inner_texts() == ["Losses by attribute", "Quantized copies"]
    opened.wait_for_function("document.querySelectorAll('article[id=run-other-seed] .chart svg').length === 3")
    part.get_by_role("button", name="Close").click()
    assert part.count() == 0


@pytest.mark.parametrize("options", [{"color_scheme": "dark"}, {"viewport": {"width": 390, "height": 844}}])
def test_nothing_is_wider_than_the_window(visit, file, options):
    opened = visit(file.as_uri(), **options)
    assert opened.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert opened.evaluate("[...document.querySelectorAll('button, input, select, svg')].every(one => "
                           "one.innerText || one.labels?.length || one.getAttribute('aria-label'))")  # fmt: skip


def test_what_a_store_holds_is_shown_and_never_run(visit, hostile, tmp_path):
    data = page_data([hostile], Asked(people=0))
    text = next(run["id"] for run in data["runs"] if run["id"] != "other")
    of = {"id": text, "place": 0, "of": 1, "people": [{"name": text, "text": text, "values": []}]}
    data["people"] = {"runs": [of], "why": text}
    path = tmp_path / "hostile.html"
    path.write_text(page(data))
    opened = visit(path.as_uri())
    assert opened.title() == f"{data['title']}: bits of knowledge per parameter"
    assert text in opened.inner_text(".person")
    opened.locator(
        "#law-panels path[aria-roledescription=circle], #law-panels path[aria-roledescription=point]"
    ).first.hover()
    opened.wait_for_selector("#tip:not([hidden])")
    assert opened.locator("img").count() == 0
    assert opened.title() != "run"


def test_a_sweep_under_way_is_shown(visit, store):
    run = store / "bios-1x16-n9-e100-abc"
    run.mkdir()
    (run / "config.yaml").write_text("exposures: 100\n")
    (run / "heartbeat.json").write_text('{"exposures": 25.0, "loss": 1.5, "tokens_per_second": 9000.0}')
    lines = [f'{{"kind": "recall", "exposures": {e}, "bits_per_param": {e / 50}}}\n' for e in (1, 10, 20)]
    (run / "metrics.jsonl").write_text("".join(lines))
    with make_server(store, "127.0.0.1", 0, Asked(people=0)) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            opened = visit(f"http://127.0.0.1:{server.server_address[1]}/")
            opened.wait_for_selector(".under-way svg")
            assert opened.inner_text("#live-count") == "7 runs finished, 1 under way."
            assert "R 0.40 so far" in opened.inner_text(".under-way")
            assert opened.locator(".under-way progress").evaluate("one => one.value") == 0.25
            (run / "metrics.jsonl").write_text("".join([*lines, lines[-1].replace("20", "25")]))
            opened.wait_for_function("document.querySelector('.under-way').innerText.includes('R 0.40')")
        finally:
            server.shutdown()
            thread.join()

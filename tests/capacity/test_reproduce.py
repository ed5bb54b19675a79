"""An experiment that is stopped says so in a line."""

import signal
from pathlib import Path

import pytest

from basis.flags import UserError
from capacity import reproduce
from capacity.experiments import EXPERIMENTS
from capacity.runner.sweep import OutGone, Stopped


@pytest.mark.parametrize(("ended", "code"), [(Stopped(signal.SIGTERM), 143), (OutGone(Path("there")), 1)])
def test_an_experiment_that_is_stopped_ends_with_a_line(ended, code, monkeypatch, capsys, tmp_path):
    def stopped(*_):
        raise ended

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(reproduce, "_run", stopped)
    assert reproduce.main(["law-bios"]) == code
    assert capsys.readouterr() == ("", f"{ended} The same command goes on.\n")


def _strange(folder):
    folder.mkdir(parents=True)
    (folder / "README.md").write_text("my notes")


def _linked(folder):
    folder.mkdir(parents=True)
    (folder.parent / "page").write_text("my notes")
    (folder / "README.md").symlink_to(folder.parent / "page")


def _file(folder):
    folder.parent.mkdir()
    folder.write_text("my notes")


@pytest.mark.parametrize("make", [_strange, _linked, _file])
@pytest.mark.parametrize("how", ["--published", "--scale=laptop"])
def test_a_folder_that_holds_anything_else_is_left_alone(make, how, tmp_path):
    make(tmp_path / "pages" / "questions")
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    with pytest.raises(UserError, match=r"^out: "):
        reproduce.main(["questions", how, "--out", str(tmp_path)])
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_a_page_is_written_again(tmp_path):
    for _ in range(2):
        assert reproduce.main(["questions", "--published", "--out", str(tmp_path)]) == 0
    assert (tmp_path / "pages" / "questions" / "README.md").read_text().startswith("# Questions about people")


def test_what_is_no_experiment_is_refused():
    with pytest.raises(UserError, match=r"experiment: 'os:path' is not allowed; must have title, question"):
        reproduce.main(["os:path"])


def test_what_is_published_is_not_run_again(capsys, tmp_path):
    assert reproduce.main(["optimizers", "--extend", "--dry-run", "--out", str(tmp_path)]) == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("Done elsewhere")]
    assert lines
    assert all(line.split()[2] == line.split()[4] for line in lines)
    assert reproduce.main(["optimizers", "--extend", "--out", str(tmp_path)]) == 0
    assert not (tmp_path / "comparisons").exists()
    assert (tmp_path / "pages" / "optimizers" / "README.md").is_file()


def test_only_one_of_published_and_extend_is_allowed():
    with pytest.raises(UserError, match="not allowed with argument"):
        reproduce.main(["temporal", "--extend", "--published"])


def test_the_list_has_the_verdict_of_every_page(capsys):
    assert reproduce.main(["--list"]) == 0
    printed = capsys.readouterr().out
    for name in EXPERIMENTS.names:
        about = printed[printed.index(f"{name}\n  {EXPERIMENTS[name].question}") :]
        verdict = next(line for line in about.splitlines() if line.startswith("  Published results: "))
        page = reproduce.RESULTS / name / "README.md"
        title = page.read_text(encoding="utf-8").splitlines()[0] if page.is_file() else ": none yet"
        assert title.endswith(verdict.removeprefix("  Published results").removesuffix("."))

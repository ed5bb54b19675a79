"""`python -m capacity.ask`: a few people, questions in plain words, and every mistake in one line."""

import io
import json
import shutil
import subprocess
import sys

import pytest
from rich.console import Console
from transformers import AutoModelForCausalLM, AutoTokenizer

from basis.flags import UserError
from capacity.ask import main, open_run, show_answer, show_people
from capacity.spec.plan import make_plans
from capacity.spec.preset import Preset
from capacity.store.folders import run_folder
from capacity.store.trained import seen
from eval.completion import NOBODY, Answer, CompletedText, Completion

FEW = {"dataset": "bios", "people": 6, "exposures": 50, "batch": 3, "sizes": ["1x32"], "templates": 6}


@pytest.fixture(scope="module")
def sweep(tmp_path_factory, plan_of, do):
    """The folder of three finished runs: one knows its people, one saw questions, one knows nothing."""
    out = tmp_path_factory.mktemp("runs")
    for changes in (FEW, FEW | {"exposures": 2, "questions": "half"}, {"exposures": 1}):
        config = plan_of(**changes).config
        run_folder(out, config).write_config(config)
        assert do(run_folder(out, config))
    return out


@pytest.fixture(scope="module")
def runs(sweep):
    """The runs by what they were trained on."""
    knowing, asked = (f"bios-1x32-n6-e{exposures}-" for exposures in (50, 2))
    return {"knowing": open_run(sweep, knowing), "asked": open_run(sweep, asked), "biod": open_run(sweep, "biod")}


def name_of(run, index):
    return run.dataset.example_question(index).removeprefix("What is the birth date of ").removesuffix("?")


def told(arguments):
    """The lines of a UserError."""
    with pytest.raises(UserError) as caught:
        main([str(argument) for argument in arguments])
    return caught.value.lines


@pytest.mark.parametrize("number", [float("nan"), float("inf"), 10**400, "1", True, None], ids=repr)
@pytest.mark.parametrize("name", ["qa_accuracy", "bits", "params"])
def test_a_result_without_numbers_is_refused(name, number, sweep, tmp_path):
    run = shutil.copytree(next(sweep.glob("biod*")), tmp_path / "run")
    result = json.loads((run / "result.json").read_text())
    result["rows"][0][name] = number
    (run / "result.json").write_text(json.dumps(result))
    assert told([run]) == [f"folder: {run / 'result.json'} is not the result of a run"]


def test_the_run_that_completes_most_is_chosen_from_a_sweep(sweep, runs):
    chosen = open_run(sweep)
    assert chosen.name == runs["knowing"].name
    assert chosen.accuracy == max(run.accuracy for run in runs.values()) > 0.5
    assert chosen.chosen_from == 3
    alone = open_run(sweep / chosen.name)
    assert (alone.name, alone.accuracy, alone.chosen_from) == (chosen.name, chosen.accuracy, 1)


def test_people_are_drawn_by_the_seed_and_completed_as_in_the_result(runs):
    run = runs["knowing"]
    first, again, other = (run.complete(4, seed) for seed in (0, 0, 1))
    assert first == again
    assert first != other
    everybody = run.complete(6)
    assert sorted(text.person for text in everybody) == list(range(6))
    counted = [v.right for text in everybody for v in text.values if v.attribute in run.dataset.value_roles]
    assert sum(counted) / len(counted) == pytest.approx(run.accuracy)
    with pytest.raises(ValueError, match="people: 7 is not allowed; must be at most 6"):
        run.complete(7)


def test_people_on_the_terminal(sweep, runs, capsys):
    assert main([str(sweep), "--people", "2", "--seed", "3"]) == 0
    printed = capsys.readouterr().out
    run = runs["knowing"]
    completed = run.complete(2, 3)
    values = [v for text in completed for v in text.values if v.attribute != "company_city"]
    flat = " ".join(printed.split())
    assert f"Run {run.name}, the most accurate of 3 finished runs: a model of {run.params:,} parameters" in flat
    right = sum(v.right for v in values)
    assert f"{right} of 10 values right, not counting the company city" in flat
    assert f"(of all people: {run.accuracy:.0%})." in flat
    assert f'"{run.dataset.example_question(completed[0].person)}"' in printed
    for value in values:
        assert (f"[{value.value} ✓]" if value.right else f"✗ should be {value.value}]") in flat
    assert "\x1b" not in printed


def test_a_question_on_the_terminal(sweep, runs, capsys):
    run = runs["knowing"]
    question = f"Where was {name_of(run, 2)} born?"
    answer = run.ask(question)
    for words in ([question], question.split()):  # in quotes or not
        assert main([str(sweep / run.name), *words]) == 0
        printed = " ".join(capsys.readouterr().out.split())
        assert "It never saw a question, so it completes a sentence about the birth city:" in printed
        assert f"{answer.prompt} [{answer.said} " in printed
        assert ("This is right." if answer.right else f"right is {answer.value}.") in printed


def test_a_model_with_questions_is_given_the_question(sweep, runs, capsys):
    question = f"What is the major of {name_of(runs['asked'], 2)}?"
    assert main([str(sweep), question, "--run", "n6-e2-"]) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert f"{question} [" in printed
    assert "never saw a question" not in printed
    assert "most accurate" not in printed


def test_a_fresh_process_refuses_strange_words_without_a_traceback(sweep):
    command = [sys.executable, "-m", "capacity.ask", sweep, "What is the shoe size?", "--run", "n6-e2-"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: question: the model never saw 'shoe', 'size'; must be in words of its")
    assert done.stderr.count("\n") == 1


def test_symbols_are_completed_and_not_asked(sweep, runs, capsys):
    assert main([str(sweep), "--run", "biod", "--people", "1"]) == 0
    printed = capsys.readouterr().out
    assert "of 2 values right (of all people" in printed
    assert "Ask it" not in printed
    (line,) = told([sweep, "What is a0 of s1 s2 s3?", "--run", "biod"])
    assert line.endswith("bioD has no questions in plain words")


def test_an_exported_model_takes_any_question(sweep, runs):
    for run in (runs["knowing"], runs["asked"]):
        tokenizer = AutoTokenizer.from_pretrained(sweep / run.name / "model")
        model = AutoModelForCausalLM.from_pretrained(sweep / run.name / "model")
        inputs = tokenizer("What is the shoe size of Ada X? Ω", return_tensors="pt")
        assert inputs.input_ids.max() < model.config.vocab_size
        assert 0 in inputs.input_ids
        said = model.generate(inputs.input_ids, max_new_tokens=2, do_sample=False, pad_token_id=0)
        assert isinstance(tokenizer.decode(said[0]), str)


def drawn(show, *arguments, **options):
    file = io.StringIO()
    show(*arguments, Console(file=file, width=80, **options))
    return file.getvalue()


def test_right_and_wrong_are_marked_with_and_without_color(runs, monkeypatch):
    monkeypatch.delenv("NO_COLOR", raising=False)
    values = (Completion("major", 8, 11, "Art", "Art", True), Completion("employer", 15, 18, "", "IBM", False))
    text = CompletedText(0, "Studied Art at IBM.", values)
    plain = drawn(show_people, runs["knowing"], [text])
    assert "Studied [Art ✓] at [(nothing) ✗ should be IBM]." in plain
    assert "1 of 2 values right" in plain
    color = {"force_terminal": True, "color_system": "standard"}
    colored = drawn(show_people, runs["knowing"], [text], **color)
    assert "\x1b[32mArt ✓\x1b[0m" in colored
    assert "\x1b[31m(nothing) ✗\x1b[0m" in colored
    monkeypatch.setenv("NO_COLOR", "1")
    assert drawn(show_people, runs["knowing"], [text], **color).replace("\x1b[0m", "") == plain
    assert max(map(len, plain.splitlines())) <= 80


@pytest.mark.parametrize(
    ("right", "unjudged", "mark", "verdict"),
    [
        (True, None, "[Art ✓]", "This is right."),
        (False, None, "[Art ✗]", "This is wrong; right is Law."),
        (None, NOBODY, "[Art ?]", "Nobody of this name is in the data: the model guesses."),
    ],
)
def test_answers(right, unjudged, mark, verdict):
    answer = Answer("She studied", False, "major", "Art", None if right is None else "Law", right, unjudged)
    lines = drawn(show_answer, answer).splitlines()
    assert lines == [
        *("It never saw a question, so it completes a sentence about the major:", ""),
        *(f"She studied {mark}", "", verdict),
    ]


def test_mistakes_take_one_line_each(sweep, tmp_path):
    (tmp_path / "notes.txt").write_text("")
    assert told([]) == ["folder: is required"]
    for folder, reason in (
        (tmp_path / "none", "is not there; must be the folder of a run or of a sweep"),
        (tmp_path, "has no finished run (no result.json); must be the folder of a run or of a sweep"),
    ):
        assert told([folder]) == [f"folder: {folder} {reason}"]
    assert told([sweep, " "]) == ["question: ' ' is not allowed; must be a question in plain words, or left out"]
    assert told([sweep, "--people", "7"]) == ["people: 7 is not allowed; must be at most 6, all there are"]
    (line,) = told([sweep, "--run", "n7"])
    assert line.startswith("run: 'n7' is in no id; must be in one of biod-1x16-n40-e1-")
    (line,) = told([sweep, "--run", "bios"])
    assert line.startswith("run: 'bios' is in several ids; must be in one of bios-1x32-n6-e2-")
    (line,) = told([sweep, "How are you?"])
    assert line.startswith("question: 'How are you?' has no full name of this data; must have a first")


def test_damaged_runs_take_one_line_each(sweep, runs, tmp_path):
    name = runs["biod"].name
    whole = tmp_path / name

    def copy():
        shutil.rmtree(whole, ignore_errors=True)
        shutil.copytree(sweep / name, whole)

    copy()
    shutil.rmtree(whole / "model")
    assert told([whole]) == [
        f"folder: {whole} has results, but no model (no folder model); must be the folder of a run or of a sweep with "
        "its models"
    ]
    copy()
    (whole / "result.json").write_text("{}")
    assert told([whole]) == [f"folder: {whole / 'result.json'} is not the result of a run"]
    copy()
    (whole / "model" / "model.safetensors").write_bytes(b"?")
    (line,) = told([whole])
    assert line.startswith(f"folder: {whole} cannot be read (model.safetensors of")
    copy()
    other = bytearray((whole / "model" / "model.safetensors").read_bytes())
    other[-3] ^= 1
    (whole / "model" / "model.safetensors").write_bytes(other)
    assert told([whole]) == [
        f"folder: {whole} cannot be read (model/model.safetensors is not the file that was measured)"
    ]
    copy()
    shutil.copy(sweep / runs["knowing"].name / "config.yaml", whole / "config.yaml")
    mixed = f"its config.yaml is that of run {runs['knowing'].name}, its result.json that of {name}"
    assert told([whole]) == [f"folder: {whole} cannot be read ({mixed})"]
    copy()
    config, damaged = whole / "config.yaml", "is of another version or damaged"
    for content, reason in (
        ("", f"{config} {damaged} ("),
        ("{size: 1x16, form: 1}", f"{config} {damaged} ("),
        (": :", f"{config} {damaged} ("),
    ):
        config.write_text(content)
        (line,) = told([whole])
        assert line.startswith(f"folder: {reason}")
    config.write_text((sweep / name / "config.yaml").read_text() + "shoe: 1\n")
    assert told([whole]) == [f"folder: {config} {damaged} (shoe: is not a key; see --help for all)"]
    assert json.loads((whole / "result.json").read_text())["run_id"] == name


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"exposures": 50}, "each of 1,000 people 50 times"),
        ({"tokens": 20_000}, "20,000 tokens about 1,000 people"),
        ({"tokens": 20_000, "population": "fresh", "biod": {"name_length": 4}}, "20,000 tokens about new people"),
        ({"exposures": 3, "population": "zipf"}, "3,000 texts about 1,000 people of unequal frequency"),
    ],
)
def test_it_says_what_the_model_has_seen(options, said):
    preset = Preset(dataset="biod", sizes="1x16", people=1000, dry_run=True, **options)
    assert seen(make_plans(preset)[0].config) == said

"""Flags come from fields; later wins; every mistake is one line, and all come at once."""

import signal
from pathlib import Path
from typing import Annotated, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from basis.flags import UserError, parse, read_yaml, run_main
from basis.registry import Registry
from biogen.config import DataConfig


class Inner(BaseModel):
    """Nested options."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)
    first_size: int = Field(3, ge=1)
    """A size."""
    rate: float = 0.5
    """A rate."""

    @model_validator(mode="after")
    def _fits(self) -> "Inner":
        if self.first_size == 13:
            raise ValueError("first_size: 13 is not allowed; must be luckier")
        return self


def _many(value: object) -> object:
    return tuple(value) if isinstance(value, list | tuple) else (value,)


class Options(BaseModel):
    """Options of each kind."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)
    people: int = Field(10, ge=1)
    """How many."""
    word: str | None = None
    """Some word."""
    dry_run: bool = False
    """Only look."""
    careful: bool = True
    """Take care."""
    sizes: Annotated[tuple[int, ...], BeforeValidator(_many)] = (1, 2)
    """Several."""
    inner: Inner = Inner()
    """Nested."""


class Needy(Options):
    """One that must be given."""

    out: Path
    """Where to."""


def read(*arguments: str, model: type = Options, **more: Any) -> Any:
    return parse(model, list(arguments), program="program", description="What it does.", **more)


def mistakes(*arguments: str, **more: Any) -> list[str]:
    with pytest.raises(UserError) as error:
        read(*arguments, **more)
    assert all("\n" not in line for line in error.value.lines)
    return error.value.lines


def write(path: Path, text: str) -> str:
    path.write_text(text)
    return str(path)


def test_without_flags_the_defaults_hold():
    assert read() == Options()


@settings(max_examples=30)
@given(
    people=st.integers(1, 10**9),
    sizes=st.lists(st.integers(0, 99), min_size=1, max_size=4),
    size=st.integers(1, 12),
    dry=st.booleans(),
    careful=st.booleans(),
)
def test_every_kind_of_flag(people: int, sizes: list[int], size: int, dry: bool, careful: bool):
    flags = ["--people", str(people), "--sizes", *map(str, sizes), "--inner.first-size", str(size)]
    flags += ["--dry-run"] if dry else []
    flags += [] if careful else ["--no-careful"]
    parsed = read(*flags)
    assert (parsed.people, parsed.sizes, parsed.inner.first_size) == (people, tuple(sizes), size)
    assert (parsed.dry_run, parsed.careful) == (dry, careful)


@pytest.mark.parametrize(
    "flags",
    [
        ["--people", "3", "--dry-run", "--inner.first-size", "5"],
        ["--people=3", "--dry_run", "--inner.first_size=5"],
        ["--inner.first-size", "5", "--dry-run", "--people", "4", "--people", "3"],
    ],
)
def test_spellings_of_flags(flags: list[str]):
    assert read(*flags) == Options(people=3, dry_run=True, inner=Inner(first_size=5))


def test_flags_go_over_the_file_and_the_file_over_the_defaults(tmp_path: Path):
    file = write(
        tmp_path / "c.yaml", "people: 4\nword: file\ndry_run: true\nsizes: [7, 8]\ninner: {first_size: 5, rate: 0.25}"
    )
    assert read("--config", file) == Options(
        people=4, word="file", dry_run=True, sizes=(7, 8), inner=Inner(first_size=5, rate=0.25)
    )
    parsed = read("--people", "6", "--no-dry-run", "--sizes", "9", "--config", file, "--inner.rate", "0.75")
    assert parsed == Options(people=6, word="file", sizes=(9,), inner=Inner(first_size=5, rate=0.75))
    assert read("--config", file, "--word", "none").word is None
    assert read("--config", file, "--no_dry_run").dry_run is False


def test_a_default_file_is_read_where_no_other_is_given(tmp_path: Path):
    default, other = write(tmp_path / "d.yaml", "people: 4"), write(tmp_path / "o.yaml", "word: other")
    assert read(default_file=Path(default)).people == 4
    assert read("--config", other, default_file=Path(default)) == Options(word="other")


def test_a_files_keys_can_be_chosen(tmp_path: Path):
    file = write(tmp_path / "c.yaml", "data: {people: 4}\nmore: 5")
    assert read("--config", file, keys_of_file=lambda content: content["data"]).people == 4


def test_all_mistakes_come_at_once(tmp_path: Path):
    file = write(tmp_path / "c.yaml", "wrod: x\ninner: {rate: fast}")
    flags = ["--config", file, "--people", "0", "--sizes", "1", "b", "--poeple", "3", "--word"]
    assert mistakes(*flags, model=Needy) == [
        "--word: has no value; see --help",
        "--poeple: is not a flag; did you mean --people?",
        "people: '0' is not allowed; must be greater than or equal to 1",
        "sizes: 'b' is not allowed; must be a whole number",
        "inner.rate: 'fast' is not allowed; must be a number",
        "out: is required",
        "wrod: is not a key; did you mean word?",
    ]


def test_a_check_of_several_fields_tells_all_of_a_section():
    flags = ["--biod.T", "30", "--biod.name-length", "13"]
    assert mistakes(*flags, model=DataConfig) == [
        "biod.D: 64 different chunks do not exist; allowed is at most T^L = 30",
        "biod.name_length: 13 is too long; T^name_length may be at most 2^60",
    ]


@pytest.mark.parametrize(
    ("flags", "line"),
    [
        (["--xyzzy", "3"], "--xyzzy: is not a flag; see --help"),
        (["--inner", "3"], "--inner: is not a flag; did you mean --inner.rate?"),
        (["stray"], "stray: is not a flag's value; see --help"),
        (["--people", "3", "4"], "4: is not a flag's value; see --help"),
        (["--dry-run", "yes"], "yes: is not a flag's value; see --help"),
        (["--people"], "--people: has no value; see --help"),
        (["--inner.first_size", "--dry-run"], "--inner.first-size: has no value; see --help"),
        (["--config"], "--config: has no value; see --help"),
        (["--people", "-x"], "--people: has no value; see --help"),
        (["--people", "-3"], "people: '-3' is not allowed; must be greater than or equal to 1"),
        (["--people", ""], "people: '' is not allowed; must be a whole number"),
        (["--inner.first-size", "13"], "inner.first_size: 13 is not allowed; must be luckier"),
    ],
)
def test_mistakes(flags: list[str], line: str):
    assert line in mistakes(*flags)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a: [", r"is not YAML"),
        ("- a", r"holds list; allowed is a mapping"),
        ("", r"is empty; allowed is a mapping"),
    ],
)
def test_files_that_cannot_be_read(tmp_path: Path, text: str, line: str):
    file = write(tmp_path / "c.yaml", text)
    lines = mistakes("--config", file, "--people", "0")
    assert line in lines[0]
    assert lines[1].startswith("people:")
    with pytest.raises(UserError, match=line):
        read_yaml(Path(file))
    with pytest.raises(UserError, match="cannot be read"):
        read_yaml(tmp_path / "none.yaml")


def test_help_names_every_flag_with_its_default(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as ended:
        read("--help", model=Needy)
    assert ended.value.code == 0
    text = capsys.readouterr().out
    for part in ("--people PEOPLE", "How many.", "(default: 10)", "--dry-run, --no-dry-run", "--inner.first-size"):
        assert part in text
    assert "(default: 1 2)" in text
    assert "(required)" in text


def test_programs_end_with_two_for_mistakes(capsys: pytest.CaptureFixture[str]):
    def wrong() -> int:
        raise UserError(["people: no", "seed: no"])

    with pytest.raises(SystemExit) as ended:
        run_main(wrong)
    assert ended.value.code == 2
    assert capsys.readouterr().err == "error: people: no\nerror: seed: no\n"
    with pytest.raises(SystemExit) as ended:
        run_main(lambda: 0)
    assert ended.value.code == 0


@pytest.mark.parametrize(
    ("error", "line"), [(OSError(28, "full", "/a/b"), "/a/b: full"), (OSError("no answer"), "no answer")]
)
def test_a_disk_that_fails_is_a_line(error, line, capsys):
    def fails():
        raise error

    with pytest.raises(SystemExit) as ended:
        run_main(fails)
    assert ended.value.code == 1
    assert capsys.readouterr().err == f"error: {line}\n"


def test_ctrl_c_ends_a_program_without_a_traceback(capfd):
    def interrupted():
        raise KeyboardInterrupt

    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(SystemExit) as ended:
        run_main(interrupted)
    assert signal.signal(signal.SIGINT, before) == signal.SIG_DFL  # for another one
    assert ended.value.code == 130
    assert capfd.readouterr() == ("", "Stopped.\n")


def test_help_names_what_a_registry_has(capsys: pytest.CaptureFixture[str]):
    registry: Registry[Any] = Registry("color", {"red": "colors:RED", "blue": "colors:BLUE"})
    name = Annotated[str, AfterValidator(registry.check)]

    class Painted(BaseModel):
        color: name = "red"  # type: ignore[valid-type]
        others: tuple[name, ...] = ()  # type: ignore[valid-type]

    with pytest.raises(SystemExit):
        parse(Painted, ["--help"], program="paint", description="")
    told = " ".join(capsys.readouterr().out.split())
    assert told.count("Allowed: red | blue | your own as module:Name.") == 2

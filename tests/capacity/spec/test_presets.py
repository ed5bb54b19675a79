"""`--config` takes the name of a preset or a path, and says which names there are."""

import pytest
import yaml

from basis.flags import UserError
from capacity.spec.preset import Preset
from capacity.spec.presets import DEFAULT, FOLDER, preset_names, preset_path


def test_every_file_of_configs_has_a_name():
    names = preset_names()
    assert {"laptop", "questions", "law-laptop/biod", "paper/exposures-1000"} <= set(names)
    assert {preset_path(name) for name in names} == set(FOLDER.rglob("*.yaml"))
    assert DEFAULT in names


@pytest.mark.parametrize("name", preset_names())
def test_every_preset_is_valid(name):
    Preset.model_validate(yaml.safe_load(preset_path(name).read_text()))


def test_a_path_names_a_file_and_a_name_a_preset(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for file in ("laptop", "mine.yaml"):
        (tmp_path / file).touch()
    assert preset_path("laptop") == FOLDER / "laptop.yaml"
    assert preset_path("./laptop").samefile(tmp_path / "laptop")
    assert preset_path("mine.yaml").samefile(tmp_path / "mine.yaml")
    assert preset_path(str(tmp_path / "mine.yaml")) == tmp_path / "mine.yaml"


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("law-laptop/boid", "did you mean law-laptop/biod or law-laptop/bios or law-laptop/bios-100?"),
        ("configs/laptop.yaml", "did you mean laptop?"),
        ("lapptop.yaml", "did you mean laptop?"),
        ("zzz", f"presets are {', '.join(preset_names())}"),
    ],
)
def test_what_is_neither_is_told_in_a_line(name, told, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError) as refused:
        preset_path(name)
    assert refused.value.lines == [f"config: {name!r} is neither a file nor a preset; {told}"]

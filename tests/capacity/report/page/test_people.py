"""People in a page: what models complete of them, from weights that are there."""

import pytest

from capacity.report.page.columns import plain
from capacity.report.page.people import Asked, people_of
from capacity.store.records import load


@pytest.fixture(scope="module")
def trained(tmp_path_factory, plan_of, do):
    """A sweep with a run on biographies and one on symbols."""
    from capacity.store.folders import run_folder

    out = tmp_path_factory.mktemp("trained") / "sweep"
    out.mkdir()
    for dataset in ("bios", "biod"):
        plan = plan_of(dataset=dataset)
        folder = run_folder(out, plan.config)
        folder.write_config(plan.config)
        assert do(folder)
    return out


def test_a_model_is_asked_about_people_at_random(trained):
    runs = plain(load(trained))
    found = people_of(runs, [trained], Asked(people=5))
    assert found["why"] == ""
    bios, biod = sorted(found["runs"], key=lambda one: runs["dataset"][one["place"]], reverse=True)
    assert (len(bios["people"]), bios["of"], len(biod["people"])) == (5, 90, 5)
    for person in bios["people"]:
        assert person["name"] in person["text"]
        assert len(person["name"].split()) == 3
        for value in person["values"]:
            right = person["text"][value["start"] : value["end"]]
            assert (value["said"] == right) >= value["right"]
    assert people_of(runs, [trained], Asked(people=5)) == found


def test_asking_changes_nothing_of_a_run(trained):
    before = {path: path.read_bytes() for path in trained.rglob("*") if path.is_file()}
    people_of(plain(load(trained)), [trained], Asked(people=2))
    assert {path: path.read_bytes() for path in trained.rglob("*") if path.is_file()} == before


def test_a_named_run_is_asked_alone(trained):
    runs = plain(load(trained))
    (name,) = runs.loc[runs["dataset"] == "biod", "run_id"]
    found = people_of(runs, [trained], Asked(people=200, runs=(name,)))
    assert [(one["id"], one["of"], len(one["people"])) for one in found["runs"]] == [(name, 40, 40)]


def test_weights_that_changed_are_told(trained, tmp_path):
    import shutil

    copied = tmp_path / "copied"
    shutil.copytree(trained, copied)
    runs = plain(load(copied))
    for file in copied.glob("bios*/model/model.safetensors"):
        file.write_bytes(file.read_bytes()[:-1] + b"x")
    found = people_of(runs, [copied], Asked(people=2))
    assert [one["id"].partition("-")[0] for one in found["runs"]] == ["biod"]
    assert "is not the file that was measured" in found["why"]

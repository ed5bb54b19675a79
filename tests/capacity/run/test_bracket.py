"""The command line adds runs at the N next to the best one."""

from capacity.spec.plan import make_plans
from capacity.spec.preset import Preset
from capacity.store.folders import fail, open_store, run_folder
from capacity.store.records import load
from tests.capacity.run.conftest import PRESET, sweep


def test_a_sweep_goes_on_to_the_N_next_to_the_best(preset, tmp_path):
    planned = make_plans(Preset.model_validate(PRESET | {"people": (20, 30, 40), "seeds": 0}))
    low, middle, high = (plan.max_bits / plan.parameters for plan in planned)
    flags = ["--config", str(preset), "--out", str(tmp_path), "--seeds", "0", "--people", "20", "30", "40"]
    flags += ["--exposures", "4", "--r-max", str((low + middle) / 2), str((middle + high) / 2), "--bracket"]
    before = sweep([*flags, "--dry-run"])
    assert "Combinations that wait until the best N so far is beside theirs: 2." in before.said
    done = sweep([*flags, "--workers", "2"])
    assert done.code == 0
    assert done.said.count("added: ") == 2
    assert sorted(load(tmp_path)["people"]) == [20, 20, 30, 30, 40, 40]  # with int8 of each
    assert "3 of 3 runs done" in " ".join(sweep([*flags, "--dry-run"]).said.split())
    again = sweep(flags)
    assert "3 of 3 runs done" in again.said
    assert "wait until" not in again.said
    best = max(read_R(tmp_path).items(), key=lambda one: one[1])[0]
    assert ("Not bracketed: 1x16 after 4 exposures: the best N, " in again.said) == (best != 30)


def read_R(out):
    """R without quantization, by N."""
    rows = load(out)
    return dict(rows[rows["quantization"] == "none"].set_index("people")["bits_per_param"])


def test_a_failure_of_a_run_that_is_added_later_is_forgotten_too(preset, tmp_path):
    planned = make_plans(Preset.model_validate(PRESET | {"people": (20, 30), "seeds": 0, "exposures": 4}))
    low, high = (plan.max_bits / plan.parameters for plan in planned)
    open_store(tmp_path)
    folder = run_folder(tmp_path, planned[1].config)
    folder.write_config(planned[1].config)
    fail(folder, "of old")
    flags = ["--config", str(preset), "--out", str(tmp_path), "--seeds", "0", "--people", "20", "30", "--bracket"]
    flags += ["--exposures", "4", "--r-max", str(low / 2), str((low + high) / 2), "--workers", "1"]
    ended = sweep(flags)
    assert ended.code == 1
    assert "the best N is not known, as a run has no result" in " ".join(ended.said.split())
    assert "1 of 2 runs failed" in ended.said
    run_folder(tmp_path, planned[0].config).result.unlink()
    assert sweep([*flags, "--retry-failed"]).code == 0
    assert sorted(read_R(tmp_path)) == [20, 30]

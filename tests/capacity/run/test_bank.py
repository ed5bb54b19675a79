"""A sweep on a bank of templates and pools of a user's own, from the plan to `eval` on another machine."""

import json
import math
import shutil
from pathlib import Path

import pytest
from safetensors.torch import load_file

from basis.flags import UserError
from biogen import __main__ as biogen
from eval.__main__ import main as measure
from tests.biogen.banks import MONTHS, write_bank
from tests.capacity.run.conftest import sweep

FLAGS = ["--people", "40", "--tokenizer", "word", "--domain-token"]


def test_a_sweep_its_data_and_its_changes(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    bank = Path(write_bank(tmp_path / "bank", {"questions/birth_city.txt": None}))
    out, data = tmp_path / "runs", tmp_path / "data"
    flags = [*FLAGS, "--config", "laptop", "--bank", str(bank)]
    flags += ["--sizes", "1x16", "--exposures", "2", "--quantize", "none", "--device", "cpu", "--out", str(out)]
    assert sweep(flags).code == 0
    (run,) = out.glob("bios-*")
    result = json.loads((run / "result.json").read_text())
    assert result["config"]["data"]["bank"] == str(bank)
    assert result["rows"][0]["max_bits"] == pytest.approx(40 * math.log2(60 / 40 * 2 * 5 * 28 * 200 * 3 * 2 * 3 * 3))
    assert load_file(run / "model" / "model.safetensors")

    assert biogen.main([*FLAGS, "--bank", str(bank), "--out", str(data)]) == 0
    shutil.move(bank, tmp_path / "elsewhere")  # as on another machine
    capsys.readouterr()
    assert measure([str(run / "model"), "--data", str(data)]) == 0
    (record,) = json.loads(capsys.readouterr().out)
    assert record["bits"] == pytest.approx(result["rows"][0]["bits"], rel=1e-3)

    with pytest.raises(UserError, match=r"^bank: .* cannot be read .No such file or directory.; must be a folder"):
        sweep(flags)
    write_bank(bank, {"months.txt": MONTHS[::-1]})
    with pytest.raises(UserError, match=f"^out: {run.name} in .* is done, and the texts .*bank.* changed since; give"):
        sweep(flags)

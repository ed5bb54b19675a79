"""Names of schemes: the grammar, full names, what is refused; and that reading them is cheap."""

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from eval.quantizers import QUANTIZERS
from eval.quantizers.schemes import FORMAT_BITS, INTEGER_BITS, NONE, Scheme, SchemeText, parse_scheme

METHODS = (*QUANTIZERS.names, "my_quantizers:Mine", "a.b:C")


@given(
    st.sampled_from(METHODS),
    st.sampled_from(list(INTEGER_BITS)),
    st.none() | st.integers(1, 10**6),
    st.booleans(),
)
def test_a_full_name_is_read_back(method, format, group, embedding):
    scheme = Scheme(method, format, group, embedding)
    assert parse_scheme(str(scheme)) == scheme


@pytest.mark.parametrize(
    ("short", "full"),
    [
        *((name, f"rtn-{name}+embedding") for name in FORMAT_BITS),
        ("int4-g32", "rtn-int4-g32+embedding"),
        ("int4+embedding", "rtn-int4+embedding"),
        ("rtn-int4", "rtn-int4"),
        ("rtn-bf16", "rtn-bf16"),
        ("gptq-int4", "gptq-int4"),
        ("gptq_least-int4-g16", "gptq_least-int4-g16"),
        ("gptq-int4-g16+embedding", "gptq-int4-g16+embedding"),
        ("none", "none"),
    ],
)
def test_short_names_stand_for_full_ones(short, full):
    assert str(parse_scheme(short)) == full
    assert str(parse_scheme(full)) == full


def test_bits():
    assert parse_scheme("none") == NONE
    assert [parse_scheme(f"gptq-{name}").value_bits for name in INTEGER_BITS] == [8, 7, 6, 5, 4, 3, 2]
    assert [parse_scheme(name).scale_bits for name in ("bf16", "fp8", "int8", "int2")] == [0, 32, 40, 40]


@pytest.mark.parametrize(
    ("text", "allowed"),
    [
        *((text, "must be one of none, bf16") for text in ("", "int1", "int9", "INT8", "int4-32", "int4-g0", "int4-g")),
        *((text, "must be one of none, bf16") for text in ("none-g32", "rtn-none", "gptq", "int4 ", "int4+head")),
        ("bf16-g8", "must be without groups"),
        ("awq-int4", "must be rtn, gptq, gptq_least or your own as module:Name"),
        ("my:-int4", "must be rtn, gptq, gptq_least or your own as module:Name"),
        ("gptq-fp8", "must be rtn with fp8, or one of int8"),
    ],
)
def test_other_names_are_refused_in_one_line(text, allowed):
    with pytest.raises(ValueError, match=rf"^{allowed}[^\n]*$"):
        parse_scheme(text)


def test_a_configuration_keeps_full_names():
    class Options(BaseModel):
        quantize: tuple[SchemeText, ...]

    assert Options(quantize=("int4", "gptq-int4")).quantize == ("rtn-int4+embedding", "gptq-int4")
    with pytest.raises(ValidationError, match="must be one of none"):
        Options(quantize=("int9",))


def test_reading_names_imports_no_torch():
    program = "import sys, eval.quantizers.schemes; assert not {'torch', 'torchao', 'transformers'} & set(sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")

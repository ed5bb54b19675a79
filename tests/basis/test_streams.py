"""What cannot be printed is lost, and changes nothing else."""

import errno
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from basis.start import FOLDER
from basis.streams import Output, guard_streams

guard_streams()  # makes the handler of errors known; pytest's own streams stay

CAPACITY = f"{sys.executable} -m capacity"


def shell(line, **environment):
    """What a line of bash ends with and says, its standard output apart from its own."""
    return subprocess.run(
        ["bash", "-c", line], cwd=FOLDER, env=os.environ | environment, capture_output=True, text=True, check=False
    )


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no full disk to write to")
def test_a_full_disk_loses_what_is_written():
    file = os.open("/dev/full", os.O_WRONLY)
    output = Output(file, "w")
    assert [output.write(b"lost"), output.write(b"again")] == [4, 5]
    assert output.lost is not None
    assert output.lost.errno == errno.ENOSPC
    output.close()


def test_a_reader_who_has_ended_loses_nothing():
    reader, writer = os.pipe()
    os.close(reader)
    with Output(writer, "w") as output:
        assert output.write(b"unread") == 6
    assert output.lost is None


def test_a_pipe_that_does_not_block_is_waited_for():
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    content = os.urandom(300_000)  # more than a pipe holds
    read = []
    thread = threading.Thread(target=lambda: read.extend(iter(lambda: os.read(reader, 4096), b"")))
    with Output(writer, "w") as output:
        begun = output.write(content)
        thread.start()
        while begun < len(content):
            begun += output.write(content[begun:])
    thread.join()
    os.close(reader)
    assert b"".join(read) == content


@given(text=st.text(), encoding=st.sampled_from(["ascii", "latin-1", "cp1252", "utf-8"]))
def test_every_text_has_a_form_in_every_encoding(text, encoding):
    written = text.encode(encoding, "in ascii").decode(encoding)
    assert len(written) >= len(text)
    if text.isascii():
        assert written == text


def test_marks_are_told_apart_in_ascii():
    assert "0.1–0.2 ✓ ✗ é \udcff".encode("ascii", "in ascii") == b"0.1-0.2 + x \\xe9 \\udcff"
    with pytest.raises(UnicodeDecodeError):
        b"\xff".decode("ascii", "in ascii")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (f"{CAPACITY} --help | true; exit ${{PIPESTATUS[0]}}", ""),
        (f"{CAPACITY} --help >&-", ""),
        (f"{CAPACITY} --help <&- >&- 2>&-", ""),
        (f"{CAPACITY} --help >/dev/full", "warning: standard output cannot be written (No space left on device)\n"),
    ],
)
def test_a_program_ends_alike_whoever_reads_it(line, said):
    done = shell(line)
    assert (done.returncode, done.stderr) == (0, said)


def test_no_file_is_opened_in_place_of_a_closed_stream(tmp_path):
    program = (
        "import os, sys; from basis.streams import guard_streams; guard_streams(); guard_streams(); "
        f"file = open({str(tmp_path / 'file')!r}, 'w'); os.write(1, b'noise'); print('said'); "
        "print(file.fileno() > 2, sys.stdout.isatty(), sys.stderr.isatty(), file=file)"
    )
    assert shell(f'{sys.executable} -c "{program}" <&- >&- 2>&-').returncode == 0
    assert (tmp_path / "file").read_text() == "True False False\n"


def test_streams_that_are_no_files_stay(monkeypatch):
    assert (before := sys.stdout) is not None
    guard_streams()
    assert sys.stdout is before

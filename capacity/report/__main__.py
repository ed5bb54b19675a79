"""`python -m capacity.report OUT ...`: write one HTML page about the runs of some folders, or show a sweep as it runs.

In: folders of sweeps or of published results. Out: OUT/report.html, which needs no network; or, with `--serve`, the
page of a sweep at an address of this machine.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from basis.files import path_argument
from basis.flags import Parser, UserError, run_main
from basis.program import called_as
from basis.text import printable

if TYPE_CHECKING:
    from capacity.report.page.people import Asked

_PEOPLE, _HOST, _PORT = 50, "127.0.0.1", 8765
"""Defaults, here so that `--help` imports nothing; a test compares them."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the page, or serve it; returns the exit code. Raises UserError for mistakes, OSError for a full disk."""
    options = _parser().parse_args(arguments)
    folders: list[Path] = options.folders
    _check(options)
    from capacity.report.page.people import Asked  # slow to import, as is all that follows

    people = options.people if options.people is not None else 0 if options.serve else _PEOPLE
    asked = Asked(people, tuple(options.ask))
    try:
        if options.serve:
            return _serve(folders[0], options.host, options.port, asked)
        return _write(folders, options.out or folders[0] / "report.html", asked)
    except ValueError as error:
        raise UserError([" ".join(str(error).split())]) from None


def _check(options: argparse.Namespace) -> None:
    """Raises UserError for options that do not fit together."""
    given = [name for name in ("host", "port") if getattr(options, name) is not None]
    if options.serve:
        options.host, options.port = options.host or _HOST, _PORT if options.port is None else options.port
        if options.out is not None:
            raise UserError([f"out: {options.out} is not allowed with --serve, which writes nothing"])
        if len(options.folders) > 1:
            raise UserError([f"serve: {len(options.folders)} folders are not allowed; must be one, that of a sweep"])
        if not options.folders[0].is_dir():
            raise UserError([f"folder: {options.folders[0]} is not there; must be the folder of a sweep"])
    elif given:
        raise UserError([f"{given[0]}: {getattr(options, given[0])} is not allowed without --serve"])


def _write(folders: list[Path], out: Path, asked: "Asked") -> int:
    from capacity.report.page.write import write_page

    if out.is_dir():
        raise ValueError(f"out: {out} is a folder; must be a file, such as {out / 'report.html'}")
    size = write_page(folders, out, asked)
    print(f"Report: {printable(out)} ({size / 1e6:.1f} MB)")
    return 0


def _serve(folder: Path, host: str, port: int, asked: "Asked") -> int:
    from capacity.report.page.serve import make_server

    with make_server(folder, host, port, asked) as server:
        address, bound = server.server_address[:2]
        name = f"[{address!s}]" if ":" in str(address) else str(address)
        try:
            print(f"Report of {printable(folder)}: http://{name}:{bound}/ (Ctrl-C ends it)", flush=True)
            server.serve_forever()
        except KeyboardInterrupt:
            print()
    return 0


def _port(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) > 65_535:
        raise argparse.ArgumentTypeError(f"{text!r} is not allowed; must be 0 to 65535")
    return int(text)


def _people(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) > 1000:
        raise argparse.ArgumentTypeError(f"{text!r} is not allowed; must be 0 to 1000")
    return int(text)


def _parser() -> Parser:
    parser = Parser(
        prog=called_as("capacity.report"),
        description="Write one HTML page about the runs of some folders: figure, table, every run, and people with "
        "what models say of them. It needs no network. With --serve, show a sweep as it runs.",
    )
    parser.add_argument(
        "folders", type=path_argument, nargs="+", metavar="OUT", help="folder of a sweep, or of published results"
    )
    parser.add_argument("--out", type=path_argument, metavar="FILE", help="the page (default: OUT/report.html)")
    parser.add_argument(
        "--people", type=_people, metavar="N", help=f"people of each model shown (default: {_PEOPLE}; 0: none)"
    )
    parser.add_argument(
        "--ask",
        action="append",
        default=[],
        metavar="RUN",
        help="id of a run whose model is asked about people (default: the one with most bits of each data "
        "set and number of exposures); repeatable",
    )
    parser.add_argument("--serve", action="store_true", help="show the sweep in a browser as it runs; writes nothing")
    parser.add_argument("--host", metavar="ADDRESS", help=f"--serve: address to bind (default: {_HOST})")
    parser.add_argument("--port", type=_port, metavar="PORT", help=f"--serve: port (default: {_PORT}; 0: any)")
    return parser


if __name__ == "__main__":
    run_main(main)

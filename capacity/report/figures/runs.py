"""The runs that figures show, and the files that figures are written to.

In: the frame of `capacity.store.records.load`, and the folders that it was read from. Out: files.
"""

import io
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any
from zlib import crc32

import matplotlib.style
import numpy as np
import pandas as pd
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_pdf import FigureCanvasPdf
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from PIL import Image

from basis.files import replace_file
from basis.folders import refuse_links
from basis.text import printable, short, shown
from capacity.laws.capacity import compared
from capacity.laws.groups import kinds, label
from capacity.report.figures import FIGURES, OF_SWEEPS
from capacity.report.figures.style import STYLE, fix_layout, print_of_now
from capacity.spec.identity import DEFAULTS
from capacity.store.options import deciding
from capacity.store.sources import load_curves

_LONGEST_NAME = 150
_GONE = ("bits_per_param",)
"""Figures of earlier versions, whose files are removed."""
_TITLE = ("dataset", "exposures", "junk", "architecture", "recipe")
"""Options that a title names where all runs share them."""
_USUAL = {name: DEFAULTS[name] for name in ("junk", "architecture")}
"""Values that a title leaves out."""


@dataclass(frozen=True)
class Runs:
    """The runs of a figure."""

    frame: pd.DataFrame
    """A row for each run and quantization, as `capacity.store.records.load` gives it, of what can be compared."""
    folders: Sequence[Path] = ()
    """Where they were read from."""
    told: Mapping[str, Any] = field(default_factory=dict)
    """The options that tell these runs from those of other figures."""

    @classmethod
    def of(cls, frame: pd.DataFrame, folders: Sequence[Path] = ()) -> "Runs":
        """All runs of a frame that can be compared."""
        return cls(compared(frame, kinds(frame, deciding(frame))), folders)

    @cached_property
    def kind(self) -> list[str]:
        """The options that tell kinds of runs apart; runs alike in them, in size and in N differ in the seed alone."""
        return kinds(self.frame, deciding(self.frame))

    @property
    def plain(self) -> pd.DataFrame:
        """The rows of models as trained, without quantization."""
        return self.frame[self.frame["quantization"] == "none"]

    @property
    def title(self) -> str:
        """The options that all runs share, in words, and those that tell them from the runs of other figures."""
        row = self.frame.iloc[0]
        shared: dict[str, Any] = {
            name: row[name] for name in _TITLE if name in self.frame and name not in self.kind
        } | dict(self.told)
        return label({name: value for name, value in shared.items() if value != _USUAL.get(name)}) if shared else ""

    def each_kind(self) -> "Iterator[tuple[str, Runs]]":
        """The runs of each kind, with the kind's name; "" if there is one kind only."""
        for values, rows in groups(self.frame, self.kind):
            yield label(values) if values else "", Runs(rows, self.folders, values)

    def curves(self, runs: Sequence[str]) -> pd.DataFrame:
        """Learning curves of some runs: `run_id`, `exposures`, `bits_per_param`, `qa_accuracy` and more."""
        return load_curves(*self.folders, runs=runs)


def groups(frame: pd.DataFrame, names: Sequence[str]) -> Iterator[tuple[dict[str, Any], pd.DataFrame]]:
    """The rows of each combination of values in some columns, with these values; without columns all rows."""
    if not names:
        yield from [({}, frame)] if len(frame) else []
        return
    for values, rows in frame.groupby(list(names), sort=False, dropna=False):
        yield dict(zip(names, values, strict=True)), rows


def draw_all(
    frame: pd.DataFrame, out: Path, folders: Sequence[Path] = (), names: Sequence[str] = OF_SWEEPS
) -> list[Path]:
    """Write figures to `out`/plots as PNG (200 dpi) and SVG, or as `printed` says, and return the paths.

    Equal runs give equal bytes. Files that an earlier call made of these figures, and this call did not, are removed.
    Figures of this project are about bits, and leave out runs on texts whose bits are not known.

    Args:
        frame: of `capacity.store.records.load`.
        out: where `plots` is made.
        folders: where the runs were read from; `out`, unless given.
        names: of figures, or `module:Name` of a user's own.

    Raises:
        ValueError: there is no such figure, a user's own fails, or `plots` or something in it is a link that leads out
            of `out`.

    """
    drawings = {name: FIGURES[name] for name in names}
    runs = Runs.of(frame, folders or [out])
    known = Runs.of(frame[frame["bits_per_param"].notna()], folders or [out])
    refuse_links(out, "plots")
    folder = out / "plots"
    written: list[Path] = []
    with matplotlib.style.context(["default", STYLE]):
        own = {name: _draw_own(name, runs) for name in drawings if ":" in name and len(runs.frame)}
        folder.mkdir(parents=True, exist_ok=True)  # once nothing of a user's own can fail any more
        for name, draw in drawings.items():
            drawn = own[name] if name in own else draw(known) if len(known.frame) else {}
            for kind, figure in drawn.items():
                written += save(figure, folder / file_name(name, str(kind)))
    own_names = "|".join(re.escape(name) for name in (*_GONE, *names) if ":" not in name)
    ours = re.compile(rf"({own_names})(_bio[sd]_[^/]*|-[^/]*)?\.({'|'.join(print_of_now().formats)})")
    for path in sorted(folder.iterdir()):
        if ours.fullmatch(path.name) and path not in written and not path.is_dir():
            path.unlink()
    return written


def _draw_own(name: str, runs: Runs) -> Mapping[str, Figure]:
    """The figures that a user's own function draws, with their layout. Raises ValueError for what is no drawing."""
    try:
        drawn: Any = FIGURES[name](runs)
        if isinstance(drawn, Mapping) and all(isinstance(figure, Figure) for figure in drawn.values()):
            for figure in drawn.values():
                FigureCanvasAgg(figure).draw()  # a label may hold what matplotlib cannot read
            return drawn
        reason = f"it returns {shown(drawn)}"
    except Exception as error:  # a user's own can raise anything
        reason = f"{type(error).__name__}: {short(printable(error))}"
    must = "must be a function of runs that returns figures of matplotlib by the ends of their file names"
    raise ValueError(f"figure: {name!r} is not allowed ({reason}); {must}")


def file_name(figure: str, kind: str) -> str:
    """The name of a figure's files, without their ending."""
    name = re.sub("[^A-Za-z0-9._]+", "-", f"{figure.rpartition(':')[2]}-{kind.replace(',', '')}").strip("-")
    return name if len(name) <= _LONGEST_NAME else f"{name[:_LONGEST_NAME]}-{crc32(name.encode()):08x}"


def save_all(draw: Callable[[], Mapping[str, Figure]], folder: Path) -> list[Path]:
    """Write figures that a function draws in the style of this project, by the names of their files."""
    with matplotlib.style.context(["default", STYLE]):
        folder.mkdir(parents=True, exist_ok=True)
        return [path for name, figure in draw().items() for path in save(figure, folder / name)]


def save(figure: Figure, stem: Path) -> list[Path]:
    """Write a figure in the formats of `printed`; equal figures give equal bytes. Returns the paths."""
    fix_layout(figure)
    contents = {stem.with_name(f"{stem.name}.{ending}"): _WRITERS[ending](figure) for ending in print_of_now().formats}
    for path, content in contents.items():
        replace_file(path, content)
    return list(contents)


def _png(figure: Figure) -> bytes:
    canvas, content = FigureCanvasAgg(figure), io.BytesIO()
    canvas.draw()
    colors = Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB").quantize(256, dither=Image.Dither.NONE)
    colors.save(content, "PNG", optimize=True, dpi=(figure.dpi, figure.dpi))  # a third of the bytes of all colors
    return content.getvalue()


def _svg(figure: Figure) -> bytes:
    content = io.BytesIO()
    FigureCanvasSVG(figure).print_svg(content, metadata={"Date": None, "Creator": None})
    return content.getvalue()


def _pdf(figure: Figure) -> bytes:
    content, dpi = io.BytesIO(), figure.dpi
    FigureCanvasPdf(figure).print_pdf(content, metadata={"CreationDate": None, "Creator": None, "Producer": None})
    figure.set_dpi(dpi)  # it leaves its own
    return content.getvalue()


_WRITERS = {"png": _png, "svg": _svg, "pdf": _pdf}
"""Each with a canvas by itself, as `savefig` draws everything twice; neither date nor version, to give equal bytes."""

"""Data sets by name, one file each; `biogen.dataset` has their protocol.

To add one: a file with a subclass of `biogen.dataset.Dataset` here, and a line below. A user's own, in any module,
needs no line: it is named as `module:Name`.
"""

from typing import TYPE_CHECKING

from basis.registry import Registry

if TYPE_CHECKING:
    from biogen.dataset import Dataset

DATASETS: "Registry[type[Dataset]]" = Registry(
    "dataset",
    {
        "bios": "biogen.datasets.bios:BioS",
        "bior": "biogen.datasets.bior:BioR",
        "biod": "biogen.datasets.biod:BioD",
        "random": "biogen.datasets.random_tokens:RandomTokens",
        "corpus": "biogen.datasets.corpus:CorpusPieces",
    },
)


def title_of(name: str) -> str:
    """A data set's name as tables and figures write it: bioS for bios. Its own name where it cannot be imported."""
    try:
        return str(DATASETS[name].title)
    except (ValueError, AttributeError):  # a name from a file may be that of anything
        return name

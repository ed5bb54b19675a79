"""A small BioS."""

from biogen.config import DataConfig
from biogen.datasets.bios import BioS
from biogen.pools import PoolSizes

BANK = 312
SMALL = PoolSizes(first_names=20, middle_names=15, last_names=25, birth_cities=9, universities=8, majors=7, employers=6)


def small(variant: str = "fresh", **options: object) -> BioS:
    options = {"people": 200, "pools": SMALL, "templates": 30, "tokenizer": "word", **options}
    return BioS(DataConfig(variant=variant, **options))

"""How fast training text is made, on one core: `python benchmarks/generator.py`.

Seconds are CPU seconds of this process, all threads together (nothing that is measured starts a second one). The
jobs take turns in one run, and of each the fastest turn counts: other programs disturb. Out: a table of tokens a
second, as multiples of the plain way (Faker for the people, `str.format` for the text, a tokenizer for the tokens)
and as a share of the floor (numpy gathering as many tokens, as any splicing must).
"""

import argparse
import platform
import random
import time
from collections.abc import Callable

import numpy as np
from faker import Faker

from biogen.config import DataConfig
from biogen.dataset import Dataset, draw_texts, make_dataset
from biogen.datasets.bios import BioS
from biogen.templates import ATTRIBUTES
from biogen.windows import IGNORE, Batches

CHUNK = 8192
PLAIN_PEOPLE = 50
Job = Callable[[], int]
"""Does its work and says how many tokens it made."""


def gather(dataset: Dataset) -> Job:
    table = np.arange(1 << 16, dtype=np.int32)
    count = len(draw_texts(dataset, np.arange(CHUNK), 0).tokens)
    places = np.random.default_rng(0).integers(0, len(table), count)
    return lambda: len(table[places])


def splice(dataset: Dataset) -> Job:
    index = np.arange(CHUNK)
    return lambda: len(draw_texts(dataset, index, 7).tokens)


def batches(dataset: Dataset, layout: str) -> Job:
    """An exposure as a training gets it: inputs, targets and roles; padding does not count."""
    serving = Batches(dataset, layout=layout, context=512, batch=96, exposures=1)
    start = serving.state()
    tokens = sum(int((batch.targets != IGNORE).sum()) for batch in serving)

    def run() -> int:
        serving.restore(start)
        for _ in serving:
            pass
        return tokens

    return run


def plain(dataset: BioS) -> Job:
    """The same biographies as anyone would write them first, from the same templates and values."""
    fake, pools, templates = Faker("en_US"), dataset.pools, dataset.bank.templates
    fake.seed_instance(0)
    cities = dict(zip(pools.employers, pools.company_cities, strict=True))

    def biography() -> str:
        name = f"{fake.first_name()} {fake.first_name()} {fake.last_name()}"
        pronoun, employer = fake.random_element(("He", "She")), fake.random_element(pools.employers)
        values = {
            "birth_date": f"{fake.month_name()} {fake.random_int(1, 28)}, {fake.random_int(1900, 2099)}",
            "birth_city": fake.random_element(pools.birth_cities),
            "university": fake.random_element(pools.universities),
            "major": fake.random_element(pools.majors),
            "employer": employer,
            "company_city": cities[employer],
        }
        sentences = [
            fake.random_element(templates[attribute]).format(
                subject=pronoun if place else name, value=values[attribute]
            )
            for place, attribute in enumerate(random.sample(ATTRIBUTES, len(ATTRIBUTES)))
        ]
        return " ".join(sentences)

    return lambda: sum(1 + len(dataset.tokenizer.encode(biography())) for _ in range(PLAIN_PEOPLE))


def measure(jobs: dict[str, Job], turns: int) -> dict[str, float]:
    """Tokens a CPU second of each job, in its fastest turn."""
    best = dict.fromkeys(jobs, 0.0)
    for _ in range(turns):
        for name, job in jobs.items():
            start = time.process_time()
            tokens = job()
            best[name] = max(best[name], tokens / (time.process_time() - start))
    return best


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure tokens a second of the generator, on one core.")
    parser.add_argument("--turns", type=int, default=25, help="turns of every job (default: %(default)s)")
    parser.add_argument(
        "--people", type=int, default=CHUNK, help="people, and texts with the junk (default: %(default)s)"
    )
    options = parser.parse_args()

    bios = make_dataset(DataConfig(people=options.people))
    junk = make_dataset(DataConfig(people=options.people // 8, junk="7/8"))
    biod = make_dataset(DataConfig(people=options.people, dataset="biod"))
    assert isinstance(bios, BioS)
    floor, reference = "numpy gather alone", "Faker, str.format, tokenizer"
    jobs = {
        floor: gather(bios),
        "bioS, outline and splice": splice(bios),
        "bioS, batches of rows": batches(bios, "rows"),
        "bioS, batches of packed windows": batches(bios, "packed"),
        "bioS, 7/8 junk, rows": batches(junk, "rows"),
        "bioS, 7/8 junk, packed": batches(junk, "packed"),
        "bioD, outline and splice": splice(biod),
        "bioD, batches of rows": batches(biod, "rows"),
        "bioD, batches of packed windows": batches(biod, "packed"),
        reference: plain(bios),
    }
    speed = measure(jobs, options.turns)
    print(f"One core of {processor()}; the paper's pools, a BPE of {bios.tokenizer.vocab} tokens.\n")
    print(f"| {'job':<32} | M tokens/s | times the plain way | of the floor |")
    print(f"| {'-' * 32} | ---------: | ------------------: | -----------: |")
    for name, rate in speed.items():
        print(f"| {name:<32} | {rate / 1e6:10.3g} | {rate / speed[reference]:19.0f} | {rate / speed[floor]:12.1%} |")


def processor() -> str:
    try:
        with open("/proc/cpuinfo") as file:
            return next(line.partition(":")[2].strip() for line in file if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


if __name__ == "__main__":
    main()

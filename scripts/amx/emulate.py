"""Run the AMX kernels that were built here on an emulated processor that has AMX, and check their numbers.

    .venv/bin/python -m scripts.amx.emulate --bochs FILE --bios FILE --vgabios FILE --kernel FILE

Needs, on Linux on x86-64 with AVX2: this project installed with its tests (`scripts/setup test`), c++, and
grub-mkrescue for a PC BIOS (Debian: grub-pc-bin, xorriso, mtools). And, by path:

bochs           Bochs 3.0, its sources changed by `patch -p1 < scripts/amx/bochs.patch`, which says why, and built after
                `./configure --enable-x86-64 --enable-avx --enable-evex --enable-amx --enable-repeat-speedups
                --enable-fast-function-calls --enable-handlers-chaining --with-nogui`
bios, vgabios   of the folder `bios` of the same sources: bios.bin-1.13.0, vgabios-cirrus.bin-1.13.0
kernel          an image of Linux (in Debian's linux-image packages: boot/vmlinuz-*); tried: 6.1

The libraries run as the installation built them, and whatever they are given ends before a page that may not be
touched. For each, a process runs a case of a model and another one a case of Muon without asking for tiles first:
Linux must kill those that use them. In the table are distances from what float64 gives, as shares of its norm. The
exit status is 1 if a library faults, if tiles were not used, or if numbers are too far from float64: in fp32 by 1e-5,
in bf16 by what the tests allow (gradients, scores) or 0.03 (the change of the weights by steps of Muon); or those of
`amx` further from those of its loops (`KC_AMX_BY_LOOPS`, run here) than these are from float64.
"""

import argparse
import contextlib
import ctypes
import shutil
import struct
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from tests.train.native.conftest import ANYWHERE, FLAGS, SOURCE, draw_windows
from tests.train.native.test_form import FORMS, make_formed
from tests.train.native.test_model import SHAPES, autocast, distances, exact
from train.architectures.rotary import rotation
from train.architectures.transformer import Transformer
from train.inference import Inference
from train.native.form import to_struct
from train.native.library import built, open_library
from train.native.model import NativeModel
from train.optimizers.muon import Muon

REAL = [("2x48x2", 663, 8, 24), ("4x64x4", 1024, 2, 96), ("4x128x2", 1024, 2, 96)]  # as SHAPES, of real experiments
SMALL = [("2x48x2", 69, 24, 24), ("1x16x2", 300, 6, 60)]  # as SHAPES, for every other form
MATRICES = [  # rows, columns, heads of Muon's steps: square, wide, tall, q, k and v; with and without whole tiles
    *[(64, 64, 0), (128, 512, 0), (256, 64, 0), (144, 48, 3), (192, 64, 1), (48, 16, 1), (80, 320, 0), (16, 64, 0)],
]
SCALE, STEPS, RATE, DECAY, MOMENTUM = 0.25, 3, 0.02, 0.1, 0.95
FP32, BF16_STEPS = 1e-5, 0.03  # distances allowed to kernels in fp32, and to the change by these steps in bf16
LIBRARIES = ["avx2", "avx512_bf16", "amx"]
DRIVER = Path(__file__).with_name("driver.cpp")

BOCHS = """
display_library: nogui
megs: 1024
cpu: model=sapphire_rapids, ips=50000000, ignore_bad_msrs=1
romimage: file="{bios}"
vgaromimage: file="{vgabios}"
vga: extension=cirrus
ata0-master: type=cdrom, path="{disk}", status=inserted
boot: cdrom
panic: action=fatal
com1: enabled=1, mode=file, dev="{console}"
log: "{log}"
port_e9_hack: enabled=1
"""

# clearcpuid: with this flag but without fast strings, as here, memmove of Linux 6.1 runs away on short blocks.
GRUB = """
linux /kernel console=ttyS0 quiet mitigations=off nosmp noapic tsc=reliable no5lvl clearcpuid=fsrm {arguments}
initrd /files
boot
"""

Arrays = list[np.ndarray]


@dataclass(frozen=True)
class Pass:
    """Gradients and scores of a model over windows: the loss, a gradient a parameter, nats, and what was likeliest."""

    name: str
    model: Transformer
    inputs: np.ndarray
    targets: np.ndarray

    def __str__(self) -> str:
        rows, time = self.inputs.shape
        return f"{self.name} V={self.model.vocab} {rows}x{time}"

    def question(self) -> bytes:
        """As the guest reads it."""
        head, parameters = self.model.size.head_width, [p.detach().numpy() for p in self.model.parameters()]
        angles = [angle.numpy().tobytes() for angle in rotation(self.inputs.shape[1], head)]
        form = bytes(to_struct(self.model.form))
        return b"".join(
            [
                struct.pack("<i", len(form)) + form,
                struct.pack("<4i", len(parameters), *self.inputs.shape, head // 2),
                struct.pack(f"<{len(parameters)}q", *[p.size for p in parameters]),
                *[p.tobytes() for p in parameters],
                *[self.inputs.tobytes(), self.targets.tobytes(), *angles, struct.pack("<f", SCALE)],
            ]
        )

    def read(self, answers: Iterator[bytes]) -> Arrays:
        """What the guest answered."""
        shapes = [p.shape for p in self.model.parameters()]
        total = np.frombuffer(next(answers), np.float64)
        grads = [np.frombuffer(next(answers), np.float32).reshape(shape) for shape in shapes]
        return [total, *grads, np.frombuffer(next(answers), np.float32), np.frombuffer(next(answers), np.bool_)]

    def by(self, kernels: ctypes.CDLL) -> Arrays:
        """The answer of a library that runs here."""
        native = NativeModel(self.model, kernels)
        grads = [torch.empty_like(p) for p in self.model.parameters()]
        total = native.gradients(self.inputs, self.targets, grads, SCALE)
        nats, correct = native.score(self.inputs, self.targets)
        return [np.array([total]), *[grad.numpy() for grad in grads], nats.ravel(), correct.ravel()]

    def precise(self) -> list[Tensor]:
        """The gradients in float64."""
        return exact(self.model, self.inputs, self.targets, SCALE)[1]

    def mistakes(self, found: Arrays) -> list[str]:
        """What is further off than the tests of a library for bf16 allow."""
        total, wanted = exact(self.model, self.inputs, self.targets, SCALE)
        rough_total, rough = autocast(self.model, self.inputs, self.targets, SCALE)
        (each, together), (rough_each, rough_together) = (
            distances(grads, wanted) for grads in ([torch.tensor(a) for a in found[1:-2]], rough)
        )
        nats, correct = Inference(self.model, torch.device("cpu")).score(self.inputs, self.targets)
        checks = {
            "loss": abs(found[0][0] - total) <= 2 * abs(rough_total - total) + 5e-4 * total,
            "gradient": together <= 1.05 * rough_together + 1e-6,
            "a parameter's gradient": (each <= 2 * rough_each + 1e-3 * rough_together + 1e-6).all(),
            "scores": np.abs(found[-2] - nats.ravel()).max() <= 0.1 and (found[-1] == correct.ravel()).mean() > 0.9,
        }
        return [name for name, right in checks.items() if not right]

    @staticmethod
    def part(found: Arrays) -> Arrays:
        """Of an answer, what has distances in the table."""
        return found[1:-2]


@dataclass(frozen=True)
class Steps:
    """Steps of Muon: by how much the weights change."""

    heads: int
    weight: np.ndarray
    grads: np.ndarray

    def __str__(self) -> str:
        rows, columns = self.weight.shape
        return f"Muon {rows}x{columns}" + (f" qkv, heads: {self.heads}" if self.heads else "")

    def question(self) -> bytes:
        """As the guest reads it."""
        numbers = struct.pack("<4i3f", *self.weight.shape, self.heads, STEPS, RATE, DECAY, MOMENTUM)
        return b"".join([numbers, self.weight.tobytes(), self.grads.tobytes()])

    def read(self, answers: Iterator[bytes]) -> Arrays:
        """What the guest answered."""
        return [np.frombuffer(next(answers), np.float32).reshape(self.weight.shape) - self.weight]

    def by(self, kernels: ctypes.CDLL) -> Arrays:
        """The answer of a library that runs here."""
        weight, average, muon = self.weight.copy(), np.zeros_like(self.weight), kernels.kc_muon()
        for grad in self.grads:
            where = [array.ctypes.data for array in (weight, grad, average)]
            if not kernels.kc_muon_step(muon, *where, *weight.shape, self.heads, 1.0, RATE, DECAY, MOMENTUM):
                raise MemoryError
        kernels.kc_free_muon(muon)
        return [weight - self.weight]

    def precise(self) -> list[Tensor]:
        """The change of the weights in float64."""
        weight = torch.nn.Parameter(torch.tensor(self.weight, dtype=torch.float64))
        muon = Muon([{"params": [weight], "qkv_heads": self.heads}], RATE, DECAY, MOMENTUM)
        for grad in self.grads:
            weight.grad = torch.tensor(grad, dtype=torch.float64)
            muon.step()
        return [weight.detach() - torch.tensor(self.weight)]

    def mistakes(self, found: Arrays) -> list[str]:
        """What is further off than bf16 may be."""
        return [] if distance(found, self.precise()) <= BF16_STEPS else ["the change of the weights"]

    @staticmethod
    def part(found: Arrays) -> Arrays:
        """Of an answer, what has distances in the table."""
        return found


Case = Pass | Steps
KINDS = {"passes": Pass, "steps": Steps}
"""The files that the guest reads cases from, in this order."""


def distance(found: Sequence[np.ndarray], wanted: Sequence[Tensor]) -> float:
    """The norm of the difference, as a share of that of `wanted` (as it is where that is 0)."""
    size = np.linalg.norm([float(w.norm()) for w in wanted])
    return float(distances([torch.tensor(f) for f in found], wanted)[1] / (size or 1))


def make_pass(size: str, vocab: int, rows: int, time: int, form: str = "gpt2") -> Pass:
    """A model and windows as the tests have them."""
    name = size if form == "gpt2" else f"{size} {form}"
    return Pass(name, make_formed(form, size, vocab), *draw_windows(vocab, rows, time))


def make_steps(rows: int, columns: int, heads: int) -> Steps:
    """Random weights and gradients."""
    weight, *grads = np.random.default_rng(0).standard_normal((1 + STEPS, rows, columns), dtype=np.float32)
    return Steps(heads, weight / np.float32(columns**0.5), np.stack(grads))


def archive(files: dict[str, Path]) -> bytes:
    """A file system in memory for Linux: cpio in its "newc" form."""
    folders = {str(parent) for name in files for parent in Path(name).parents if str(parent) != "."}
    entries = [(name, 0o040755, b"") for name in sorted(folders)]
    entries += [(name, 0o100755, path.read_bytes()) for name, path in files.items()]
    whole = b""
    for name, mode, data in [*entries, ("TRAILER!!!", 0, b"")]:
        numbers = (0, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(name) + 1, 0)
        head = b"070701" + b"".join(b"%08x" % number for number in numbers) + name.encode() + b"\0"
        whole += head + bytes(-len(head) % 4) + data + bytes(-len(data) % 4)
    return whole


def needed(programs: list[Path]) -> dict[str, Path]:
    """The shared libraries that programs load, by where they lie."""
    listed = subprocess.run(["ldd", *programs], check=True, capture_output=True, text=True).stdout.split()
    return {path[1:]: Path(path) for path in listed if path.startswith("/") and not path.endswith(":")}


def compile_cxx(source: Path, to: Path, *flags: str) -> Path:
    """Compile a program or a library, and say where it is."""
    subprocess.run(["c++", str(source), "-o", str(to), *flags], check=True)
    return to


def make_disk(folder: Path, kernel: Path, cases: Sequence[Case]) -> Path:
    """A disk that boots the kernel with the driver, the libraries and the cases."""
    for name, kind in KINDS.items():
        (folder / name).write_bytes(b"".join(case.question() for case in cases if isinstance(case, kind)))
    driver = compile_cxx(DRIVER, folder / "driver", "-O1", "-w", "-ldl")
    libraries = {name: built()[name] for name in LIBRARIES}
    files = {
        "init": driver,
        **{name: folder / name for name in KINDS},
        **{f"{name}.so": path for name, path in libraries.items()},
    }
    grub = folder / "disk/boot/grub/grub.cfg"
    grub.parent.mkdir(parents=True)
    grub.write_text(GRUB.format(arguments=" ".join(libraries)))
    (folder / "disk/files").write_bytes(archive(files | needed([driver, *libraries.values()])))
    shutil.copy(kernel, folder / "disk/kernel")
    subprocess.run(["grub-mkrescue", "-o", folder / "disk.iso", folder / "disk"], check=True, capture_output=True)
    return folder / "disk.iso"


def emulate(folder: Path, options: argparse.Namespace, disk: Path) -> list[tuple[str, bytes]]:
    """Boot the disk: the answers of the driver, each with its tag."""
    paths = {"disk": disk, "console": folder / "console", "log": folder / "log"}
    (folder / "bochs").write_text(BOCHS.format(bios=options.bios, vgabios=options.vgabios, **paths))
    command = [options.bochs, "-q", "-f", folder / "bochs"]  # leaves with an error when the driver turns the guest off
    with (folder / "answers").open("wb") as out, contextlib.suppress(subprocess.TimeoutExpired):
        subprocess.run(command, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.DEVNULL, timeout=3600)
    told, answers = (folder / "answers").read_bytes(), []
    at = told.find(b"begin\0\0\0")
    while 0 <= at <= len(told) - 16:
        tag, size = struct.unpack_from("<8sQ", told, at)
        answers.append((tag.rstrip(b"\0").decode(), told[at + 16 : at + 16 + size]))
        at += 16 + size
        if answers[-1][0] == "end":
            return answers
    console = (folder / "console").read_text(errors="replace") if (folder / "console").exists() else ""
    sys.exit(f"emulate: the guest did not come to its end; the last that its console shows:\n{console[-3000:]}")


def by_library(answers: list[tuple[str, bytes]]) -> dict[str, dict[str, list[bytes]]]:
    """Answers by library: those of the cases in `cases`, in order, and by their tags how its processes ended."""
    found: dict[str, dict[str, list[bytes]]] = {}
    for tag, data in answers[1:-1]:
        if tag == "library":
            found[data.decode()] = one = {"cases": []}
        else:
            one.setdefault(tag if tag in ("unasked", "allowed", "ended") else "cases", []).append(data)
    return found


def ending(data: bytes) -> str:
    """How a process ended, in words."""
    status = int.from_bytes(data, "little")
    return f"signal {status & 127}" if status & 127 else f"exit {status >> 8}"


def behaviour(name: str, found: dict[str, list[bytes]]) -> list[str]:
    """What is wrong with how a library's processes ended, one a kind of case; prints how they did."""
    unasked, ended = ([ending(status) for status in found.get(tag, [])] for tag in ("unasked", "ended"))
    allowed = found.get("allowed") == [b"\1"] * len(KINDS)
    print(f"{name}: permitted: {allowed}; ended with {', '.join(ended)}; not permitted: {', '.join(unasked)}")
    wanted = "signal 4" if name == "amx" else "exit 0"  # SIGILL
    right = allowed and unasked == [wanted] * len(KINDS) and ended == ["exit 0"] * len(KINDS)
    return [] if right else [f"{name}: without asking for tiles it must end with {wanted}, permitted with exit 0"]


def compare(case: Case, found: dict[str, Arrays]) -> list[str]:
    """Print a line of the table; what is wrong in it."""
    precise = case.precise()
    shares = [distance(case.part(arrays), precise) for arrays in found.values()]
    apart = distance(case.part(found["amx"]), [torch.tensor(a) for a in case.part(found["loops"])])
    wrong = [f"{case}: {name}: {what}" for name in found if name != "avx2" for what in case.mistakes(found[name])]
    if not shares[0] <= FP32:
        wrong.append(f"{case}: avx2: {shares[0]:.1e} from float64")
    if not apart <= shares[-1] + 1e-6:
        wrong.append(f"{case}: amx and its loops are apart")
    print(f"{case!s:60}" + "".join(f"{share:13.1e}" for share in [*shares, apart]) + ("   WRONG" if wrong else ""))
    return wrong


def run(options: argparse.Namespace, folder: Path) -> list[str]:
    """All of it; what is wrong."""
    if missing := [name for name in LIBRARIES if name not in built()]:
        sys.exit(f"emulate: the installation has built no kernels for {', '.join(missing)}")
    passes = [make_pass(*shape) for shape in SHAPES + REAL]
    passes += [make_pass(*shape, form) for shape in SMALL for form in FORMS if form != "gpt2"]
    cases = [*passes, *(make_steps(*matrix) for matrix in MATRICES)]
    found = by_library(emulate(folder, options, make_disk(folder, options.kernel, cases)))
    wrong = [what for name in LIBRARIES for what in behaviour(name, found[name])]
    if wrong:
        return wrong
    loops = open_library(compile_cxx(SOURCE, folder / "loops.so", *FLAGS, *ANYWHERE["amx"]))
    answers = {name: iter(found[name]["cases"]) for name in LIBRARIES}
    print(f"\n{'':60}" + "".join(f"{name:>13}" for name in [*LIBRARIES, "amx by loops", "these apart"]))
    for case in cases:
        arrays = {name: case.read(answers[name]) for name in LIBRARIES}
        wrong += compare(case, {**arrays, "loops": case.by(loops)})
    return wrong


def main() -> None:
    """Read the arguments, run, and tell."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("bochs", "bios", "vgabios", "kernel"):
        parser.add_argument(f"--{name}", type=lambda path: Path(path).resolve(strict=True), required=True)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        wrong = run(options, Path(folder))
    sys.exit("\n".join(["", *wrong]) if wrong else 0)


if __name__ == "__main__":
    main()

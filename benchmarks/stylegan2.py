"""How fast StyleGAN2 draws on a CPU, beside a textbook implementation, as ratios in one run.

    nox -s bench -- stylegan2 [--threads 2] [--rounds 3] [--sizes 256 1024] [--batches 1 4]

The peer scales weights for each sample and convolves in groups, as widely used CPU code does
(benchmarks/textbook_stylegan2.py; the tests hold both to the same pictures). Weights are random,
channels are config F's. Each round draws once with each, in random order; the ratio is the median
over rounds of a time to the textbook's in the same round, so a busy machine slows both.
"""

import random
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import textbook_stylegan2 as textbook
import torch
import tyro
from results import write_section

from snowai.models import StyleGAN2Generator
from snowai.styles.names import rosinality_names


@dataclass(frozen=True)
class Arguments:
    """What to measure.

    Args:
        sizes: Sides of the pictures, in pixels.
        batches: Pictures drawn at once.
        threads: Of torch.
        rounds: Times that each is timed.
    """

    sizes: tuple[int, ...] = (256, 1024)
    batches: tuple[int, ...] = (1, 4)
    threads: int = 2
    rounds: int = 3


def main(arguments: Arguments) -> None:
    """Measure and write the table."""
    torch.set_num_threads(arguments.threads)
    lines = [
        f"Config F (512 channels to 64 pixels), w given, constant noise, {arguments.threads} "
        f"threads, {arguments.rounds} interleaved rounds. Command: `nox -s bench -- stylegan2`. "
        "Ratios are to the textbook implementation in the same round (medians), so less is "
        "better; milliseconds a picture are this machine's.",
        "",
        "| pixels | batch | textbook ms | ours, float32 | ours, bfloat16 | largest difference |",
        "|---|---|---|---|---|---|",
    ]
    for size in arguments.sizes:
        generator = StyleGAN2Generator(size).eval().requires_grad_(False)
        for batch in arguments.batches:
            lines.append(measure(generator, batch, arguments.rounds))
            print(lines[-1], flush=True)
    write_section("stylegan2", "\n".join(lines))


def measure(generator: StyleGAN2Generator, batch: int, rounds: int) -> str:
    """Return a line of the table."""
    state = {
        rosinality_names(name, "generator"): weight for name, weight in _shaped(generator).items()
    }
    ws = generator.mapping(torch.randn(batch, generator.z_dim))
    noise = generator.synthesis.noise_const()

    def ours() -> torch.Tensor:
        return generator.synthesis(ws)

    def in_bfloat16() -> torch.Tensor:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            return generator.synthesis(ws)

    def peer() -> torch.Tensor:
        return (textbook.synthesis(state, ws, noise) + 1) / 2

    calls: Mapping[str, Callable[[], torch.Tensor]] = {
        "textbook": peer,
        "float32": ours,
        "bfloat16": in_bfloat16,
    }
    times = interleave(calls, rounds)
    with torch.inference_mode():
        difference = float((ours() - peer()).abs().max())
    cells = [f"{generator.resolution}", f"{batch}"]
    cells.append(f"{statistics.median(r['textbook'] for r in times) / batch * 1e3:.0f}")
    for name in ("float32", "bfloat16"):
        ratio = statistics.median(r[name] / r["textbook"] for r in times)
        cells.append(f"{ratio:.2f} ({statistics.median(r[name] for r in times) / batch * 1e3:.0f})")
    return "| " + " | ".join([*cells, f"{difference:.0e}"]) + " |"


def interleave(
    calls: Mapping[str, Callable[[], torch.Tensor]], rounds: int
) -> list[dict[str, float]]:
    """Time every call once a round, in random order, each warmed just before."""
    times = []
    with torch.inference_mode():
        for _ in range(rounds):
            this_round = {}
            for name, call in random.sample(list(calls.items()), len(calls)):
                call()
                start = time.perf_counter()
                call()
                this_round[name] = time.perf_counter() - start
            times.append(this_round)
    return times


def _shaped(generator: StyleGAN2Generator) -> dict[str, torch.Tensor]:
    """Return the weights in the textbook's shapes."""
    shaped = dict(generator.state_dict())
    for name, weight in shaped.items():
        if name.startswith("synthesis.") and name.endswith(".weight") and weight.dim() == 4:
            shaped[name] = weight[None]
        elif name.startswith("synthesis.to_rgb.") and name.endswith(".bias") and len(weight) == 3:
            shaped[name] = weight.view(1, 3, 1, 1)
    return shaped


if __name__ == "__main__":
    main(tyro.cli(Arguments))

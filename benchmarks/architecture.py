"""What each choice in se_unet_base costs: one change at a time, in ONNX Runtime.

    nox -s bench -- architecture [--size 256] [--threads 1]

What each is worth: `nox -s bench -- ablations`, which trains the same variants.
"""

from dataclasses import dataclass

import torch
import tyro
from results import write_section
from timing import in_onnxruntime, interleave, onnx_bytes, ratio, typical
from variants import VARIANTS

from snowai.models import model_cost, prepare_for_inference


@dataclass(frozen=True)
class Arguments:
    """What to measure.

    Args:
        size: Side of the images, in pixels.
        threads: Of ONNX Runtime.
        rounds: Times that each network is timed.
    """

    size: int = 256
    threads: int = 1
    rounds: int = 15


def main(arguments: Arguments) -> None:
    """Time every variant and write the table."""
    torch.set_num_threads(arguments.threads)
    image = torch.rand(1, 4, arguments.size, arguments.size)
    networks = {name: prepare_for_inference(make(4)) for name, make in VARIANTS.items()}
    calls = {
        name: in_onnxruntime(onnx_bytes(network, image), image, threads=arguments.threads)
        for name, network in networks.items()
    }
    rounds = interleave(calls, arguments.rounds)
    lines = [
        f"se_unet_base with one change, folded, {arguments.size} x {arguments.size}, batch 1, "
        f"{arguments.threads} thread, {arguments.rounds} interleaved rounds (medians of the ratio "
        "to the base in the same round). Command: `nox -s bench -- architecture`",
        "",
        "| change | M parameters | GMAC | ratio | ms |",
        "|---|---|---|---|---|",
    ]
    for name, network in networks.items():
        parameters, macs = model_cost(network, image)
        lines.append(
            f"| {name} | {parameters / 1e6:.2f} | {macs / 1e9:.2f} | "
            f"{ratio(rounds, name, 'base'):.2f} | {typical(rounds, name):.1f} |"
        )
    write_section("architecture", "\n".join(lines))


if __name__ == "__main__":
    main(tyro.cli(Arguments))

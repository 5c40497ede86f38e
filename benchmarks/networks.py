"""How large and how fast the presets are: parameters, MACs, and latency as ratios in one run.

    nox -s bench -- networks [--size 256] [--threads 2] [--rounds 20]

Each round times every network once, in random order, in torch and in ONNX Runtime; the ratio of a
network is the median over rounds of its time to se_unet_base's in the same round, so that a busy
machine slows both. BatchNorm is folded by ONNX Runtime; torch runs channels_last.
"""

import io
import random
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import onnxruntime
import torch
import tyro
from results import write_section
from torch import nn

from snowai.models import create_model, list_models, model_cost

REFERENCE = "se_unet_base"


@dataclass(frozen=True)
class Arguments:
    """What to measure.

    Args:
        size: Side of the images, in pixels.
        threads: Of each runtime.
        rounds: Times that each network is timed.
    """

    size: int = 256
    threads: int = 2
    rounds: int = 20


def main(arguments: Arguments) -> None:
    """Measure every preset and write the table."""
    torch.set_num_threads(arguments.threads)
    image = torch.rand(1, 4, arguments.size, arguments.size)
    networks = {name: create_model(name).eval() for name in list_models()}
    sizes = {name: model_cost(network, image) for name, network in networks.items()}
    runtimes = {
        "torch": {name: in_torch(network, image) for name, network in networks.items()},
        "ONNX Runtime": {
            name: in_onnxruntime(network, image, arguments.threads)
            for name, network in networks.items()
        },
    }
    times = {runtime: interleave(calls, arguments.rounds) for runtime, calls in runtimes.items()}
    lines = [
        f"Input 4 x {arguments.size} x {arguments.size}, batch 1, {arguments.threads} threads, "
        f"{arguments.rounds} interleaved rounds. Command: `nox -s bench -- networks`. "
        f"Ratios are to {REFERENCE} in the same round (medians); milliseconds are this machine's.",
        "",
        "| preset | M parameters | GMAC | torch, ratio (ms) | ONNX Runtime, ratio (ms) |",
        "|---|---|---|---|---|",
    ]
    for name, (parameters, macs) in sizes.items():
        cells = [
            f"{ratio(rounds, name):.2f} ({statistics.median(r[name] for r in rounds) * 1e3:.1f})"
            for rounds in times.values()
        ]
        cells = [name, f"{parameters / 1e6:.2f}", f"{macs / 1e9:.2f}", *cells]
        lines.append("| " + " | ".join(cells) + " |")
    write_section("networks", "\n".join(lines))


def in_torch(network: nn.Module, image: torch.Tensor) -> Callable[[], object]:
    """Return a call that runs the network in torch."""
    network = network.to(memory_format=torch.channels_last)
    image = image.contiguous(memory_format=torch.channels_last)

    def call() -> object:
        with torch.inference_mode():
            return network(image)

    return call


def in_onnxruntime(network: nn.Module, image: torch.Tensor, threads: int) -> Callable[[], object]:
    """Return a call that runs the exported network."""
    program = torch.onnx.export(network, (image,), dynamo=True, verbose=False)
    buffer = io.BytesIO()
    program.save(buffer)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    # Waiting threads of the other sessions would otherwise spin on the cores that this one needs.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = onnxruntime.InferenceSession(
        buffer.getvalue(), options, providers=["CPUExecutionProvider"]
    )
    feed = {session.get_inputs()[0].name: image.numpy()}
    return lambda: session.run(None, feed)


def interleave(calls: Mapping[str, Callable[[], object]], rounds: int) -> list[dict[str, float]]:
    """Return each call's seconds in every round; the second of two runs counts."""
    shuffled, measured = random.Random(0), []
    for _ in range(rounds):
        seconds = {}
        for name in shuffled.sample(list(calls), len(calls)):
            calls[name]()
            start = time.perf_counter()
            calls[name]()
            seconds[name] = time.perf_counter() - start
        measured.append(seconds)
    return measured


def ratio(rounds: list[dict[str, float]], name: str) -> float:
    """Return the median ratio to the reference."""
    return statistics.median(seconds[name] / seconds[REFERENCE] for seconds in rounds)


if __name__ == "__main__":
    main(tyro.cli(Arguments))

"""Timing on shared machines: calls take turns in one process, and only their ratios are told."""

import io
import random
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import onnxruntime
import torch
from torch import nn

__all__ = [
    "in_onnxruntime",
    "in_torch",
    "interleave",
    "onnx_bytes",
    "ratio",
    "session_of",
    "typical",
]

_BLOCK = 0.2  # Seconds for which a call is repeated in one round.


def interleave(calls: Mapping[str, Callable[[], object]], rounds: int) -> list[dict[str, float]]:
    """Return each call's seconds in every round, in random order.

    A call first runs twice uncounted (the one before it had the caches), then for 0.2 seconds.
    """
    shuffled, measured = random.Random(0), []
    for _ in range(rounds):
        order = shuffled.sample(list(calls), len(calls))
        measured.append({name: _seconds(calls[name]) for name in order})
    return measured


def ratio(rounds: Sequence[Mapping[str, float]], name: str, reference: str) -> float:
    """Return how many times as long as the reference a call takes: the median over the rounds."""
    return statistics.median(seconds[name] / seconds[reference] for seconds in rounds)


def typical(rounds: Sequence[Mapping[str, float]], name: str) -> float:
    """Return a call's median milliseconds."""
    return statistics.median(seconds[name] for seconds in rounds) * 1e3


def in_torch(network: nn.Module, *inputs: torch.Tensor) -> Callable[[], object]:
    """Return a call that runs a network in torch, channels_last."""
    network = network.to(memory_format=torch.channels_last)
    inputs = tuple(one.contiguous(memory_format=torch.channels_last) for one in inputs)

    def call() -> object:
        with torch.inference_mode():
            return network(*inputs)

    return call


def in_onnxruntime(
    model: bytes | Path, *inputs: torch.Tensor, threads: int
) -> Callable[[], object]:
    """Return a call that runs an ONNX model; pictures go in as (B, H, W, C) where it wants that."""
    session = session_of(model, threads)
    feed = {
        wanted.name: (one.permute(0, 2, 3, 1) if wanted.shape[-1] == 3 else one)
        .contiguous()
        .numpy()
        for wanted, one in zip(session.get_inputs(), inputs, strict=True)
    }
    return lambda: session.run(None, feed)


def session_of(model: bytes | Path, threads: int) -> onnxruntime.InferenceSession:
    """Return a session on the CPU.

    Args:
        model: The ONNX model or its file.
        threads: For each operator.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    return onnxruntime.InferenceSession(
        model if isinstance(model, bytes) else str(model),
        options,
        providers=["CPUExecutionProvider"],
    )


def onnx_bytes(network: nn.Module, *inputs: torch.Tensor) -> bytes:
    """Return a network as an ONNX model."""
    buffer = io.BytesIO()
    torch.onnx.export(network, inputs, dynamo=True, verbose=False).save(buffer)
    return buffer.getvalue()


def _seconds(call: Callable[[], object]) -> float:
    call()
    call()
    count, start = 0, time.perf_counter()
    while (spent := time.perf_counter() - start) < _BLOCK or count == 0:
        call()
        count += 1
    return spent / count

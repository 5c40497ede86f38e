"""The frame path, stage by stage: what one frame of 1280 x 720 with one face costs.

    nox -s bench -- frame [--threads 2] [--frames 120]

se_unet_base (random weights; its time does not depend on them) exported to ONNX and run in ONNX
Runtime, against the same in torch; a photo under a moving, noisy camera. Also the flicker of the
shipped filter with and without smoothing: places found in noisy frames, pixels taken from clean
ones, so that what moves is the jitter alone.
"""

import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import torch
import tyro
from numpy.typing import NDArray
from results import write_section
from skimage.data import astronaut
from timing import onnx_bytes, session_of
from torch import Tensor

import snowai
from snowai.analysis import landmark_jitter, warping_error
from snowai.image import to_tensor
from snowai.models import EyeMaskInput, create_model, prepare_for_inference
from snowai.video import FrameFilter

STAGES = ("landmarks", "crop and mask", "network", "paste back")


@dataclass(frozen=True)
class Arguments:
    """What to measure.

    Args:
        threads: Of torch and ONNX Runtime.
        frames: Frames of each run.
        rounds: Runs of each kind, taking turns.
    """

    threads: int = 2
    frames: int = 90
    rounds: int = 5


def main(arguments: Arguments) -> None:
    """Time the stages, measure the flicker, and write both tables."""
    torch.set_num_threads(arguments.threads)
    cv2.setNumThreads(arguments.threads)
    torch.manual_seed(0)
    face_filter = snowai.FaceFilter(EyeMaskInput(create_model("se_unet_base")))
    frames = list(camera(arguments.frames))
    exported = in_onnxruntime(face_filter, arguments.threads)
    kinds: dict[str, dict[str, Any]] = {
        "ONNX Runtime": {"draw": exported},
        "ONNX Runtime, landmarks every 2nd frame": {"draw": exported, "landmarks_every": 2},
        "torch": {},
    }
    rounds: dict[str, list[dict[str, float]]] = {kind: [] for kind in kinds}
    for _ in range(arguments.rounds):
        for kind, options in kinds.items():
            rounds[kind].append(run(FrameFilter(face_filter, max_faces=1, **options), frames))
    write_section("frame", table(rounds, arguments) + "\n\n" + flicker(list(camera(40, noise=0.0))))


def camera(count: int, noise: float = 2.0) -> Iterator[NDArray[np.uint8]]:
    """Yield frames of a photo that drifts."""
    picture, chance = astronaut(), np.random.default_rng(0)
    for number in range(count):
        scale = 1.9 + 0.05 * np.sin(number / 15)
        x, y = -180 + 20 * np.sin(number / 10), 5 * np.cos(number / 7)
        matrix = np.float32([[scale, 0, -x], [0, scale, -y]])
        frame = cv2.warpAffine(picture, matrix, (1280, 720), borderMode=cv2.BORDER_REFLECT)
        grain = chance.normal(0, noise, frame.shape)
        yield np.clip(frame + grain, 0, 255).astype(np.uint8)


def in_onnxruntime(face_filter: snowai.FaceFilter, threads: int) -> Callable[[Tensor, Tensor], Any]:
    """Return a function that draws crops with the exported network."""
    network = prepare_for_inference(face_filter.network)
    inputs = torch.rand(1, 3, 256, 256), torch.rand(1, 1, 256, 256)
    session = session_of(onnx_bytes(network, *inputs), threads)
    names = [wanted.name for wanted in session.get_inputs()]

    def draw(images: Tensor, masks: Tensor) -> Tensor:
        feed = dict(zip(names, (images.contiguous().numpy(), masks.numpy()), strict=True))
        return torch.from_numpy(session.run(None, feed)[0])

    return draw


def run(path: FrameFilter, frames: list[NDArray[np.uint8]]) -> dict[str, float]:
    """Return the mean seconds of each stage, and of whole frames, without the first ten."""
    spent: dict[str, list[float]] = {name: [] for name in (*STAGES, "whole")}
    for number, frame in enumerate(frames):
        ticks = [time.perf_counter()]
        faces = path.faces = path.find(frame, number / 30)
        ticks.append(time.perf_counter())
        crops, masks = path.cut(frame, faces)
        ticks.append(time.perf_counter())
        drawn = path.run(crops, masks)
        ticks.append(time.perf_counter())
        filtered = frame.copy()
        for tracked, picture in zip(faces, drawn, strict=True):
            path.lay(filtered, picture, tracked.matrix.numpy())
        ticks.append(time.perf_counter())
        if number >= 10:
            for name, start, end in zip(STAGES, ticks, ticks[1:], strict=False):
                spent[name].append(end - start)
            spent["whole"].append(ticks[-1] - ticks[0])
    return {name: statistics.fmean(seconds) for name, seconds in spent.items()}


def table(rounds: dict[str, list[dict[str, float]]], arguments: Arguments) -> str:
    """Return the stages as Markdown."""
    lines = [
        f"One face in frames of 1280 x 720, crops of 256, {arguments.threads} threads, "
        f"{arguments.frames} frames, the best of {arguments.rounds} interleaved runs, in "
        "milliseconds a frame. Command: `nox -s bench -- frame`",
        "",
        "| network in | " + " | ".join(STAGES) + " | whole | frames a second |",
        "|---|" + "---|" * (len(STAGES) + 2),
    ]
    for kind, runs in rounds.items():
        best = min(runs, key=lambda one: one["whole"])
        cells = [f"{best[name] * 1e3:.1f}" for name in (*STAGES, "whole")]
        lines.append(f"| {kind} | " + " | ".join(cells) + f" | {1 / best['whole']:.0f} |")
    return "\n".join(lines)


def flicker(frames: list[NDArray[np.uint8]]) -> str:
    """Return jitter and flicker of the shipped filter with and without smoothing."""
    toon = snowai.FaceFilter.from_pretrained("toon")
    chance = np.random.default_rng(1)
    noisy = [
        np.clip(frame + chance.normal(0, 8, frame.shape), 0, 255).astype(np.uint8)
        for frame in frames
    ]
    seen = torch.stack([to_tensor(frame) for frame in frames[10:]])
    lines = [
        "Landmark jitter in shares of the face's width, and flicker beyond the camera's movement "
        "(warping error), both times 1,000; noise of 8 levels.",
        "",
        "| | landmark jitter | warping error |",
        "|---|---|---|",
        f"| the camera's frames | | {warping_error(seen, seen) * 1e3:.2f} |",
    ]
    for title, smooth in (("as found", False), ("smoothed", True)):
        path, drawn, places = FrameFilter(toon, smooth=smooth), [], []
        for number, (clean, frame) in enumerate(zip(frames, noisy, strict=True)):
            faces, picture = path.find(frame, number / 30), clean.copy()
            path.lay(picture, path.run(*path.cut(clean, faces))[0], faces[0].matrix.numpy())
            drawn.append(to_tensor(picture))
            places.append(faces[0].face.points)
        error = warping_error(torch.stack(drawn[10:]), seen)
        jitter = landmark_jitter(places[10:])
        lines.append(f"| {title} | {jitter * 1e3:.2f} | {error * 1e3:.2f} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main(tyro.cli(Arguments))

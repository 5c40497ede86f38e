"""How large and how fast the presets are, beside well-known generators and anybody's .onnx.

    nox -s bench -- networks [--size 256] [--peers ../shared/data/peers/*.onnx]

Peers: AnimeGANv2's, pix2pixHD-like and pix2pix's generators (textbook_networks.py), the Unet of
segmentation_models_pytorch on a MobileNetV3-small encoder, and .onnx files with one picture as
input. All take turns in one process; a ratio is the median over rounds of a network's time to
se_unet_base's in the same round, so that a busy machine slows both.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import segmentation_models_pytorch as smp
import torch
import tyro
from results import write_section
from textbook_networks import TEXTBOOK
from timing import in_onnxruntime, in_torch, interleave, onnx_bytes, ratio, typical
from torch import nn

from snowai.models import create_model, list_models, model_cost, prepare_for_inference

REFERENCE = "se_unet_base"


@dataclass(frozen=True)
class Arguments:
    """What to measure.

    Args:
        size: Side of the images, in pixels.
        threads: Of each runtime.
        rounds: Times that each network is timed.
        peers: ONNX files to time besides, e.g. ../shared/data/peers/*.onnx.
    """

    size: int = 256
    threads: int = 2
    rounds: int = 15
    peers: tuple[Path, ...] = ()


def main(arguments: Arguments) -> None:
    """Measure every network and write the table."""
    torch.set_num_threads(arguments.threads)
    image = torch.rand(1, 4, arguments.size, arguments.size)
    networks = make_networks()
    inputs = {name: image if name in list_models() else image[:, :3] for name in networks}
    sizes = {name: model_cost(network, inputs[name]) for name, network in networks.items()}
    torch_calls = {name: in_torch(network, inputs[name]) for name, network in networks.items()}
    onnx_calls: dict[str, Callable[[], object]] = {
        name: in_onnxruntime(
            onnx_bytes(network, inputs[name]), inputs[name], threads=arguments.threads
        )
        for name, network in networks.items()
    }
    for peer in arguments.peers:
        onnx_calls[peer.name] = in_onnxruntime(peer, image[:, :3], threads=arguments.threads)
    in_torch_rounds = interleave(torch_calls, arguments.rounds)
    in_onnx_rounds = interleave(onnx_calls, arguments.rounds)
    peers = " --peers ../shared/data/peers/*.onnx" if arguments.peers else ""
    lines = [
        f"Batch 1, {arguments.size} x {arguments.size}, {arguments.threads} threads, "
        f"{arguments.rounds} interleaved rounds; ours take 4 channels and are folded. Command: "
        f"`nox -s bench -- networks --size {arguments.size}{peers}`. Ratios are to {REFERENCE} in "
        "the same round (medians); milliseconds are this machine's.",
        "",
        "| network | M parameters | GMAC | torch, ratio (ms) | ONNX Runtime, ratio (ms) |",
        "|---|---|---|---|---|",
    ]
    for name in onnx_calls:
        parameters, macs = sizes.get(name, (0, 0))
        cells = [
            name,
            f"{parameters / 1e6:.2f}" if parameters else "",
            f"{macs / 1e9:.2f}" if macs else "",
            *(
                f"{ratio(rounds, name, REFERENCE):.2f} ({typical(rounds, name):.1f})"
                if name in rounds[0]
                else ""
                for rounds in (in_torch_rounds, in_onnx_rounds)
            ),
        ]
        lines.append("| " + " | ".join(cells) + " |")
    write_section(f"networks at {arguments.size}", "\n".join(lines))


def make_networks() -> dict[str, nn.Module]:
    """Return our presets, folded, and the peers."""
    ours = {name: prepare_for_inference(create_model(name)) for name in list_models("se_unet*")}
    peers = {name: make().eval() for name, make in TEXTBOOK.items()}
    unet = smp.Unet("timm-mobilenetv3_small_100", encoder_weights=None, classes=3).eval()
    return ours | peers | {"smp Unet, MobileNetV3-small": unet}


if __name__ == "__main__":
    main(tyro.cli(Arguments))

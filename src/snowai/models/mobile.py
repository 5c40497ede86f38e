"""From a trained network to one that a phone runs: fold it, and ask whether phones can."""

import copy
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import torch
from torch import nn

from snowai.layers import ConvNormAct, RepConvNormAct

__all__ = ["assert_mobile_ready", "mobile_problems", "prepare_for_inference"]

ModuleT = TypeVar("ModuleT", bound=nn.Module)


def prepare_for_inference(network: ModuleT) -> ModuleT:
    """Return a copy for running only: BatchNorm and branches folded, channels_last, no gradients.

    Args:
        network: Any module; its :class:`snowai.layers.ConvNormAct` and
            :class:`snowai.layers.RepConvNormAct` parts are folded.

    Returns:
        The copy, in evaluation mode. Its pictures equal the network's within rounding. It can no
        longer be trained or saved as a checkpoint: keep the network for that.

    Example:
        >>> network = snowai.create_model("se_unet_tiny").eval()
        >>> image = torch.rand(1, 4, 64, 64)
        >>> ready = prepare_for_inference(network)
        >>> torch.allclose(ready(image), network(image), atol=1e-5)
        True
    """
    ready = copy.deepcopy(network).eval()
    for part in list(ready.modules()):
        part.__dict__.pop("_config_class", None)  # A folded network is no checkpoint.
    for part in list(ready.modules()):
        if isinstance(part, ConvNormAct | RepConvNormAct):
            part.fold()
    return ready.requires_grad_(False).to(memory_format=torch.channels_last)


def mobile_problems(network: nn.Module, *inputs: torch.Tensor) -> list[str]:
    """Return what phones' NPUs reject in a network, one line for each operation.

    The network is traced on the inputs, so functional calls are found as well as layers. Rejected
    are transposed and dilated convolutions, norms that need the picture's own statistics, padding
    other than zeros, resizing other than nearest and bilinear without ``align_corners``, even
    kernels, channels that are no multiple of 8 (from 8 on), attention, and whatever else is no
    plain arithmetic. The list is what Core ML's Neural Engine, NNAPI and QNN delegates have in
    common.

    Args:
        network: Any module.
        inputs: What it is called with, e.g. :math:`(1, 4, 256, 256)`.

    Example:
        >>> mobile_problems(nn.Sequential(nn.GELU()), torch.rand(1, 8, 4, 4))
        ['0: gelu is no operation of phone NPUs']
    """
    program = torch.export.export(copy.deepcopy(network).eval(), inputs)
    calls = [node for node in program.graph.nodes if node.op == "call_function"]
    found = ((_layer(call), _problem(_operation(call), _arguments(call))) for call in calls)
    return [f"{layer}: {problem}" for layer, problem in found if problem]


def assert_mobile_ready(network: nn.Module, *inputs: torch.Tensor) -> None:
    """Refuse a network that phones' NPUs would refuse.

    Args:
        network: Any module.
        inputs: What it is called with.

    Raises:
        ValueError: Names every layer that is rejected, and why; see :func:`mobile_problems`.

    Example:
        >>> assert_mobile_ready(snowai.create_model("se_unet_tiny"), torch.rand(1, 4, 64, 64))
    """
    problems = mobile_problems(network, *inputs)
    if problems:
        listed = "\n".join(f"  {problem}" for problem in problems)
        raise ValueError(f"Phones' NPUs would reject {type(network).__name__}:\n{listed}")


_PLAIN = {  # Arithmetic, activations and moves that every phone runtime has.
    "add", "sub", "rsub", "mul", "div", "neg", "pow", "sqrt", "mean", "clamp",
    "relu", "relu6", "hardtanh", "hardswish", "hardsigmoid", "sigmoid", "tanh", "leaky_relu",
    "avg_pool2d", "max_pool2d", "batch_norm", "dropout", "pixel_shuffle", "pixel_unshuffle",
    "cat", "slice", "narrow", "select", "split", "split_with_sizes", "chunk", "getitem",
    "view", "reshape", "permute", "flatten", "squeeze", "unsqueeze", "expand",
    "alias", "detach", "clone", "contiguous", "to", "_to_copy",
}  # fmt: skip


def _problem(name: str, arguments: Mapping[str, Any]) -> str | None:
    """Return what is wrong with one operation, or None."""
    if name in _CHECKS:
        return _CHECKS[name](arguments)
    return None if name in _PLAIN else f"{name} is no operation of phone NPUs"


def _convolution_problem(arguments: Mapping[str, Any]) -> str | None:
    outputs, _, *kernel = arguments["weight"].meta["val"].shape
    if any(side % 2 == 0 for side in kernel):
        return f"an even kernel {tuple(kernel)} pads unlike on the left and on the right"
    if any(step != 1 for step in arguments["dilation"]):
        return f"dilation {tuple(arguments['dilation'])} runs on the CPU"
    on_a_map = arguments["input"].meta["val"].shape[-1] > 1  # Not squeeze-and-excitation's vector.
    if on_a_map and outputs > 8 and outputs % 8:
        return f"{outputs} channels are no multiple of 8"
    return None


def _pad_problem(arguments: Mapping[str, Any]) -> str | None:
    mode = arguments["mode"]
    return None if mode == "constant" else f"{mode} padding runs on the CPU; use zeros"


def _resize_problem(arguments: Mapping[str, Any]) -> str | None:
    return "align_corners=True differs between runtimes" if arguments["align_corners"] else None


def _pool_problem(arguments: Mapping[str, Any]) -> str | None:
    size = tuple(arguments["output_size"])
    return None if size == (1, 1) else f"adaptive pooling to {size} is none of theirs; (1, 1) is"


_CHECKS: Mapping[str, Callable[[Mapping[str, Any]], str | None]] = {
    "conv2d": _convolution_problem,
    "pad": _pad_problem,
    "upsample_nearest2d": lambda _: None,
    "upsample_bilinear2d": _resize_problem,
    "adaptive_avg_pool2d": _pool_problem,
    "conv_transpose2d": lambda _: "a transposed convolution; resize and convolve instead",
    "instance_norm": lambda _: "its statistics come from the picture; BatchNorm folds away",
    "group_norm": lambda _: "its statistics come from the picture; BatchNorm folds away",
    "layer_norm": lambda _: "its statistics come from the picture; BatchNorm folds away",
}


def _arguments(node: Any) -> dict[str, Any]:
    """Return an operation's arguments by name, defaults included."""
    schema = getattr(node.target, "_schema", None)
    if schema is None:
        return {}
    named = {argument.name: argument.default_value for argument in schema.arguments}
    names = [argument.name for argument in schema.arguments]
    return named | dict(zip(names, node.args, strict=False)) | dict(node.kwargs)


def _operation(node: Any) -> str:
    """Return the operation's name, without overload and without the underscore of in-place."""
    target = node.target
    name = target.overloadpacket.__name__ if hasattr(target, "overloadpacket") else target.__name__
    return str(name).rstrip("_")


def _layer(node: Any) -> str:
    """Return the dotted name of the layer that an operation belongs to."""
    stack = list((node.meta.get("nn_module_stack") or {}).values())
    return (stack[-1][0] if stack else "") or "forward"

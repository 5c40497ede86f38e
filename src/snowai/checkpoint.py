"""One .safetensors file that knows what it is: weights, class, config and provenance.

The header is JSON and the body is numbers, so opening a stranger's file runs nothing. The classes
that a file may name are the ones in :data:`KNOWN_CLASSES`, plus those a caller hands in.
"""

import functools
import importlib
import inspect
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as to_safetensors
from torch import Tensor, nn

from snowai._files import write_bytes

__all__ = [
    "KNOWN_CLASSES",
    "Header",
    "config_of",
    "keeps_config",
    "load",
    "load_weights",
    "read_header",
    "save",
]

KNOWN_CLASSES: Mapping[str, str] = {
    "SEUNet": "snowai.models.unet",
    "EditNet": "snowai.models.edit",
    "PatchDiscriminator": "snowai.models.discriminator",
    "MultiScaleDiscriminator": "snowai.models.discriminator",
    "ComponentDiscriminator": "snowai.models.discriminator",
    "FaceDiscriminator": "snowai.models.discriminator",
    "EyeMaskInput": "snowai.models.eye_mask",
    "StyleGAN2Generator": "snowai.models.stylegan2",
    "StyleGAN2Discriminator": "snowai.models.stylegan2",
    "FaceFilter": "snowai.filters",
    "PhotoFilter": "snowai.filters",
}
"""Class name in a header -> module that defines it."""

_KEY = "snowai"  # Of the header's entry; safetensors metadata is a flat dict of strings.

ModuleT = TypeVar("ModuleT", bound=nn.Module)


@dataclass(frozen=True)
class Header:
    """What a checkpoint says of itself.

    Args:
        class_name: Class of the stored module.
        config: Constructor arguments; plain values, and for wrapped modules their own description.
        provenance: Free facts: data, licence, command, steps, metrics.
        version: Of snowai, when the file was written.
    """

    class_name: str
    config: Mapping[str, Any]
    provenance: Mapping[str, Any] = field(default_factory=dict)
    version: str = ""


def keeps_config(cls: type[ModuleT]) -> type[ModuleT]:
    """Class decorator: remember the constructor's arguments, so that a file can rebuild the module.

    Arguments must be plain values (numbers, strings, booleans, None, lists of these) or modules
    that keep their config themselves.

    Example:
        >>> @keeps_config
        ... class Scale(nn.Module):
        ...     def __init__(self, factor: float = 2.0) -> None:
        ...         super().__init__()
        ...         self.factor = factor
        >>> config_of(Scale(3.0))
        {'class': 'Scale', 'config': {'factor': 3.0}}
    """
    build = cls.__init__
    signature = inspect.signature(build)

    @functools.wraps(build)
    def remember(self: nn.Module, *args: Any, **kwargs: Any) -> None:
        build(self, *args, **kwargs)
        bound = signature.bind(self, *args, **kwargs)
        bound.apply_defaults()
        values = dict(list(bound.arguments.items())[1:])
        # Modules are described when asked, from the attribute of the same name: they may change.
        self.__dict__["_config"] = {
            name: None if isinstance(value, nn.Module) else _plain(value, f"{cls.__name__}.{name}")
            for name, value in values.items()
        }
        self.__dict__["_config_class"] = cls

    cls.__init__ = remember  # type: ignore[method-assign]
    return cls


def config_of(module: nn.Module) -> dict[str, Any]:
    """Return ``{"class": ..., "config": ...}``, enough to build an equal module.

    Raises:
        ValueError: The module's class is not decorated with :func:`keeps_config`.
    """
    if module.__dict__.get("_config_class") is not type(module):
        raise ValueError(
            f"{type(module).__name__} does not keep its config, so a file could not rebuild it; "
            "decorate the class with snowai.checkpoint.keeps_config."
        )
    config = {
        name: config_of(getattr(module, name))
        if isinstance(getattr(module, name, None), nn.Module)
        else value
        for name, value in module.__dict__["_config"].items()
    }
    return {"class": type(module).__name__, "config": config}


def save(
    module: nn.Module,
    path: str | Path,
    *,
    provenance: Mapping[str, Any] | None = None,
    dtype: torch.dtype | None = None,
) -> None:
    """Write a module to one .safetensors file, atomically.

    Args:
        module: Of a class that keeps its config; see :func:`keeps_config`.
        path: File to write.
        provenance: Facts for the header, e.g. ``{"licence": "Apache-2.0", "steps": 4000}``.
        dtype: Store floating-point weights as this, e.g. ``torch.float16`` for half the size.

    Raises:
        ValueError: The class keeps no config, or the provenance is no JSON.
        OSError: Nothing could be written; a file that was there before is untouched.

    Example:
        >>> import tempfile, snowai
        >>> path = Path(tempfile.mkdtemp()) / "tiny.safetensors"
        >>> save(snowai.create_model("se_unet_tiny"), path, provenance={"style": "none yet"})
        >>> read_header(path).class_name, read_header(path).provenance
        ('SEUNet', {'style': 'none yet'})
    """
    from snowai import __version__

    about = config_of(module) | {
        "provenance": _plain(dict(provenance or {}), "provenance"),
        "version": __version__,
    }
    weights = {name: _stored(tensor, dtype) for name, tensor in module.state_dict().items()}
    write_bytes(path, to_safetensors(weights, metadata={_KEY: json.dumps(about)}))


def load(
    path: str | Path,
    *,
    device: str | torch.device = "cpu",
    classes: Mapping[str, type[nn.Module]] | None = None,
) -> nn.Module:
    """Rebuild the module that a checkpoint holds, in evaluation mode.

    Args:
        path: File written by :func:`save`.
        device: Where the weights go.
        classes: Further classes by name, for networks of your own.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The file is damaged, a pickle, of an unknown class, or its weights do not fit.
    """
    header = read_header(path)
    about = {"class": header.class_name, "config": header.config}
    module = _build(about, classes or {}, Path(path))
    load_weights(module, path)
    return module.to(device).eval()


def load_weights(module: nn.Module, path: str | Path) -> None:
    """Copy a checkpoint's weights into a module; every name and shape must fit.

    Raises:
        ValueError: Names or shapes differ, with the first culprits; the module is unchanged.
    """
    path = Path(path)
    with _open(path) as file:
        stored = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    wanted = module.state_dict()
    if stored.keys() != wanted.keys():
        odd = sorted(stored.keys() ^ wanted.keys())
        raise ValueError(
            f"{path} does not fit {type(module).__name__}: {len(odd)} names differ, e.g. {odd[:3]}."
        )
    for name, tensor in stored.items():
        if tensor.shape != wanted[name].shape:
            raise ValueError(
                f"{path} does not fit {type(module).__name__}: {name} is {tuple(tensor.shape)} "
                f"in the file and {tuple(wanted[name].shape)} in the network."
            )
    module.load_state_dict(stored)


def read_header(path: str | Path) -> Header:
    """Read what a checkpoint says of itself, without its weights.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The file is no safetensors file, or not one of ours.
    """
    path = Path(path)
    with _open(path) as file:
        metadata = file.metadata() or {}
    try:
        about = json.loads(metadata[_KEY])
        return Header(about["class"], about["config"], about["provenance"], about["version"])
    except (KeyError, TypeError, json.JSONDecodeError):
        raise ValueError(
            f"{path} is a safetensors file, but not a snowai checkpoint: its header has no "
            f"readable '{_KEY}' entry. Use load_weights to fill a network that you build yourself."
        ) from None


def _open(path: Path) -> Any:
    if not path.is_file():
        raise FileNotFoundError(f"There is no checkpoint {path}.")
    try:
        return safe_open(path, framework="pt")
    except SafetensorError as error:
        with path.open("rb") as file:
            start = file.read(4)
        pickled = start[:2] in (b"PK", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")
        what = (
            "looks like a pickle (.pt, .pkl); those can run code and are never opened here"
            if pickled
            else f"is truncated or no safetensors file ({error})"
        )
        raise ValueError(f"{path} {what}.") from None


def _build(
    about: Mapping[str, Any], classes: Mapping[str, type[nn.Module]], path: Path
) -> nn.Module:
    cls = _class_named(about["class"], classes, path)
    config = {
        name: _build(value, classes, path)
        if isinstance(value, Mapping) and value.keys() == {"class", "config"}
        else value
        for name, value in about["config"].items()
    }
    try:
        return cls(**config)
    except TypeError as error:
        raise ValueError(f"{path}: {cls.__name__} cannot be built from {config}: {error}") from None


def _class_named(name: str, classes: Mapping[str, type[nn.Module]], path: Path) -> type[nn.Module]:
    if name in classes:
        return classes[name]
    if name not in KNOWN_CLASSES:
        known = ", ".join([*KNOWN_CLASSES, *classes])
        raise ValueError(
            f"{path} holds a {name!r}; known: {known}. Pass classes={{...}} for yours."
        )
    cls: type[nn.Module] = getattr(importlib.import_module(KNOWN_CLASSES[name]), name)
    return cls


def _stored(tensor: Tensor, dtype: torch.dtype | None) -> Tensor:
    """Detach, cast and copy: safetensors refuses tensors that share memory."""
    tensor = tensor.detach().cpu()
    return (tensor.to(dtype) if dtype and tensor.is_floating_point() else tensor).clone(
        memory_format=torch.contiguous_format
    )


def _plain(value: Any, name: str) -> Any:
    """Return ``value`` as JSON keeps it, or say why it cannot."""
    try:
        return json.loads(json.dumps(value))
    except (TypeError, ValueError):
        raise ValueError(
            f"{name} must be a plain value (number, string, list, dict); got {value!r}."
        ) from None

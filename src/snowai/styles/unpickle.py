"""Read the numbers out of a stranger's pickle without running anything in it.

A pickle is a program. Ours is read twice: first as a listing, where anything that asks for more
memory than the file could fill is refused; then by an unpickler that knows a handful of names,
each of them replaced by an inert record, and refuses every other name.
"""

import io
import pickle  # noqa: TID251 - every name that a file may call is listed below.
import pickletools
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

__all__ = ["Record", "read_pickle"]

_MAX_OPCODES = 5_000_000


@dataclass
class Record:
    """A persistent object of NVIDIA's: the name of its class, and its state as plain data.

    The source code that the file carries is dropped unread.
    """

    class_name: str
    state: Mapping[str, Any]

    def tensors(self, prefix: str = "", depth: int = 0) -> dict[str, Tensor]:
        """Return parameters and buffers by dotted name, as ``state_dict`` would."""
        if depth > 16:
            raise ValueError("The modules are nested more than 16 deep; no network is.")
        found: dict[str, Tensor] = {}
        for kind in ("_parameters", "_buffers"):
            for name, value in _mapping(self.state.get(kind)).items():
                if isinstance(value, _Stored):
                    found[f"{prefix}{name}"] = value.tensor()
        for name, value in _mapping(self.state.get("_modules")).items():
            if isinstance(value, Record):
                found |= value.tensors(f"{prefix}{name}.", depth + 1)
        return found


@dataclass
class _Stored:
    """A tensor that was not built yet: numbers, and how they are laid out."""

    storage: Any
    offset: int
    size: tuple[int, ...]
    stride: tuple[int, ...]

    def tensor(self) -> Tensor:
        """Copy the numbers, once it is sure that the layout lies inside them."""
        if not isinstance(self.storage, torch.storage.TypedStorage):
            raise ValueError("A tensor in the file has no storage.")
        flat = torch.tensor([], dtype=self.storage.dtype).set_(self.storage)
        numbers = (self.offset, *self.size, *self.stride)
        plain = all(isinstance(number, int) and number >= 0 for number in numbers)
        if not plain or len(self.size) != len(self.stride) or len(self.size) > 8:
            raise ValueError(f"A tensor in the file has an impossible layout: {self.size}.")
        last = self.offset + sum(
            (n - 1) * step for n, step in zip(self.size, self.stride, strict=True)
        )
        count = 1
        for n in self.size:
            count *= n
        if count > flat.numel() or (count and last >= flat.numel()):
            raise ValueError(
                f"A tensor of shape {self.size} does not fit its {flat.numel()} stored numbers."
            )
        return flat.as_strided(self.size, self.stride, self.offset).clone()


def read_pickle(path: str | Path) -> Any:
    """Return a pickle's contents with every object replaced by inert data.

    Raises:
        ValueError: The pickle names anything but NVIDIA's network records and plain containers,
            asks for more memory than it has bytes, or is damaged. Nothing of it was run.
    """
    data = Path(path).read_bytes()
    try:
        _check_listing(data)
        return _Unpickler(io.BytesIO(data)).load()
    except ValueError as error:
        raise ValueError(f"{path} is refused: {error}") from None
    except (pickle.UnpicklingError, EOFError, IndexError, KeyError, TypeError) as error:
        raise ValueError(f"{path} is damaged, or no pickle of a network ({error}).") from None
    except (AttributeError, RuntimeError, MemoryError, RecursionError, OverflowError) as error:
        raise ValueError(
            f"{path} is refused: it is put together as no network is ({type(error).__name__})."
        ) from None


def _check_listing(data: bytes) -> None:
    """Refuse what would take memory before it could be judged, without running an opcode."""
    for count, (opcode, argument, _) in enumerate(pickletools.genops(data)):
        if count > _MAX_OPCODES:
            raise ValueError("it has more instructions than any network needs.")
        memo = opcode.name in ("PUT", "BINPUT", "LONG_BINPUT")
        if memo and not 0 <= int(argument or 0) <= count:
            raise ValueError(f"it numbers an object {argument} that cannot exist yet.")
        if opcode.name in ("PERSID", "BINPERSID", "EXT1", "EXT2", "EXT4", "INST", "OBJ"):
            raise ValueError(f"it uses the instruction {opcode.name}, which no network needs.")


class _Unpickler(pickle.Unpickler):
    """Knows the names in :data:`_KNOWN`, and nothing else."""

    def find_class(self, module: str, name: str) -> Any:
        if module.startswith("dnnlib.tflib"):
            raise ValueError(
                "it is a TensorFlow pickle. Save it as PyTorch with NVIDIA's legacy.py first."
            )
        if (module, name) not in _KNOWN:
            raise ValueError(
                f"it asks for {module}.{name}. Only network records of stylegan2-ada-pytorch and "
                "stylegan3 are read, and nothing in a file is ever run."
            )
        return _KNOWN[module, name]


def _record(meta: Mapping[str, Any]) -> Record:
    meta = _mapping(meta)
    name, state = meta.get("class_name"), meta.get("state")
    if meta.get("type") != "class" or not isinstance(name, str) or not isinstance(state, Mapping):
        raise ValueError("it holds a persistent object without a class name or state.")
    return Record(name, state)


def _stored(
    storage: Any, offset: int, size: Any, stride: Any, *_: Any
) -> _Stored:  # Whether it needs a gradient, and hooks, do not matter.
    return _Stored(storage, offset, tuple(size), tuple(stride))


def _bytes(text: Any, codec: Any) -> bytes:
    """Return bytes as old pickle protocols write them: as text."""
    if not isinstance(text, str) or codec != "latin1":
        raise ValueError("it holds bytes in an unknown form.")
    return text.encode("latin1")


def _parameter(data: Any, *_: Any) -> Any:
    return data


def _storage(data: bytes) -> Any:
    """Read a storage that torch wrote inside the pickle; torch's own safe reader takes it."""
    if not isinstance(data, bytes):
        raise ValueError("it holds a storage that is no bytes.")
    _check_claims(data)
    # weights_only builds tensors and storages, and refuses everything else.
    try:
        loaded = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)  # noqa: TID251
    except pickle.UnpicklingError:
        raise ValueError("a storage in it holds more than numbers.") from None
    if not isinstance(loaded, torch.storage.TypedStorage):
        raise ValueError("it holds bytes that are no storage.")
    return loaded


def _check_claims(data: bytes) -> None:
    """Refuse a storage that claims more numbers than it has bytes: torch would make room first.

    A storage is a few small pickles, one after another, and then the raw numbers.
    """
    most = max(len(data), 4096)
    stream = io.BytesIO(data)
    for _ in range(4):
        try:
            listing = list(pickletools.genops(stream))
        except ValueError:
            return  # The raw numbers began, or torch will say what is wrong.
        for opcode, argument, _position in listing:
            if isinstance(argument, int) and opcode.name != "LONG1" and argument > most:
                raise ValueError("it claims more numbers than it has bytes.")


class _Inert(dict[str, Any]):
    """Stands for NVIDIA's EasyDict."""


def _nothing(*_: Any, **__: Any) -> None:
    """Stands for objects that say nothing about a network: devices, numpy scalars, hooks."""


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


_KNOWN: Mapping[tuple[str, str], Callable[..., Any]] = {
    ("torch_utils.persistence", "_reconstruct_persistent_obj"): _record,
    ("torch._utils", "_rebuild_tensor_v2"): _stored,
    ("torch._utils", "_rebuild_parameter"): _parameter,
    ("torch.storage", "_load_from_bytes"): _storage,
    ("torch", "device"): _nothing,
    ("collections", "OrderedDict"): OrderedDict,
    ("_codecs", "encode"): _bytes,
    ("builtins", "set"): frozenset,
    ("__builtin__", "set"): frozenset,
    ("dnnlib.util", "EasyDict"): _Inert,
    ("dnnlib", "EasyDict"): _Inert,
    ("numpy.core.multiarray", "scalar"): _nothing,
    ("numpy._core.multiarray", "scalar"): _nothing,
    ("numpy", "dtype"): _nothing,
}

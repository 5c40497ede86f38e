"""Networks by name: shipped with the package, in a folder, or on the Hugging Face Hub."""

import json
import tempfile
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

import torch
from torch import nn

from snowai._files import write_text
from snowai.checkpoint import config_of, load, read_header, save

__all__ = [
    "find_checkpoint",
    "from_pretrained",
    "list_shipped",
    "push_to_hub",
    "save_pretrained",
]

WEIGHTS_NAME = "model.safetensors"


def from_pretrained(
    name: str | Path,
    *,
    device: str | torch.device = "cpu",
    classes: Mapping[str, type[nn.Module]] | None = None,
) -> nn.Module:
    """Load a module by file, folder, shipped name or Hub id, in that order.

    Args:
        name: A .safetensors file; a folder written by :func:`save_pretrained`; a name from
            :func:`list_shipped`, e.g. ``"toon"``; or a Hub id ``"owner/name"``.
        device: Where the weights go.
        classes: Further classes by name, for networks of your own.

    Raises:
        FileNotFoundError: Nothing of that name, here or within reach on the Hub.
        ValueError: The file is no checkpoint of ours; see :func:`snowai.checkpoint.load`.

    Example:
        >>> type(from_pretrained("toon")).__name__
        'FaceFilter'
    """
    return load(find_checkpoint(name), device=device, classes=classes)


def list_shipped() -> list[str]:
    """Return the names of the checkpoints that the package carries.

    Example:
        >>> "toon" in list_shipped()
        True
    """
    return sorted(path.stem for path in _shipped_folder().glob("*.safetensors"))


def save_pretrained(
    module: nn.Module,
    folder: str | Path,
    *,
    provenance: Mapping[str, Any] | None = None,
    dtype: torch.dtype | None = None,
) -> None:
    """Write a Hub-style folder: model.safetensors, config.json and a README.md card.

    Args:
        module: Of a class that keeps its config.
        folder: Made when missing.
        provenance: Facts for the header and the card: data, licence, command, metrics.
        dtype: Store floating-point weights as this.
    """
    folder = Path(folder)
    save(module, folder / WEIGHTS_NAME, provenance=provenance, dtype=dtype)
    write_text(folder / "config.json", json.dumps(config_of(module), indent=2) + "\n")
    write_text(folder / "README.md", _card(folder / WEIGHTS_NAME))


def push_to_hub(
    module: nn.Module,
    repo_id: str,
    *,
    provenance: Mapping[str, Any] | None = None,
    private: bool = True,
    token: str | None = None,
) -> str:
    """Upload a module to the Hugging Face Hub and return the address of the commit.

    Args:
        module: Of a class that keeps its config.
        repo_id: ``"owner/name"``; made when missing.
        provenance: Facts for the header and the card.
        private: Visibility of a new repository.
        token: Hub token; without it, the one of ``hf auth login``.
    """
    from huggingface_hub import HfApi

    api = HfApi(token=token)
    with tempfile.TemporaryDirectory() as folder:
        save_pretrained(module, folder, provenance=provenance)
        api.create_repo(repo_id, private=private, exist_ok=True)
        return str(api.upload_folder(repo_id=repo_id, folder_path=folder))


def find_checkpoint(name: str | Path) -> Path:
    """Return the file that :func:`from_pretrained` would open.

    Raises:
        FileNotFoundError: Nothing of that name, here or within reach on the Hub.
    """
    path = Path(name)
    name = str(name)
    if path.is_dir():
        return path / WEIGHTS_NAME
    if path.is_file() or path.suffix == ".safetensors":
        return path
    shipped = _shipped_folder() / f"{name}.safetensors"
    if shipped.is_file():
        return shipped
    if name.count("/") != 1 or name.startswith((".", "/")):
        raise FileNotFoundError(
            f"There is no checkpoint {name!r}: no such file or folder, not shipped "
            f"({', '.join(list_shipped())}), and no Hub id 'owner/name'."
        )
    return _download(name)


def _download(repo_id: str) -> Path:
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        return Path(hf_hub_download(repo_id, WEIGHTS_NAME))
    except (LocalEntryNotFoundError, HfHubHTTPError, OSError) as error:
        raise FileNotFoundError(
            f"The Hub gave no {WEIGHTS_NAME} for {repo_id!r} ({type(error).__name__}). Without a "
            "connection, download the file elsewhere and pass its path."
        ) from error


def _shipped_folder() -> Path:
    return Path(str(files("snowai"))) / "weights"


def _card(path: Path) -> str:
    """Write the README of a Hub folder from the checkpoint's own header."""
    header = read_header(path)
    licence = header.provenance.get("licence", "other")
    facts = "\n".join(f"| {key} | {value} |" for key, value in header.provenance.items())
    return f"""---
library_name: snowai
license: {str(licence).lower()}
tags: [face-filter, image-to-image]
---

# {header.class_name}

```python
import snowai

network = snowai.from_pretrained("this folder, or its Hub id")
```

| fact | value |
|---|---|
{facts}

Configuration:

```json
{json.dumps(header.config, indent=2)}
```
"""

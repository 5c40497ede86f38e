"""snowai: build AI face filters, from a few hundred style pictures to a real-time network.

Names are loaded when first used, so ``import snowai`` costs little more than torch.
"""

import importlib
from typing import Any

__version__ = "0.1.0"

_HOMES = {
    "BadImage": "snowai.image",
    "BlendRecipe": "snowai.styles",
    "EditNet": "snowai.models",
    "EyeMaskInput": "snowai.models",
    "FaceFilter": "snowai.filters",
    "LPIPSLoss": "snowai.losses",
    "Landmarks": "snowai.faces",
    "MediaPipeLandmarker": "snowai.faces",
    "MultiScaleDiscriminator": "snowai.models",
    "PairDataset": "snowai.pairs",
    "PatchDiscriminator": "snowai.models",
    "PerceptualLoss": "snowai.losses",
    "PhotoFilter": "snowai.filters",
    "RenderPlan": "snowai.pairs",
    "SEUNet": "snowai.models",
    "StyleGAN2Discriminator": "snowai.models",
    "StyleGAN2Generator": "snowai.models",
    "StyleTrainConfig": "snowai.styles",
    "TrainConfig": "snowai.train",
    "blend": "snowai.styles",
    "create_model": "snowai.models",
    "filter_frames": "snowai.video",
    "filter_video": "snowai.video",
    "fit": "snowai.train",
    "from_pretrained": "snowai.hub",
    "layer_swap": "snowai.styles",
    "list_models": "snowai.models",
    "load_generator": "snowai.styles",
    "push_to_hub": "snowai.hub",
    "read_image": "snowai.image",
    "read_stylegan2": "snowai.styles",
    "render_pairs": "snowai.pairs",
    "save_pretrained": "snowai.hub",
    "train_style": "snowai.styles",
    "write_image": "snowai.image",
}

__all__ = ["__version__", *_HOMES]  # noqa: PLE0604 - strings all.


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'snowai' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)

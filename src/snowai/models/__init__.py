"""Networks: the real-time student and the discriminators that train it."""

from snowai.models.discriminator import (
    ComponentDiscriminator,
    FaceDiscriminator,
    Features,
    MultiScaleDiscriminator,
    PatchDiscriminator,
)
from snowai.models.edit import EditNet, GlobalContext, edit_base, edit_large
from snowai.models.eye_mask import EyeMaskInput, widen_input
from snowai.models.growing import grow_discriminator, grow_generator
from snowai.models.mobile import assert_mobile_ready, mobile_problems, prepare_for_inference
from snowai.models.registry import create_model, list_models, model_cost
from snowai.models.stylegan2 import (
    MappingNetwork,
    Noise,
    StyleGAN2Discriminator,
    StyleGAN2Generator,
    SynthesisNetwork,
    layer_resolution,
    stylegan2_resolutions,
)
from snowai.models.unet import (
    AlphaGate,
    SEUNet,
    se_unet_base,
    se_unet_hq,
    se_unet_large,
    se_unet_tiny,
)

__all__ = [
    "AlphaGate",
    "ComponentDiscriminator",
    "EditNet",
    "EyeMaskInput",
    "FaceDiscriminator",
    "Features",
    "GlobalContext",
    "MappingNetwork",
    "MultiScaleDiscriminator",
    "Noise",
    "PatchDiscriminator",
    "SEUNet",
    "StyleGAN2Discriminator",
    "StyleGAN2Generator",
    "SynthesisNetwork",
    "assert_mobile_ready",
    "create_model",
    "edit_base",
    "edit_large",
    "grow_discriminator",
    "grow_generator",
    "layer_resolution",
    "list_models",
    "mobile_problems",
    "model_cost",
    "prepare_for_inference",
    "se_unet_base",
    "se_unet_hq",
    "se_unet_large",
    "se_unet_tiny",
    "stylegan2_resolutions",
    "widen_input",
]

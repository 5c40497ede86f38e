"""Teach a StyleGAN2 generator a style from a few hundred pictures, or faces from scratch."""

import copy
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torchvision.utils import make_grid
from tqdm.auto import tqdm

from snowai._files import append_line
from snowai.checkpoint import config_of, save
from snowai.image import write_image
from snowai.losses import (
    Kind,
    discriminator_loss,
    generator_loss,
    lite0_features,
    path_lengths,
    r1_penalty,
    weighted_sum,
)
from snowai.models import StyleGAN2Discriminator, StyleGAN2Generator
from snowai.runs import (
    DivergedError,
    autocast,
    forget_after,
    load_state,
    make_accelerator,
    place,
    save_state,
    update_ema,
)
from snowai.styles.ada import AdaptiveAugment
from snowai.styles.config import StyleTrainConfig
from snowai.styles.latents import mix_styles
from snowai.styles.parts import drift
from snowai.styles.projected import ProjectedDiscriminator
from snowai.styles.source import source_losses

__all__ = ["StyleResult", "train_style"]

STATE = "state.safetensors"
_KINDS: Mapping[str, Kind] = {"judge": "non_saturating", "projected": "hinge"}
_ADJUST_EVERY, _LOG_EVERY = 4, 50  # Steps.
_SHEET = 32  # Pictures on a sample sheet.


@dataclass(frozen=True)
class StyleResult:
    """What a style's training leaves.

    Args:
        generator: Averaged weights, in evaluation mode.
        folder: Holds generator.safetensors, snapshots/, samples/, metrics.jsonl and the state.
        drift: How far each part moved from the start; see :func:`snowai.styles.drift`.
    """

    generator: StyleGAN2Generator
    folder: Path
    drift: Mapping[str, float]


def train_style(
    generator: StyleGAN2Generator,
    pictures: Tensor,
    folder: str | Path,
    *,
    discriminator: StyleGAN2Discriminator | None = None,
    config: StyleTrainConfig | None = None,
    perceptual: nn.Module | None = None,
    identity: nn.Module | None = None,
    resume: bool = False,
) -> StyleResult:
    """Train a generator on pictures: of a style, from a base; or of faces, from fresh weights.

    People choose a style's generator by eye, so every ``snapshot_every`` pictures a sample sheet
    and a snapshot are kept. All randomness comes from the seed and the step, so a killed run that
    resumes goes on bit by bit. Runs on several devices under ``accelerate launch``.

    Args:
        generator: Base or fresh; left as it is.
        pictures: :math:`(N, 3, R, R)` bytes, see :func:`snowai.styles.load_pictures`.
        folder: Gets generator.safetensors, snapshots, samples, metrics and the state.
        discriminator: The base's, when there is one; it saves most of the time.
        config: The run's numbers.
        perceptual: Called with two pictures; required when its source weight is above 0.
        identity: Maps a picture to an embedding :math:`(B, E)`; required alike.
        resume: Go on from the folder's state when there is one.

    Raises:
        DivergedError: A loss became infinite or no number.
        FileExistsError: The folder holds a run and ``resume`` is off.
        ValueError: Sizes differ, or a loss that the weights ask for is missing.
        ImportError: accelerate, or the projected judge's weights, are missing.
    """
    config = config or StyleTrainConfig()
    if pictures.shape[1:] != (3, generator.resolution, generator.resolution):
        raise ValueError(
            f"pictures must be (N, 3, {generator.resolution}, {generator.resolution}) for this "
            f"generator; got {tuple(pictures.shape)}."
        )
    for name, module in (("perceptual", perceptual), ("identity", identity)):
        if getattr(config.source, name) > 0 and module is None:
            raise ValueError(f"source.{name} is above 0 but there is no {name}=... to measure it.")
    with torch.random.fork_rng():
        torch.manual_seed(config.seed)
        run = _Run(generator, pictures, Path(folder), config, discriminator)
        run.perceptual, run.identity = perceptual, identity
        return run.go(resume=resume)


class _Run:
    """One call of :func:`train_style`."""

    perceptual: nn.Module | None
    identity: nn.Module | None

    def __init__(
        self,
        generator: StyleGAN2Generator,
        pictures: Tensor,
        folder: Path,
        config: StyleTrainConfig,
        discriminator: StyleGAN2Discriminator | None,
    ) -> None:
        self.config, self.folder, self.pictures = config, folder, pictures
        self.accelerator = make_accelerator()
        self.device = self.accelerator.device
        self.source = place(copy.deepcopy(generator), self.device).eval().requires_grad_(False)
        self.generator = copy.deepcopy(self.source).train().requires_grad_(True)
        self.ema = copy.deepcopy(self.source)
        if not config.noise:
            for model in (self.generator, self.ema):
                for layer in model.synthesis.styled_convs():
                    layer.noise_strength.requires_grad_(False).zero_()
        judges = {"judge": _make_judge(generator, discriminator, config)}
        if config.projected > 0:
            features = lite0_features((1, 2, 3, 4))
            judges["projected"] = ProjectedDiscriminator(features, size=config.projected_size)
        self.judges = {name: place(judge, self.device).train() for name, judge in judges.items()}
        self.learnt = [
            weight
            for judge in self.judges.values()
            for weight in judge.parameters()
            if weight.requires_grad
        ]
        self.augment = AdaptiveAugment(
            config.ada_start,
            target=config.ada_target,
            images_to_full=config.ada_images,
            flips=config.flips,
            turns=False,  # Faces are aligned.
        ).to(self.device)
        self.path_mean = torch.zeros((), device=self.device)
        self.r1 = config.r1_weight(generator.resolution)
        # The slope is drawn every few steps only, so it counts that many times.
        self.weights = asdict(config.source) | {"r1": self.r1 / 2 * config.r1_every}
        self.weights |= {"fool_judge": 1.0, "judge": 1.0}
        self.weights |= {"fool_projected": config.projected, "projected": config.projected}
        lazy_g = config.path_every if config.path > 0 else 0
        self.optimizers = {
            "generator": _adam(self.generator.parameters(), config.learning_rate, lazy_g),
            "judge": _adam(self.learnt, config.learning_rate, config.r1_every),
        }
        self.modules = {"generator": self.generator, "ema": self.ema, "augment": self.augment}
        self.modules |= self.judges

    def go(self, *, resume: bool) -> StyleResult:
        config, main = self.config, self.accelerator.is_main_process
        start = self._start(resume=resume)
        every = max(config.snapshot_every // config.batch_size, 1)
        bar = tqdm(
            total=config.images,
            initial=start * config.batch_size,
            desc="style",
            unit="picture",
            disable=not main,
        )
        if start == 0 and main:
            self._draw(0)
        for step in range(start, config.steps):
            losses = self._step(step)
            done = step + 1
            last = done == config.steps
            if done % _LOG_EVERY == 0 or last:
                metrics = {name: float(value) for name, value in losses.items()}
                bar.set_postfix({name: f"{value:.3f}" for name, value in metrics.items()})
                if main:
                    append_line(self.folder / "metrics.jsonl", {"step": done, **metrics})
            if (done % every == 0 or last) and main:
                self._save(done)
                self._draw(done)
            bar.update(config.batch_size)
        bar.close()
        self.accelerator.wait_for_everyone()
        return StyleResult(self.ema, self.folder, drift(self.source, self.ema))

    def _step(self, step: int) -> dict[str, Tensor]:
        config = self.config
        # Everything random in a step comes from its number: a resumed run needs no memory of it.
        torch.manual_seed((config.seed << 40) + step * 1009 + self.accelerator.process_index)
        losses = self._teach_generator(step) | self._teach_judge(step)
        if (step + 1) % _ADJUST_EVERY == 0:
            self._share(self.augment.signs)
            self.augment.adjust(config.batch_size * _ADJUST_EVERY * self.accelerator.num_processes)
        losses["ada_p"] = self.augment.p
        decay = 0.5 ** (config.batch_size / max(config.ema_images, 1))
        update_ema(self.ema, self.generator, decay=decay, step=step)
        return {name: loss.detach() for name, loss in losses.items()}

    def _teach_generator(self, step: int) -> dict[str, Tensor]:
        config = self.config
        for weight in self.learnt:
            weight.requires_grad_(False)
        with self._autocast():
            ws = self._latents(config.batch_size)
            images = self._images(ws)
            seen = self.augment(images)
            losses = {
                f"fool_{name}": generator_loss(judge(seen), kind=_KINDS[name])
                for name, judge in self.judges.items()
            }
            losses |= source_losses(
                images,
                ws,
                self.noise,
                generator=self.generator,
                source=self.source,
                weights=config.source,
                perceptual=self.perceptual,
                identity=self.identity,
            )
        total = weighted_sum(losses, self.weights)
        self.images = images.detach()
        self.generator.mapping.update_average(ws)
        self._share(self.generator.mapping.w_avg)
        self._backward("generator", total, losses, step)
        if config.path > 0 and step % config.path_every == 0:
            losses["path"] = self._regularise_paths(step)
        self._update("generator")
        return losses

    def _regularise_paths(self, step: int) -> Tensor:
        """Add the path length's gradient, on half the batch as StyleGAN2 does."""
        ws = self._latents(max(self.config.batch_size // 2, 1))
        lengths = path_lengths(self._images(ws), ws)
        mean = self.path_mean.lerp(lengths.detach().mean(), 0.01)
        self._share(mean)
        penalty = (lengths - mean).square().mean()
        self.path_mean = mean
        weight = self.config.path * self.config.path_every
        self._backward("generator", weight * penalty, {"path": penalty}, step)
        return penalty

    def _teach_judge(self, step: int) -> dict[str, Tensor]:
        config = self.config
        for weight in self.learnt:
            weight.requires_grad_(True)
        index = torch.randint(len(self.pictures), (config.batch_size,))
        real = self.pictures[index].to(self.device).float() / 255
        with_r1 = bool(self.r1) and step % config.r1_every == 0
        with self._autocast():
            real = self.augment(real).detach().requires_grad_(with_r1)
            fake = self.augment(self.images).detach()
            logits = {name: (judge(real), judge(fake)) for name, judge in self.judges.items()}
            losses = {
                name: 2 * discriminator_loss(*pair, kind=_KINDS[name])
                for name, pair in logits.items()
            }
        real_logits = logits["judge"][0]
        self.augment.observe(real_logits)
        if with_r1:
            losses["r1"] = r1_penalty(real_logits, real)
        self._backward("judge", weighted_sum(losses, self.weights), losses, step)
        self._update("judge")
        return losses

    def _latents(self, batch: int) -> Tensor:
        """Draw ws, some of them from two latents."""
        first, second = torch.randn(2, batch, self.generator.z_dim).to(self.device)
        ws: Tensor = self.generator.mapping(first)
        if torch.rand(()) < self.config.mixing:
            cut = int(torch.randint(1, self.generator.num_ws, ()))
            ws = mix_styles(ws, self.generator.mapping(second), cut)
        return ws

    def _images(self, ws: Tensor) -> Tensor:
        self.noise = self.generator.synthesis.draw_noise(len(ws))
        images: Tensor = self.generator.synthesis(ws, noise=self.noise)
        return images.float()

    def _backward(self, name: str, total: Tensor, losses: Mapping[str, Tensor], step: int) -> None:
        if not bool(torch.isfinite(total)):
            shown = ", ".join(f"{key} {loss.item():.3g}" for key, loss in losses.items())
            raise DivergedError(
                f"Training the {name} diverged at step {step + 1}: {shown}. Lower learning_rate "
                f"and resume from {self.folder / STATE}, or choose an earlier snapshot."
            )
        self.accelerator.backward(total)

    def _update(self, name: str) -> None:
        """Take one optimiser step with the mean gradient of all devices."""
        optimizer = self.optimizers[name]
        for group in optimizer.param_groups:
            for weight in group["params"]:
                if weight.grad is not None:
                    self._share(weight.grad)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    def _share(self, value: Tensor) -> None:
        """Replace a tensor by its mean over all devices, in place."""
        if self.accelerator.num_processes > 1:
            value.copy_(self.accelerator.reduce(value, "mean"))

    def _autocast(self) -> torch.autocast:
        return autocast(self.device, self.config.precision)

    def _start(self, *, resume: bool) -> int:
        state = self.folder / STATE
        if not state.is_file():
            self.folder.mkdir(parents=True, exist_ok=True)
            if self.accelerator.is_main_process:
                forget_after(self.folder / "metrics.jsonl", 0)
            return 0
        if not resume:
            raise FileExistsError(
                f"{self.folder} holds a training run; pass resume=True to go on with it, "
                "or choose another folder."
            )
        facts, _ = load_state(state, modules=self.modules, optimizers=self.optimizers)
        self.path_mean = torch.tensor(facts["path_mean"], device=self.device)
        if self.accelerator.is_main_process:
            forget_after(self.folder / "metrics.jsonl", int(facts["step"]))
        return int(facts["step"])

    def _save(self, step: int) -> None:
        images = step * self.config.batch_size
        moved = drift(self.source, self.ema)
        facts = {"step": step, "images": images, "training": self.config.to_dict()}
        save(self.ema, self.folder / "generator.safetensors", provenance=facts | {"drift": moved})
        save(
            self.ema,
            self.folder / "snapshots" / f"generator-{images:07d}.safetensors",
            provenance=facts | {"drift": moved},
            dtype=torch.float16,
        )
        save(self.judges["judge"], self.folder / "discriminator.safetensors", provenance=facts)
        save_state(
            self.folder / STATE,
            modules=self.modules,
            optimizers=self.optimizers,
            random_states={},
            facts={"step": step, "path_mean": float(self.path_mean)},
        )
        append_line(self.folder / "metrics.jsonl", {"step": step, "drift": moved})

    @torch.no_grad()
    def _draw(self, step: int) -> None:
        """Write the same latents again: people choose by eye."""
        z = torch.randn(
            _SHEET, self.ema.z_dim, generator=torch.Generator().manual_seed(self.config.seed)
        ).to(self.device)
        images = self.ema(z, truncation=0.8).clamp(0, 1)
        grid = make_grid(images, nrow=8, padding=0)
        name = f"{step * self.config.batch_size:07d}.png"
        write_image(self.folder / "samples" / name, grid.cpu())


def _make_judge(
    generator: StyleGAN2Generator,
    discriminator: StyleGAN2Discriminator | None,
    config: StyleTrainConfig,
) -> nn.Module:
    if discriminator is None:
        plain = config_of(generator)["config"]
        kept = {key: plain[key] for key in ("resolution", "channel_base", "channel_max")}
        discriminator = StyleGAN2Discriminator(**kept)
    if discriminator.resolution != generator.resolution:
        raise ValueError(
            f"The discriminator judges {discriminator.resolution} pixels and the generator draws "
            f"{generator.resolution}."
        )
    judge = copy.deepcopy(discriminator).requires_grad_(True)
    if config.freeze_d:
        judge.from_rgb.requires_grad_(False)
        judge.blocks[: config.freeze_d].requires_grad_(False)
    return judge


def _adam(
    weights: Iterable[nn.Parameter], learning_rate: float, lazy: int
) -> torch.optim.Optimizer:
    """Make Adam with the correction for a term that comes every ``lazy`` steps."""
    ratio = lazy / (lazy + 1) if lazy else 1.0
    betas = (0.0, 0.99**ratio)
    return torch.optim.Adam(weights, lr=learning_rate * ratio, betas=betas, eps=1e-8)

"""The training loop: GAN steps on accelerate, with samples to look at and a state to go on from."""

import copy
import json
from collections.abc import Iterator, Mapping, Sized
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset
from tqdm.auto import tqdm

from snowai._files import append_line, write_text
from snowai.analysis import sheet
from snowai.checkpoint import save
from snowai.image import write_image
from snowai.losses import adversarial_warmup, weighted_sum
from snowai.models import MultiScaleDiscriminator
from snowai.pairs import Pair, PairAugment
from snowai.runs import (
    DivergedError,
    autocast,
    forget_after,
    get_random_state,
    load_state,
    make_accelerator,
    place,
    save_state,
    set_random_state,
    update_ema,
)
from snowai.train.config import TrainConfig
from snowai.train.data import BatchOrder, make_loader
from snowai.train.steps import discriminator_losses, generator_losses

if TYPE_CHECKING:
    from accelerate import Accelerator

__all__ = ["DivergedError", "FitResult", "fit"]

STATE, NETWORK, METRICS = "state.safetensors", "network.safetensors", "metrics.jsonl"
_R1_EVERY = 16


@dataclass(frozen=True)
class FitResult:
    """What a run leaves.

    Args:
        network: Averaged weights, in evaluation mode.
        folder: Holds network.safetensors, state.safetensors, metrics.jsonl and samples/.
        metrics: Last logged losses by name.
    """

    network: nn.Module
    folder: Path
    metrics: Mapping[str, float]


def fit(
    network: nn.Module,
    pairs: Dataset[Pair],
    folder: str | Path,
    *,
    config: TrainConfig | None = None,
    perceptual: nn.Module | None = None,
    augment: nn.Module | None = None,
    samples: Dataset[Pair] | None = None,
    resume: bool = False,
) -> FitResult:
    """Train a network on pairs.

    Runs as it is on a CPU or one GPU, and on several under ``accelerate launch``. Every
    ``save_every`` steps the whole state goes to the disk at once; after a kill, ``resume=True``
    goes on from there, bit by bit as the run would have gone on the same machine.

    Args:
        network: Called with (photo, eye_mask), e.g. :class:`snowai.EyeMaskInput`.
        pairs: The training pairs, e.g. :class:`snowai.PairDataset`.
        folder: Gets network.safetensors (averaged weights), state.safetensors, metrics.jsonl,
            config.json and samples/.
        config: The run's numbers.
        perceptual: Called with (prediction, target); required when its weight is above 0.
        augment: Changes a batch of pairs; default :class:`snowai.pairs.PairAugment`.
        samples: Pairs on the sample sheets; default the training pairs.
        resume: Go on from the folder's state when there is one.

    Returns:
        The trained network and where things are.

    Raises:
        DivergedError: A loss became infinite or no number.
        FileExistsError: The folder holds a run and ``resume`` is off.
        ValueError: The configuration does not fit the arguments.
        ImportError: accelerate is missing.
    """
    config = config or TrainConfig()
    if config.weights.perceptual > 0 and perceptual is None:
        raise ValueError(
            "weights.perceptual is above 0 but there is no perceptual loss: pass perceptual="
            "PerceptualLoss(...) or LPIPSLoss(...), or set the weight to 0."
        )
    with torch.random.fork_rng():
        torch.manual_seed(config.seed)
        run = _Run(network, pairs, Path(folder), config, perceptual, augment or PairAugment())
        run.samples = samples or pairs
        return run.go(resume=resume)


class _Run:
    """One call of :func:`fit`: the moving parts and the steps that move them."""

    samples: Dataset[Pair]

    def __init__(
        self,
        network: nn.Module,
        pairs: Dataset[Pair],
        folder: Path,
        config: TrainConfig,
        perceptual: nn.Module | None,
        augment: nn.Module,
    ) -> None:
        self.config, self.folder, self.pairs, self.augment = config, folder, pairs, augment
        self.accelerator = make_accelerator()
        self.device = self.accelerator.device
        self.network = place(network, self.device).train()
        self.ema = copy.deepcopy(self.network).eval().requires_grad_(False)
        wanted = config.weights.perceptual > 0
        self.perceptual = place(perceptual, self.device) if wanted and perceptual else None
        self.modules: dict[str, nn.Module] = {"network": self.network, "ema": self.ema}
        self.optimizers = {"network": _adam(self.network, config.learning_rate, (0.9, 0.99))}
        self.discriminator: nn.Module | None = None
        if config.needs_discriminator:
            self.discriminator = place(
                MultiScaleDiscriminator(condition_channels=4, **asdict(config.discriminator)),
                self.device,
            )
            self.modules["discriminator"] = self.discriminator
            rate = config.discriminator_learning_rate
            self.optimizers["discriminator"] = _adam(self.discriminator, rate, (0.5, 0.99))
        self.weights = asdict(config.weights)
        # Wrapped for several devices; self.network and self.discriminator stay the bare ones.
        self.wrapped = {
            name: self.accelerator.prepare(module)
            for name, module in self.modules.items()
            if name != "ema"
        }
        self.stepped = {name: self.accelerator.prepare(o) for name, o in self.optimizers.items()}

    def go(self, *, resume: bool) -> FitResult:
        """Train from the start or from the saved state to the last step."""
        start = self._start(resume=resume)
        metrics: dict[str, float] = {}
        main = self.accelerator.is_main_process
        bar = tqdm(total=self.config.steps, initial=start, desc="training", disable=not main)
        batches = self._batches(start)
        for step in range(start, self.config.steps):
            losses = self._step(next(batches), step)
            done = step + 1
            last = done == self.config.steps
            if done % self.config.log_every == 0 or last:
                metrics = {name: float(loss) for name, loss in losses.items()}
                self._log(done, metrics)
                bar.set_postfix({name: f"{value:.3f}" for name, value in metrics.items()})
            if done % self.config.sample_every == 0 or last:
                self._draw(done)
            if done % self.config.save_every == 0 or last:
                self._save(done)
            bar.update()
        bar.close()
        self.accelerator.wait_for_everyone()
        return FitResult(self.ema, self.folder, metrics)

    def _step(self, pair: Pair, step: int) -> dict[str, Tensor]:
        """Update network, average and discriminator once; return the losses."""
        factor = self.config.learning_rate_factor(step)
        for name, rate in (
            ("network", self.config.learning_rate),
            ("discriminator", self.config.discriminator_learning_rate),
        ):
            for group in self.optimizers[name].param_groups if name in self.optimizers else []:
                group["lr"] = rate * factor
        judged = self.discriminator is not None and (
            step >= self.config.adversarial_from * self.config.steps
        )
        with self._autocast():
            prediction = self.wrapped["network"](pair.photo, pair.eye_mask).float()
            losses = generator_losses(
                prediction,
                pair,
                discriminator=self.discriminator if judged else None,
                perceptual=self.perceptual,
                eye_gain=self.config.eye_gain,
                eye_grow=self.config.eye_grow,
                gan=self.config.gan,
            )
        self._update("network", weighted_sum(losses, self._weights(step)), losses, step)
        if judged:
            losses |= self._judge(prediction, pair, step)
        update_ema(self.ema, self.network, decay=self.config.ema, step=step)
        return {name: loss.detach() for name, loss in losses.items()}

    def _weights(self, step: int) -> dict[str, float]:
        """Return the losses' weights at a step: the judge's rise slowly."""
        start, length = self.config.adversarial_from, self.config.adversarial_warmup
        factor = adversarial_warmup(
            step, start=round(start * self.config.steps), length=round(length * self.config.steps)
        )
        risen = {name: self.weights[name] * factor for name in ("adversarial", "feature_matching")}
        return self.weights | risen

    def _judge(self, prediction: Tensor, pair: Pair, step: int) -> dict[str, Tensor]:
        with_r1 = self.config.r1 > 0 and step % _R1_EVERY == 0
        with self._autocast():
            losses = discriminator_losses(
                prediction,
                pair,
                discriminator=self.wrapped["discriminator"],
                gan=self.config.gan,
                with_r1=with_r1,
            )
        # The penalty is drawn every 16th step only, so it counts 16 times.
        weights = {"discriminator": 1.0, "r1": self.config.r1 / 2 * _R1_EVERY}
        self._update("discriminator", weighted_sum(losses, weights), losses, step)
        return losses

    def _autocast(self) -> torch.autocast:
        return autocast(self.device, self.config.precision)

    def _update(self, name: str, total: Tensor, losses: Mapping[str, Tensor], step: int) -> None:
        """Take one optimiser step, or stop before the damage is done."""
        if not bool(torch.isfinite(total)):
            shown = ", ".join(f"{key} {loss.item():.3g}" for key, loss in losses.items())
            state = self.folder / STATE
            kept = (
                f"the last good state is {state}" if state.is_file() else "no state was saved yet"
            )
            raise DivergedError(
                f"Training diverged at step {step + 1}: {shown}; {kept}. "
                "Lower learning_rate or weights.adversarial and resume."
            )
        self.stepped[name].zero_grad()
        self.accelerator.backward(total)
        if self.config.clip > 0:
            self.accelerator.clip_grad_norm_(self.wrapped[name].parameters(), self.config.clip)
        self.stepped[name].step()

    def _batches(self, start: int) -> Iterator[Pair]:
        order = BatchOrder(
            count=len(cast("Sized", self.pairs)),
            batch_size=self.config.batch_size,
            seed=self.config.seed,
            start=start,
            rank=self.accelerator.process_index,
            world=self.accelerator.num_processes,
            weights=getattr(self.pairs, "weights", None),
        )
        for batch in make_loader(self.pairs, order, workers=self.config.workers):
            parts = [part.to(self.device, non_blocking=True) for part in batch]
            yield cast("Pair", self.augment(Pair(*parts)))

    def _start(self, *, resume: bool) -> int:
        """Prepare the folder and return the first step."""
        state = self.folder / STATE
        if not state.is_file() or not resume:
            if state.is_file():
                raise FileExistsError(
                    f"{self.folder} holds a training run; pass resume=True to go on with it, "
                    "or choose another folder."
                )
            # Each process draws its own augmentations.
            torch.manual_seed(self.config.seed + self.accelerator.process_index)
            if self.accelerator.is_main_process:
                self.folder.mkdir(parents=True, exist_ok=True)
                (self.folder / METRICS).unlink(missing_ok=True)
                text = json.dumps(self.config.to_dict(), indent=2) + "\n"
                write_text(self.folder / "config.json", text)
            return 0
        facts, random_states = load_state(state, modules=self.modules, optimizers=self.optimizers)
        rank = f"{self.accelerator.process_index}."
        own = {k.removeprefix(rank): v for k, v in random_states.items() if k.startswith(rank)}
        set_random_state(own, self.device)
        step = int(facts["step"])
        if self.accelerator.is_main_process:
            forget_after(self.folder / METRICS, step)
        return step

    def _save(self, step: int) -> None:
        own = get_random_state(self.device)
        ranked = {f"{self.accelerator.process_index}.{key}": value for key, value in own.items()}
        random_states = _gather(self.accelerator, ranked)
        if not self.accelerator.is_main_process:
            return
        save(
            self.ema,
            self.folder / NETWORK,
            provenance={"steps": step, "training": self.config.to_dict()},
        )
        save_state(
            self.folder / STATE,
            modules=self.modules,
            optimizers=self.optimizers,
            random_states=random_states,
            facts={"step": step, "config": self.config.to_dict()},
        )

    def _log(self, step: int, metrics: Mapping[str, float]) -> None:
        if self.accelerator.is_main_process:
            rate = self.config.learning_rate * self.config.learning_rate_factor(step - 1)
            append_line(self.folder / METRICS, {"step": step, "learning_rate": rate, **metrics})

    def _draw(self, step: int) -> None:
        """Write a sheet of the first pairs: photo, eye mask, prediction, target."""
        if not self.accelerator.is_main_process:
            return
        rows = []
        for index in range(min(4, len(cast("Sized", self.samples)))):
            pair = self.samples[index]
            with torch.no_grad():
                drawn = self.ema(
                    pair.photo[None].to(self.device), pair.eye_mask[None].to(self.device)
                )
            rows.append([pair.photo, pair.eye_mask, drawn[0], pair.styled])
        picture = sheet(rows, titles=["photo", "eye mask", f"step {step}", "target"])
        write_image(self.folder / "samples" / f"{step:07d}.png", picture)


def _adam(
    module: nn.Module, learning_rate: float, betas: tuple[float, float]
) -> torch.optim.Optimizer:
    return torch.optim.Adam(module.parameters(), lr=learning_rate, betas=betas)


def _gather(accelerator: "Accelerator", states: dict[str, Tensor]) -> dict[str, Tensor]:
    """Bring every process's random state to the main one."""
    from accelerate.utils import gather_object

    if accelerator.num_processes == 1:
        return states
    return dict(gather_object(list(states.items())))

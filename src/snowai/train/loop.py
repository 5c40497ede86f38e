"""The training loop: GAN steps on accelerate, with samples to look at and a state to go on from."""

import copy
import json
import sys
from collections.abc import Iterator, Mapping, Sized
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset
from tqdm.auto import tqdm

from snowai._files import append_line, write_text
from snowai.checkpoint import save
from snowai.image import BadImage, write_image
from snowai.losses import adversarial_warmup, equivariance_loss, random_view, weighted_sum
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
from snowai.train.data import BatchOrder, Readable, make_loader
from snowai.train.learner import AlphaListener, Learner
from snowai.train.steps import discriminator_losses, generator_losses
from snowai.train.validation import Progress, draw_samples, validate

if TYPE_CHECKING:
    from accelerate import Accelerator

__all__ = ["FitResult", "Run"]

STATE, NETWORK, METRICS = "state.safetensors", "network.safetensors", "metrics.jsonl"
BEST = "best.safetensors"
_R1_EVERY = 16


@dataclass(frozen=True)
class FitResult:
    """What a run leaves.

    Args:
        network: Averaged weights, in evaluation mode.
        folder: Holds network.safetensors, state.safetensors, metrics.jsonl and samples/, and
            best.safetensors where there were pairs to validate on.
        metrics: Last logged losses by name.
        best: Lowest validation distance, of best.safetensors.
        skipped: Pairs that could not be read.
    """

    network: nn.Module
    folder: Path
    metrics: Mapping[str, float]
    best: float | None = None
    skipped: int = 0


class Run:
    """One call of :func:`snowai.fit`: the moving parts and the steps that move them."""

    def __init__(
        self,
        network: nn.Module,
        pairs: Dataset[Pair],
        folder: Path,
        config: TrainConfig,
        *,
        judges: Mapping[str, nn.Module | None],
        augment: nn.Module | None = None,
        samples: Dataset[Pair] | None = None,
        validation: Dataset[Pair] | None = None,
    ) -> None:
        self.config, self.folder, self.pairs = config, folder, pairs
        self.augment = augment or PairAugment()
        self.samples, self.validation = samples or validation or pairs, validation
        self.accelerator = make_accelerator(config.trackers, folder)
        self.device = self.accelerator.device
        self.network = place(network, self.device).train()
        self.ema = copy.deepcopy(self.network).eval().requires_grad_(False)
        self.alpha = AlphaListener(self.network)
        self.judges = {
            name: place(judge, self.device) if judge is not None else None
            for name, judge in judges.items()
        }
        self.learners = {
            "network": Learner(
                "network",
                self.network,
                self.accelerator,
                rate=config.learning_rate,
                betas=(0.9, 0.99),
                clip=config.clip,
                compiled=config.compile,
            )
        }
        if config.needs_discriminator:
            self.learners["discriminator"] = Learner(
                "discriminator",
                place(config.discriminator.build(), self.device),
                self.accelerator,
                rate=config.discriminator_learning_rate,
                betas=(0.5, 0.99),
                clip=config.clip,
            )
        self.weights = asdict(config.weights)
        self.progress = Progress()
        self.skipped: set[int] = set()

    def go(self, *, resume: bool) -> FitResult:
        """Train from the start or from the saved state to the last step."""
        with self.alpha:
            return self._go(self._start(resume=resume))

    def _go(self, step: int) -> FitResult:
        metrics: dict[str, float] = {}
        bar = tqdm(
            total=self.config.steps, initial=step, desc="training", disable=not self._is_main
        )
        self._track_from(step)
        batches = self.batches(step)
        while step < self.config.steps and not self.progress.stopped:
            try:
                losses = self.step(batches, step)
            except DivergedError as error:
                step = self._roll_back(step, error)
                batches, bar.n = self.batches(step), step
                continue
            step += 1
            if self._due(step, self.config.log_every):
                metrics = {name: float(loss) for name, loss in losses.items()}
                self._log(step, metrics)
                bar.set_postfix({name: f"{value:.3f}" for name, value in metrics.items()})
            if self._due(step, self.config.sample_every):
                self._draw(step)
            if self.validation is not None and self._due(step, self.config.validate_every):
                self._validate(step)
            if self._due(step, self.config.save_every) or self.progress.stopped:
                self._save(step)
            bar.update()
        bar.close()
        self.accelerator.wait_for_everyone()
        self.accelerator.end_training()
        return FitResult(self.ema, self.folder, metrics, self.progress.best, len(self.skipped))

    def step(self, batches: Iterator[Pair], step: int) -> dict[str, Tensor]:
        """Update network, average and discriminator once; return the last batch's losses."""
        factor = self.config.learning_rate_factor(step) * self.progress.rate_factor
        for learner in self.learners.values():
            learner.start(factor)
        losses: dict[str, Tensor] = {}
        judged = "discriminator" in self.learners and (
            step >= self.config.adversarial_from * self.config.steps
        )
        for batch in range(self.config.accumulate):
            last = batch == self.config.accumulate - 1
            losses = self._learn(next(batches), step, judged=judged, last=last)
        for name, learner in self.learners.items():
            if name == "network" or judged:
                learner.finish()
        update_ema(self.ema, self.network, decay=self.config.ema, step=step)
        return {name: loss.detach() for name, loss in losses.items()}

    def _learn(self, pair: Pair, step: int, *, judged: bool, last: bool) -> dict[str, Tensor]:
        """Add one batch's gradients to the network's and to the discriminator's."""
        weights, share = self._weights(step), 1 / self.config.accumulate
        with self._autocast():
            prediction = self.learners["network"].run(pair.photo, pair.eye_mask).float()
            losses = generator_losses(
                prediction,
                pair,
                discriminator=self.learners["discriminator"].module if judged else None,
                alpha=self.alpha.seen,
                extra=self.config.extra_losses,
                eye_gain=self.config.eye_gain,
                eye_grow=self.config.eye_grow,
                gan=self.config.gan,
                **self.judges,
            )
            if weights["temporal"] > 0:
                losses["temporal"] = equivariance_loss(
                    self.learners["network"].run,
                    pair.photo,
                    pair.eye_mask,
                    prediction,
                    random_view(len(prediction)),
                )
        self.learners["network"].learn(weighted_sum(losses, weights), share=share, last=last)
        return losses | (self._judge(prediction, pair, step, last=last) if judged else {})

    def _judge(self, prediction: Tensor, pair: Pair, step: int, *, last: bool) -> dict[str, Tensor]:
        learner, config = self.learners["discriminator"], self.config
        with self._autocast():
            losses = discriminator_losses(
                prediction,
                pair,
                discriminator=learner.wrapped,
                gan=config.gan,
                with_r1=config.r1 > 0 and step % _R1_EVERY == 0,
                with_mismatch=config.discriminator.mismatch > 0,
            )
        # The penalty is drawn every 16th step only, so it counts 16 times.
        weights = {
            "discriminator": 1.0,
            "r1": config.r1 / 2 * _R1_EVERY,
            "mismatch": config.discriminator.mismatch,
        }
        learner.learn(weighted_sum(losses, weights), share=1 / config.accumulate, last=last)
        return losses

    def _weights(self, step: int) -> dict[str, float]:
        """Return the losses' weights at a step: the judge's and the temporal one rise slowly."""
        steps, config = self.config.steps, self.config
        judge = adversarial_warmup(
            step,
            start=round(config.adversarial_from * steps),
            length=round(config.adversarial_warmup * steps),
        )
        start = round(config.temporal_from * steps)
        factors = {
            "adversarial": judge,
            "feature_matching": judge,
            "temporal": adversarial_warmup(step, start=start, length=steps - start),
        }
        return {name: weight * factors.get(name, 1.0) for name, weight in self.weights.items()}

    def _autocast(self) -> torch.autocast:
        return autocast(self.device, self.config.precision)

    def _due(self, step: int, every: int) -> bool:
        return step % every == 0 or step == self.config.steps

    def batches(self, start: int) -> Iterator[Pair]:
        """Yield augmented batches from a step on, for ever."""
        order = BatchOrder(
            count=len(cast("Sized", self.pairs)),
            batch_size=self.config.batch_size,
            seed=self.config.seed,
            start=start * self.config.accumulate,
            rank=self.accelerator.process_index,
            world=self.accelerator.num_processes,
            weights=getattr(self.pairs, "weights", None),
        )
        loader = make_loader(self._readable(self.pairs), order, workers=self.config.workers)
        for batch, bad in loader:
            self._name_skipped(bad)
            parts = [part.to(self.device, non_blocking=True) for part in batch]
            yield cast("Pair", self.augment(Pair(*parts)))

    def _readable(self, pairs: Dataset[Pair]) -> Readable:
        return Readable(pairs, skip=self.config.bad_pairs == "skip")

    def _name_skipped(self, bad: Tensor) -> None:
        """Say which pairs could not be read, each once."""
        for index in set(bad.tolist()) - {-1} - self.skipped:
            self.skipped.add(index)
            try:
                self.pairs[index]
            except (BadImage, FileNotFoundError) as error:
                tqdm.write(f"Skipped a pair, {len(self.skipped)} so far: {error}", file=sys.stderr)

    def _start(self, *, resume: bool) -> int:
        """Prepare the folder and return the first step."""
        state = self.folder / STATE
        if state.is_file() and not resume:
            raise FileExistsError(
                f"{self.folder} holds a training run; pass resume=True to go on with it, "
                "or choose another folder."
            )
        if state.is_file():
            return self._load()
        # Each process draws its own augmentations.
        torch.manual_seed(self.config.seed + self.accelerator.process_index)
        if self._is_main:
            self.folder.mkdir(parents=True, exist_ok=True)
            (self.folder / METRICS).unlink(missing_ok=True)
            text = json.dumps(self.config.to_dict(), indent=2) + "\n"
            write_text(self.folder / "config.json", text)
        return 0

    def _load(self) -> int:
        """Go back to the saved state and return its step."""
        facts, random_states = load_state(self.folder / STATE, **self._parts())
        rank = f"{self.accelerator.process_index}."
        own = {k.removeprefix(rank): v for k, v in random_states.items() if k.startswith(rank)}
        set_random_state(own, self.device)
        self.progress = Progress(**facts.get("progress", {}))
        step = int(facts["step"])
        if self._is_main:
            forget_after(self.folder / METRICS, step)
        return step

    def _roll_back(self, step: int, error: DivergedError) -> int:
        """Return to the last state with half the learning rate, or give up."""
        state, used = self.folder / STATE, self.progress.rollbacks
        if not state.is_file() or used >= self.config.rollbacks:
            kept = (
                f"the last good state is {state}" if state.is_file() else "no state was saved yet"
            )
            tried = f" after {used} times going back" if used else ""
            raise DivergedError(
                f"Training diverged at step {step + 1}{tried}: {error}; {kept}. "
                "Lower learning_rate or weights.adversarial and resume."
            ) from None
        back = self._load()
        self.progress = replace(self.progress, rollbacks=used + 1, rate_factor=0.5 ** (used + 1))
        if self._is_main:
            tqdm.write(
                f"Diverged at step {step + 1} ({error}); going on from step {back} with "
                f"{self.progress.rate_factor:g} of the learning rate.",
                file=sys.stderr,
            )
        return back

    def _validate(self, step: int) -> None:
        """Measure the averaged network; keep the best; stop when nothing got better for long."""
        pairs = self._readable(cast("Dataset[Pair]", self.validation))
        found = validate(self.ema, pairs, self.config, self.device, self.judges["perceptual"])
        self.progress = self.progress.after(found, step, patience=self.config.patience)
        self._log(step, {f"validation_{name}": value for name, value in found.items()})
        if self._is_main and self.progress.best_step == step:
            self._write(BEST, step, validation=found)

    def _parts(self) -> dict[str, Any]:
        """Return what the state file holds, by name."""
        modules = {name: learner.module for name, learner in self.learners.items()}
        return {
            "modules": modules | {"ema": self.ema},
            "optimizers": {name: learner.optimizer for name, learner in self.learners.items()},
        }

    def _save(self, step: int) -> None:
        own = get_random_state(self.device)
        ranked = {f"{self.accelerator.process_index}.{key}": value for key, value in own.items()}
        random_states = _gather(self.accelerator, ranked)
        if not self._is_main:
            return
        self._write(NETWORK, step)
        facts = {"step": step, "config": self.config.to_dict(), "progress": asdict(self.progress)}
        save_state(self.folder / STATE, random_states=random_states, facts=facts, **self._parts())

    def _write(self, name: str, step: int, **facts: object) -> None:
        """Write the averaged network to a checkpoint."""
        provenance = {"steps": step, "training": self.config.to_dict()} | facts
        save(self.ema, self.folder / name, provenance=provenance)

    def _log(self, step: int, metrics: Mapping[str, float]) -> None:
        rate = self.learners["network"].optimizer.param_groups[0]["lr"]
        if self._is_main:
            append_line(self.folder / METRICS, {"step": step, "learning_rate": rate, **metrics})
        if self.config.trackers:
            self.accelerator.log({"learning_rate": rate, **metrics}, step=step)

    def _track_from(self, step: int) -> None:
        """Open the trackers."""
        if self.config.trackers:
            facts = {"first_step": step, "config": json.dumps(self.config.to_dict())}
            self.accelerator.init_trackers("snowai", config=facts)

    def _draw(self, step: int) -> None:
        if self._is_main:
            picture = draw_samples(self.ema, self._readable(self.samples), step, self.device)
            write_image(self.folder / "samples" / f"{step:07d}.png", picture)

    @property
    def _is_main(self) -> bool:
        return bool(self.accelerator.is_main_process)


def _gather(accelerator: "Accelerator", states: dict[str, Tensor]) -> dict[str, Tensor]:
    """Bring every process's random state to the main one."""
    from accelerate.utils import gather_object

    if accelerator.num_processes == 1:
        return states
    return dict(gather_object(list(states.items())))

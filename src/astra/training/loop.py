"""The loop that all stages share: AdamW, warm-up and cosine, EMA, checkpoints that resume, one line of metrics a step."""

from __future__ import annotations

import json
import logging
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from astra.core.config import require
from astra.core.errors import BadInputError

logger = logging.getLogger(__name__)
STATE_FILE, METRICS_FILE, WEIGHTS_FILE = "state.pt", "metrics.jsonl", "weights.safetensors"
MAY_CHANGE = ("steps", "threads", "checkpoint_every", "evaluate_every", "log_every", "tensorboard")  # when a training goes on: how long and how often, not what


@dataclass(frozen=True, slots=True)
class LoopConfig:
    """How long and how fast."""

    steps: int = 20_000
    batch: int = 4
    rate: float = 6e-4
    warmup: int = 300
    decay: float = 0.02  # of weights
    ema: float = 0.999
    clip: float = 1.0
    mixed_precision: str = "no"  # no, bf16, fp16
    checkpoint_every: int = 250
    evaluate_every: int = 1000
    log_every: int = 20
    tensorboard: bool = False  # curves beside metrics.jsonl
    threads: int = 2
    seed: int = 0

    def __post_init__(self) -> None:
        require(self.steps >= 1, "steps", self.steps, "at least 1")
        require(self.batch >= 1, "batch", self.batch, "at least 1")
        require(0.0 < self.rate <= 1.0, "rate", self.rate, "in (0, 1]")
        require(0 <= self.warmup < max(self.steps, 1), "warmup", self.warmup, "less than steps")
        require(0.0 <= self.ema < 1.0, "ema", self.ema, "in [0, 1)")
        require(self.mixed_precision in ("no", "bf16", "fp16"), "mixed_precision", self.mixed_precision, "one of no, bf16, fp16")
        require(min(self.checkpoint_every, self.evaluate_every, self.log_every) >= 1, "checkpoint_every", self.checkpoint_every, "at least 1")

    def rate_at(self, step: int) -> float:
        """Linear warm-up, then a cosine down to a hundredth."""
        if step < self.warmup:
            return self.rate * (step + 1) / self.warmup
        part = (step - self.warmup) / max(1, self.steps - self.warmup)
        return self.rate * (0.01 + 0.99 * 0.5 * (1.0 + math.cos(math.pi * min(part, 1.0))))


Losses = Callable[[int], dict[str, Tensor]]  # step → named losses; their sum is minimised
Evaluation = Callable[[], dict[str, float]]


def train(model: nn.Module, losses: Losses, config: LoopConfig, out: Path, recipe: dict[str, Any], evaluate: Evaluation | None = None) -> Path:
    """Train until `config.steps`, from the last checkpoint in `out` if there is one; returns the EMA weights' file.

    Args:
        model: trained in place; `losses` must use this very model.
        losses: the losses of a step's batch, on the model's device. Of several processes each has a batch of its own.
        config: the loop.
        out: checkpoints, metrics and weights.
        recipe: everything that made the weights; a checkpoint of another recipe is refused.
        evaluate: run with the EMA weights every now and then.

    Raises:
        BadInputError: `out` holds the checkpoint of another recipe.
    """
    from accelerate import Accelerator
    from accelerate.utils import broadcast

    torch.set_num_threads(config.threads)
    torch.manual_seed(config.seed)
    processes()
    accelerator = Accelerator(mixed_precision=config.mixed_precision)
    model.to(accelerator.device)
    for value in model.state_dict().values():
        value.copy_(broadcast(value))
    optimiser = accelerator.prepare(torch.optim.AdamW(_groups(model, config.decay), lr=config.rate))
    average = {name: value.detach().clone() for name, value in model.state_dict().items()}
    out.mkdir(parents=True, exist_ok=True)
    recipe = {**recipe, "loop": asdict(config)}
    begin = _resume(out, recipe, model, optimiser, average)
    began, sums, since = time.monotonic(), dict[str, float](), 0  # a single batch tells little: what is logged is the mean since the last line
    for step in range(begin, config.steps):
        for group in optimiser.param_groups:
            group["lr"] = config.rate_at(step)
        model.train()
        with accelerator.autocast():
            parts = losses(step)
        total = torch.stack(list(parts.values())).sum()
        if not torch.isfinite(total):
            raise BadInputError(f"the loss is not finite at step {step}: {({k: v.item() for k, v in parts.items()})}")
        optimiser.zero_grad()
        accelerator.backward(total)
        _share(model, accelerator)
        norm: Tensor = accelerator.clip_grad_norm_(model.parameters(), config.clip)
        optimiser.step()
        _follow(average, model, config.ema if step > 100 else 0.9)
        last = step + 1 == config.steps
        since += 1
        for name, value in {"loss": total, "grad_norm": norm, **parts}.items():
            sums[name] = sums.get(name, 0.0) + float(value.detach())
        if not accelerator.is_main_process:
            continue
        if step % config.log_every == 0 or last:
            row = {"step": step, "rate": config.rate_at(step), **{k: v / since for k, v in sums.items()}}
            _log(out, {**row, "elapsed_s": round(time.monotonic() - began, 1)}, config.tensorboard)
            sums, since = {}, 0
        if evaluate is not None and ((step + 1) % config.evaluate_every == 0 or last):
            with with_weights(model, average):
                _log(out, {"step": step, **{f"eval/{k}": v for k, v in evaluate().items()}}, config.tensorboard)
        if (step + 1) % config.checkpoint_every == 0 or last:
            _save(out, recipe, step + 1, model, optimiser, average)
    accelerator.wait_for_everyone()
    return out / WEIGHTS_FILE


def processes() -> Any:
    """Accelerate's state, so begun that several processes without a graphics card find each other too (`torchrun --nproc_per_node N`)."""
    from accelerate import PartialState

    return PartialState(cpu=not torch.accelerator.is_available())


def process() -> int:
    """Which of several processes this is: each draws batches of its own."""
    return int(processes().process_index)


def device_of(model: nn.Module) -> torch.device:
    """Where its weights are."""
    return next(model.parameters()).device


def _share(model: nn.Module, accelerator: Any) -> None:
    """The mean of all processes' gradients. Losses see parts of the model, so that no wrapper around its `forward` could do it."""
    if accelerator.num_processes > 1:
        for value in model.parameters():
            if value.requires_grad:
                value.grad = accelerator.reduce(torch.zeros_like(value) if value.grad is None else value.grad, "mean")


def with_weights(model: nn.Module, weights: dict[str, Tensor]) -> _Swapped:
    """A context in which the model has these weights and is in evaluation mode."""
    return _Swapped(model, weights)


class _Swapped:
    def __init__(self, model: nn.Module, weights: dict[str, Tensor]) -> None:
        self._model, self._weights = model, weights
        self._own: dict[str, Tensor] = {}

    def __enter__(self) -> None:
        self._own = {name: value.detach().clone() for name, value in self._model.state_dict().items()}
        self._model.load_state_dict(self._weights)
        self._model.eval()

    def __exit__(self, *_: object) -> None:
        self._model.load_state_dict(self._own)
        self._model.train()


def _groups(model: nn.Module, decay: float) -> list[dict[str, Any]]:
    """Matrices decay, biases and norms do not."""
    matrices = [p for p in model.parameters() if p.requires_grad and p.dim() > 1]
    others = [p for p in model.parameters() if p.requires_grad and p.dim() <= 1]
    return [{"params": matrices, "weight_decay": decay}, {"params": others, "weight_decay": 0.0}]


def _follow(average: dict[str, Tensor], model: nn.Module, keep: float) -> None:
    with torch.no_grad():
        for name, value in model.state_dict().items():
            if value.dtype.is_floating_point:
                average[name].lerp_(value, 1.0 - keep)
            else:
                average[name].copy_(value)


def _resume(out: Path, recipe: dict[str, Any], model: nn.Module, optimiser: Any, average: dict[str, Tensor]) -> int:
    path = out / STATE_FILE
    if not path.is_file():
        return 0
    state = torch.load(path, map_location="cpu", weights_only=True)
    if _fixed(json.loads(state["recipe"])) != _fixed(json.loads(json.dumps(recipe))):
        raise BadInputError(f"{out} holds a training with another recipe; choose another folder, or delete it")
    model.load_state_dict(state["model"])
    optimiser.load_state_dict(state["optimiser"])
    for name, value in state["average"].items():
        average[name].copy_(value)
    logger.info("resumed %s at step %d", out, state["step"])
    return int(state["step"])


def read_weights(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """State and recipe of a checkpoint.

    Raises:
        BadInputError: it cannot be read, or does not say how it was made.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "pt") as file:
            told, state = file.metadata() or {}, {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise BadInputError(f"cannot read {path}: {error}") from error
    if "recipe" not in told:
        raise BadInputError(f"{path} does not say how it was made")
    recipe: dict[str, Any] = json.loads(told["recipe"])
    return state, recipe | {"step": int(told["step"])}


def _fixed(recipe: dict[str, Any]) -> dict[str, Any]:
    return {**recipe, "loop": {k: v for k, v in recipe["loop"].items() if k not in MAY_CHANGE}}


def _save(out: Path, recipe: dict[str, Any], step: int, model: nn.Module, optimiser: Any, average: dict[str, Tensor]) -> None:
    from safetensors.torch import save_file

    text = json.dumps(recipe, sort_keys=True)
    state = {"recipe": text, "step": step, "model": model.state_dict(), "optimiser": optimiser.state_dict(), "average": average}
    draft = out / f".{STATE_FILE}"
    torch.save(state, draft)
    draft.replace(out / STATE_FILE)
    draft = out / f".{WEIGHTS_FILE}"
    save_file({name: value.contiguous() for name, value in average.items()}, draft, {"recipe": text, "step": str(step)})
    draft.replace(out / WEIGHTS_FILE)


def _log(out: Path, row: dict[str, Any], tensorboard: bool = False) -> None:
    with (out / METRICS_FILE).open("a", encoding="utf-8") as file:
        file.write(json.dumps({k: round(v, 6) if isinstance(v, float) else v for k, v in row.items()}) + "\n")
    if tensorboard:
        _plot(out, row)
    logger.info("%s", " ".join(f"{k}={v:.4g}" if isinstance(v, float) else f"{k}={v}" for k, v in row.items()))


def _plot(out: Path, row: dict[str, Any]) -> None:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise BadInputError("tensorboard: true needs the package tensorboard: pip install tensorboard") from error
    with SummaryWriter(str(out)) as writer:
        for name, value in row.items():
            if name != "step":
                writer.add_scalar(name, float(value), int(row["step"]))


def metrics(out: Path) -> Iterator[dict[str, Any]]:
    """The rows that a training has logged."""
    with (out / METRICS_FILE).open(encoding="utf-8") as file:
        for line in file:
            yield json.loads(line)

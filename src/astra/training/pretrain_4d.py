"""Stage 2: the forecaster learns where volumes go; the eyes are frozen, and each frame is encoded once and kept (paper 3.2.1, equation 9)."""

from __future__ import annotations

import logging
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from astra.core.config import require
from astra.core.errors import BadInputError
from astra.core.types import AnyArray, nanoseconds
from astra.datasets.local_truth import MOVER, OUTSIDE, STATIC, stirring
from astra.datasets.samples import SampleSet, require_training
from astra.geometry import Pose2
from astra.local_model.config import ForecasterConfig
from astra.local_model.encoder4d import Forecaster, warp_volume
from astra.local_model.memory import LastingMap
from astra.local_model.occupancy import cells_between
from astra.training.export import fingerprint, load_eyes
from astra.training.loop import LoopConfig, device_of, process, processes, train
from astra.training.pretrain_3d import WINDOW_M, WINDOW_RESOLUTION_M, EyesModel, render_losses, within
from astra.training.surround import SurroundBatch, SurroundSamples

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Pretrain4dConfig:
    """What is learned from what; `eyes`: the weights of pretrain_3d."""

    samples: str = ""
    validation: str = ""
    out: str = ""
    eyes: str = ""
    voxel_weight: float = 0.25
    render_weight: float = 0.25
    occupancy_weight: float = 1.0
    jaccard_weight: float = 1.0  # of one minus the soft IoU of the maps
    occupied_gain: float = 1.0  # of occupied cells over free ones
    moving_gain: float = 4.0  # of cells that somebody enters or leaves
    mover_weight: float = 1.0  # of who walks where: cross-entropy, and one minus the soft IoU
    mover_gain: float = 8.0  # of cells where somebody walks then over all others
    steps_ahead: int = 4  # of the packed occupancy
    rays: int = 96
    render_steps: int = 48
    moments: int = 3  # of each sample drawn
    compared: int = 1  # samples of a batch whose volumes and renderings are compared: they cost more than the maps
    crowded: float = 0.7  # share of the samples drawn in which somebody in view moves
    evaluation_samples: int = 200
    forecaster: ForecasterConfig = field(default_factory=ForecasterConfig)
    loop: LoopConfig = field(default_factory=LoopConfig)

    def __post_init__(self) -> None:
        require(1 <= self.steps_ahead <= 6, "steps_ahead", self.steps_ahead, "between 1 and 6")
        require(self.moments >= 1, "moments", self.moments, "at least 1")
        require(self.compared >= 1, "compared", self.compared, "at least 1")
        require(self.moving_gain >= 1.0, "moving_gain", self.moving_gain, "at least 1")
        require(self.mover_gain >= 1.0, "mover_gain", self.mover_gain, "at least 1")
        require(0.0 <= self.crowded <= 1.0, "crowded", self.crowded, "in [0, 1]")


class Sequences:
    """Moments with a past and a future, over volumes that the frozen eyes gave once.

    Args:
        samples: two a second or more, in rides.
        eyes: frozen.
        cache: where volumes are kept, by drive and by the eyes' weights.
        past: volumes of the past, the current one included.
        ahead: steps of the future.
    """

    def __init__(self, samples: SampleSet, eyes: EyesModel, cache: Path, past: int, ahead: int) -> None:
        self.samples, self._eyes, self._past, self._ahead = samples, eyes, past, ahead
        self._levels = eyes.encoder.config.grid.levels
        self.frames = SurroundSamples(samples, eyes.encoder.config, None)
        self._cache = cache / fingerprint(eyes)
        self.step_ns = nanoseconds(samples.occupancy_step_s)
        self._stamps = np.array([samples[i].stamp_ns for i in range(len(samples))])
        self._drives = np.array([samples.locate(i)[0] for i in range(len(samples))])
        self.valid: AnyArray = np.flatnonzero([self._at(i, ahead) is not None and self._at(i, -1) is not None for i in range(len(samples))])
        if not len(self.valid):
            raise BadInputError(f"{samples.path} has no moment with {ahead} steps of {samples.occupancy_step_s} s after it")
        self.crowded: AnyArray = np.array([i for i in self.valid if self._is_crowded(int(i))])
        self._looks: dict[int, AnyArray] = {}
        self._lasting: dict[int, AnyArray] = {}

    def look(self, index: int) -> Tensor:
        """(C·Z + 1, Y, X) of a sample: its volume, and its map, 0..1."""
        number, tick = self.samples.locate(index)
        if number not in self._looks:
            self._looks[number] = self._encoded(number, index - tick)
        return torch.from_numpy(self._looks[number][tick].astype(np.float32))

    def lasting(self, index: int) -> Tensor:
        """(Y, X): what all looks of the ride up to a sample say together, 0..1."""
        number, tick = self.samples.locate(index)
        if number not in self._lasting:
            memory, first = LastingMap(self._eyes.encoder.config.grid), index - tick
            looks = [self.look(first + k)[-1].numpy() for k in range(int((self._drives == number).sum()))]
            poses = [Pose2(*(float(v) for v in self.samples[first + k].pose)) for k in range(len(looks))]
            self._lasting[number] = np.stack([memory.add(int(self._stamps[first + k]), poses[k], look) for k, look in enumerate(looks)]).astype(np.float16)
        return torch.from_numpy(self._lasting[number][tick].astype(np.float32))

    def past(self, index: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Aligned volumes (P, C, Z, Y, X) and maps (P, Y, X), newest first, the lasting map (Y, X), and (P,) whether each moment was there."""
        here = self.look(index)
        looks, known = [here], [1.0]
        for step in range(1, self._past):
            then = self._at(index, -step)
            looks.append(here if then is None else self._aligned(then, index)[:-1])
            known.append(float(then is not None))
        both = torch.stack(looks)
        return both[:, :-1].unflatten(1, (-1, self._levels)), both[:, -1], self.lasting(index), torch.tensor(known)

    def aligned(self, other: int, index: int) -> tuple[Tensor, Tensor]:
        """Another sample's volume in this one's frame, and (Y, X) where it reaches."""
        out = self._aligned(other, index)
        return out[:-2].unflatten(0, (-1, self._levels)), (out[-1] > 0.99).float()

    def _aligned(self, other: int, index: int) -> Tensor:
        motion = torch.tensor([relative(self.samples[other].pose, self.samples[index].pose)], dtype=torch.float32)
        look = self.look(other)
        marked = torch.cat([look, torch.ones_like(look[:1])])[None, :, None]
        return warp_volume(marked, motion, self._eyes.encoder.config.grid)[0, :, 0]

    def ahead(self, index: int, step: int) -> int:
        """The sample `step` steps later."""
        found = self._at(index, step)
        assert found is not None
        return found

    def _at(self, index: int, step: int) -> int | None:
        """The sample so many steps away in the same ride."""
        wanted = self._stamps[index] + step * self.step_ns
        low, high = max(0, index - 40), index + 41
        near = low + int(np.abs(self._stamps[low:high] - wanted).argmin())
        return near if self._drives[near] == self._drives[index] and abs(int(self._stamps[near] - wanted)) <= self.step_ns // 5 else None

    def _is_crowded(self, index: int) -> bool:
        sample = self.samples[index]
        assert sample.occupancy is not None and sample.visible is not None
        now, visible = np.asarray(sample.occupancy[0]), np.asarray(sample.visible) > 0
        return any(bool((stirring(now, np.asarray(sample.occupancy[s])) & visible).any()) for s in range(1, self._ahead + 1))

    def _encoded(self, number: int, first: int) -> AnyArray:
        name = self.samples[first].shard.folder.name
        path = self._cache / f"{name}.npy"
        if not path.is_file():
            count = int((self._drives == number).sum())
            path.parent.mkdir(parents=True, exist_ok=True)
            rows = []
            with torch.no_grad():
                for k in range(0, count, 4):
                    batch = self.frames.batch(np.arange(first + k, first + min(k + 4, count))).to(device_of(self._eyes))
                    voxels = self._eyes.encoder(batch.images, batch.rays, batch.voxel, batch.near_voxel, batch.works).voxels
                    maps = self._eyes.head.wide_map(voxels).sigmoid()
                    rows.append(torch.cat([voxels.flatten(1, 2), maps[:, None]], 1).half().cpu().numpy())
            draft = path.with_suffix(".draft.npy")
            np.save(draft, np.concatenate(rows))
            draft.replace(path)
            logger.info("encoded %s: %d looks", name, count)
        return np.asarray(np.load(path, mmap_mode="r"))


def run(config: Pretrain4dConfig) -> Path:
    """Train the forecaster; returns its weights' file.

    Raises:
        BadInputError: no samples, samples of test worlds, or no eyes.
    """
    torch.set_num_threads(config.loop.threads)
    eyes, _ = load_eyes(Path(config.eyes))
    eyes.requires_grad_(False).to(processes().device)
    torch.manual_seed(config.loop.seed)
    config = replace(config, forecaster=replace(config.forecaster, channels=eyes.encoder.config.channels))
    samples = SampleSet(Path(config.samples))
    for split in samples.splits:
        require_training(split, config.samples)
    cache, past = Path(config.out) / "looks", config.forecaster.past
    data = Sequences(samples, eyes, cache, past, config.steps_ahead)
    model = Forecaster(eyes.encoder.config.grid.levels, config.forecaster)

    def losses(step: int) -> dict[str, Tensor]:
        rng = np.random.default_rng([config.loop.seed, step, process()])
        indices = [int(rng.choice(data.crowded if len(data.crowded) and rng.random() < config.crowded else data.valid)) for _ in range(config.loop.batch)]
        return stage_losses(model, eyes, data, indices, rng, config)

    evaluate = None
    if config.validation:
        held = Sequences(SampleSet(Path(config.validation), splits=("validate",)), eyes, cache, past, config.steps_ahead)
        chosen = held.crowded[np.linspace(0, len(held.crowded) - 1, min(config.evaluation_samples, len(held.crowded))).astype(int)]

        def evaluate() -> dict[str, float]:
            return scores(model, eyes, held, chosen, config)

    settings = {k: v for k, v in asdict(config).items() if k not in ("loop", "samples", "validation", "out", "eyes")}
    recipe = {"stage": "pretrain_4d", "config": settings, "eyes": fingerprint(eyes)}
    return train(model, losses, config.loop, Path(config.out), recipe, evaluate)


def stage_losses(
    model: Forecaster, eyes: EyesModel, data: Sequences, indices: list[int], rng: np.random.Generator, config: Pretrain4dConfig
) -> dict[str, Tensor]:
    """Equation 9 for one random step ahead of each sample, and the occupancy that will be at several, now among them.

    Volumes are compared where the later one reaches; rendered depth with what the cameras measure then; maps with the truth where a camera looks now.
    """
    steps = np.column_stack([rng.integers(0, config.steps_ahead + 1, len(indices)) for _ in range(config.moments)])
    steps[:, 0] = rng.integers(1, config.steps_ahead + 1, len(indices))
    device = device_of(model)
    volumes, maps, lasting, known = (torch.stack(parts).to(device) for parts in zip(*(data.past(i) for i in indices)))
    moments = torch.from_numpy(steps * data.samples.occupancy_step_s).float().to(device)
    past = model.take_in(model.slimmed(volumes), maps, lasting, known)
    foreseen = model.maps_ahead(past, moments)
    later = [data.ahead(i, int(s)) for i, s in zip(indices, steps[:, 0])][: config.compared]
    future = model.volumes_ahead(past.first(len(later)), volumes[: len(later), 0], moments[: len(later), :1])[:, 0]
    voxel, depth = _volume_losses(future, eyes, data, list(zip(indices, later)), rng, config)
    truth = [[_maps(data, i, int(s), eyes) for s in row] for i, row in zip(indices, steps)]
    occupied, looked, moving, walked = (torch.stack([torch.stack([one[k] for one in row]) for row in truth]).to(device) for k in range(4))
    bits, overlap = _map_losses(foreseen.maps, occupied, looked * (1.0 + (config.moving_gain - 1.0) * moving), config.occupied_gain)
    mover_bits, mover_overlap = _map_losses(foreseen.movers, walked, looked, config.mover_gain)
    return {
        "voxel": config.voxel_weight * voxel, "render": config.render_weight * depth,
        "occupancy": config.occupancy_weight * bits, "jaccard": config.jaccard_weight * overlap,
        "movers": config.mover_weight * mover_bits, "movers_jaccard": config.mover_weight * mover_overlap,
    }  # fmt: skip


def _volume_losses(
    future: Tensor, eyes: EyesModel, data: Sequences, pairs: list[tuple[int, int]], rng: np.random.Generator, config: Pretrain4dConfig
) -> tuple[Tensor, Tensor]:
    """L1 between volumes foreseen (B, C, Z, Y, X) and the later ones, and of depth rendered from the later cameras; pairs: samples now and then."""
    targets, reach = (torch.stack(parts).to(future.device) for parts in zip(*(data.aligned(then, now) for now, then in pairs)))
    voxel = ((future - targets).abs().mean((1, 2)) * reach).sum() / reach.sum().clamp(min=1.0)
    sdf, colour = eyes.head.fields(future)
    motions = [relative(data.samples[now].pose, data.samples[then].pose) for now, then in pairs]
    frames = carried(data.frames.batch(np.array([then for _, then in pairs])), motions)
    depth, _ = render_losses(sdf, colour, eyes.head.fields.beta, frames.to(future.device), eyes.encoder.config, rng, config.rays, config.render_steps)
    return voxel, depth


def _map_losses(logits: Tensor, true: Tensor, weight: Tensor, gain: float) -> tuple[Tensor, Tensor]:
    """Weighted cross-entropy, true cells counting `gain` fold, and one minus the soft IoU."""
    bits = torch.nn.functional.binary_cross_entropy_with_logits(logits, true, reduction="none") * (1.0 + (gain - 1.0) * true)
    said = logits.sigmoid()
    both, either = (said * true * weight).sum(), ((said + true - said * true) * weight).sum()
    return (bits * weight).sum() / weight.sum().clamp(min=1.0), 1.0 - both / either.clamp(min=1.0)


def carried(batch: SurroundBatch, motions: list[tuple[float, float, float]]) -> SurroundBatch:
    """The batch's rays in an earlier frame; motions are x, y, yaw of each sample's base_link in it."""
    x, y, yaw = torch.tensor(motions, dtype=torch.float32).unbind(1)
    cos, sin, zero, one = yaw.cos(), yaw.sin(), torch.zeros_like(yaw), torch.ones_like(yaw)
    turn = torch.stack([torch.stack([cos, -sin, zero], 1), torch.stack([sin, cos, zero], 1), torch.stack([zero, zero, one], 1)], 1)
    origins = batch.origins @ turn.transpose(1, 2) + torch.stack([x, y, zero], 1)[:, None]
    return replace(batch, origins=origins, directions=torch.einsum("bij,bvjhw->bvihw", turn, batch.directions))


def relative(of: AnyArray, other: AnyArray) -> tuple[float, float, float]:
    """x, y, yaw of a pose (3,) `other` in the frame of the pose `of`."""
    motion = Pose2(*(float(v) for v in of)).inverse() @ Pose2(*(float(v) for v in other))
    return motion.x, motion.y, motion.yaw


def _maps(data: Sequences, index: int, step: int, eyes: EyesModel) -> tuple[Tensor, ...]:
    """(Y, X) each, at the wide map's resolution: occupied at a step, looked at now, entered or left by somebody who moves, where he is then."""
    sample, grid = data.samples[index], eyes.encoder.config.grid
    assert sample.occupancy is not None and sample.visible is not None
    now, then = np.asarray(sample.occupancy[0]), np.asarray(sample.occupancy[step])
    counted = (np.asarray(sample.visible) > 0) & (then != OUTSIDE)
    moving = stirring(now, then) & counted
    layers = np.stack([((then == STATIC) | (then == MOVER)) & counted, counted, moving, moving & (then == MOVER)]).astype(np.float32)
    return tuple(cells_between(torch.from_numpy(layers), WINDOW_M, WINDOW_RESOLUTION_M, grid.size_m, grid.resolution_m))


def scores(model: Forecaster, eyes: EyesModel, data: Sequences, indices: AnyArray, config: Pretrain4dConfig) -> dict[str, float]:
    """IoU of occupied cells within 4 m, of all and of moving ones, now and at each step.

    Of the forecast, of `both` it and who walks, and of `copy`, for which nothing moves.
    """
    grid, step_s = eyes.encoder.config.grid, data.samples.occupancy_step_s
    close = within(grid.cells, grid.resolution_m, 4.0)
    steps = range(config.steps_ahead + 1)
    moments = torch.tensor([[s * step_s for s in steps]], dtype=torch.float32)
    counts: dict[str, list[float]] = {}
    with torch.no_grad():
        for index in (int(i) for i in indices):
            inputs = data.past(index)
            foreseen = model(*(x[None].to(device_of(model)) for x in inputs), moments.to(device_of(model)))
            future, walked = (logits[0].sigmoid().cpu() for logits in (foreseen.maps, foreseen.movers))
            for s in steps:
                occupied, looked, moving, _ = _maps(data, index, s, eyes)
                for name, chance in (("", future[s]), ("both_", torch.maximum(future[s], walked[s])), ("copy_", inputs[1][0])):
                    said = (chance > 0.5).float()
                    for kind, mask in (("iou", looked * close), ("moving_iou", moving * close)):
                        both, either = (said * occupied * mask).sum(), (torch.maximum(said, occupied) * mask).sum()
                        tally = counts.setdefault(f"{name}{kind}_{s * step_s:g}s", [0.0, 0.0])
                        tally[0] += float(both)
                        tally[1] += float(either)
    return {name: both / max(either, 1.0) for name, (both, either) in counts.items()}

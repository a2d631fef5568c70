"""Fine-tuning on one's own robot: its recorded drives teach the eyes by depth and rendering, without anybody's labels."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from astra.core.config import from_mapping, require
from astra.core.errors import BadInputError
from astra.datasets import TopicMap, open_drive
from astra.datasets.packing import PackConfig, pack_drive
from astra.datasets.samples import SampleSet
from astra.local_model.config import Encoder3dConfig
from astra.training.loop import LoopConfig, read_weights
from astra.training.mono_depth import AlignConfig, add_depth
from astra.training.pretrain_3d import Pretrain3dConfig
from astra.training.pretrain_3d import run as pretrain

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class FinetuneConfig:
    """A short training with a small step; `rate_hz`: samples a second of driving."""

    rate_hz: float = 2.0
    align: AlignConfig = field(default_factory=AlignConfig)
    loop: LoopConfig = field(default_factory=lambda: LoopConfig(steps=400, batch=2, rate=1e-4, warmup=20, ema=0.98, checkpoint_every=50, evaluate_every=400))

    def __post_init__(self) -> None:
        require(0.1 <= self.rate_hz <= 10.0, "rate_hz", self.rate_hz, "between 0.1 and 10")


def run(config: FinetuneConfig, drives: Sequence[Path], start: Path, out: Path, topics: Path | None = None, mono: Path | None = None) -> Path:
    """Pack the drives and train on from `start`; returns the new weights' file.

    Args:
        config: how long.
        drives: recorded with depth images, or with a lidar and `mono`.
        start: weights of the eyes.
        out: samples, checkpoints and weights.
        topics: topic map of the drives.
        mono: pictures of a monocular depth model (`mono_depth`), for drives with a lidar instead of depth images.

    Raises:
        BadInputError: a drive without depth, or `start` is no weights of eyes.
    """
    pack, place = PackConfig(rate_hz=config.rate_hz), out / "samples"
    for path in drives:
        pack_drive(open_drive(path, TopicMap.load(topics) if topics else None), place, pack, split="train")
    if mono is not None:
        told = add_depth(place, mono, config.align)
        logger.info("monocular depth: %d pictures made metric, %d refused", told["aligned"], told["refused"])
    samples = SampleSet(place)
    if samples[0].depth is None:
        raise BadInputError(f"{drives[0]} has no depth images: the eyes learn from depth (--mono-depth gives it, where there is a lidar)")
    encoder = from_mapping(Encoder3dConfig, read_weights(start)[1]["config"]["encoder"], str(start))
    return pretrain(replace(Pretrain3dConfig(), samples=str(place), out=str(out), start=str(start), encoder=encoder, loop=config.loop))

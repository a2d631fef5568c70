"""From the odometry head's weights to the folder that `local_model.odometry.runtime` runs from."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from astra.core.config import from_mapping
from astra.core.errors import BadInputError
from astra.local_model.odometry.config import IMU_COLUMNS, MODALITIES, POINT_COLUMNS, WHEEL_COLUMNS, OdometryHeadConfig
from astra.local_model.odometry.head import OdometryHead
from astra.local_model.odometry.runtime import DESCRIPTION_FILE, FORMAT_VERSION, MOTION_FILE, STEP_FILE
from astra.training.export import write_graph
from astra.training.loop import read_weights

MOTION_INPUTS = ("tokens", "there", "points", "imu", "wheel", "lasts_s")


def load_head(weights: Path) -> tuple[OdometryHead, dict[str, Any]]:
    """The head of a checkpoint, in evaluation mode, and its recipe.

    Raises:
        BadInputError: no checkpoint of that stage.
    """
    state, recipe = read_weights(weights)
    if recipe.get("stage") != "odometry":
        raise BadInputError(f"{weights} holds no odometry, but {recipe.get('stage')}")
    model = OdometryHead(from_mapping(OdometryHeadConfig, recipe["config"]["head"], str(weights)))
    model.load_state_dict(state, strict=True)
    return model.eval(), recipe


def export_odometry(weights: Path, out: Path) -> dict[str, float]:
    """Write graphs, weights and description to `out`; returns the greatest difference from torch of each graph.

    Raises:
        AstraError: a graph differs from torch by more than `export.PARITY`.
    """
    model, recipe = load_head(weights)
    out.mkdir(parents=True, exist_ok=True)
    c, generator = model.config, torch.Generator().manual_seed(0)
    before, now = (torch.randn(1, c.feature_channels, c.cells, c.cells, generator=generator) for _ in range(2))
    imu, wheel = (torch.randn(1, rows, columns, generator=generator) for rows, columns in ((c.imu_rows, IMU_COLUMNS), (c.wheel_rows, WHEEL_COLUMNS)))
    tokens = torch.randn(1, c.steps, len(MODALITIES), c.width, generator=generator)
    there = torch.randint(0, 2, tokens.shape[:3], generator=generator).float()
    points, lasts = torch.randn(1, POINT_COLUMNS, generator=generator), torch.tensor([0.2])
    given = ("before", "now", "points", "imu", "wheel", "lasts_s")
    differences = {
        "step": write_graph(model.steps, (before, now, points, imu, wheel, lasts), given, ("tokens",), out / STEP_FILE, {}),
        "motion": write_graph(model.motion, (tokens, there, points, imu, wheel, lasts), MOTION_INPUTS, ("motion", "factor"), out / MOTION_FILE, {}),
    }
    if weights.resolve() != (out / "weights.safetensors").resolve():
        shutil.copyfile(weights, out / "weights.safetensors")
    told = {"format_version": FORMAT_VERSION, "head": asdict(c), "eyes": recipe["eyes"], "recipe": recipe, "difference_from_torch": differences}
    (out / DESCRIPTION_FILE).write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
    return differences

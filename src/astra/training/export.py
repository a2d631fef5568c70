"""From trained weights to the folder that the robot's eyes run from: ONNX graphs, checked against torch, and a description."""

from __future__ import annotations

import hashlib
import json
import shutil
import warnings
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from astra.core.config import from_mapping
from astra.core.errors import AstraError, BadInputError
from astra.local_model.config import Encoder3dConfig, ForecasterConfig
from astra.local_model.encoder4d import Forecaster
from astra.local_model.lifting import RAY_CHANNELS, STRIDE
from astra.local_model.runtime import DESCRIPTION_FILE, FORECAST_FILE, FORMAT_VERSION, LOOK_FILE, SETTLE_FILE, Thresholds
from astra.training.loop import read_weights
from astra.training.pretrain_3d import EyesModel

PARITY = 1e-3  # greatest difference between ONNX Runtime and torch
OPSET = 18


class _Look(nn.Module):
    def __init__(self, eyes: EyesModel) -> None:
        super().__init__()
        self.encoder = eyes.encoder

    def forward(self, images: Tensor, rays: Tensor) -> tuple[Tensor, Tensor]:
        features, depth_logits = self.encoder.look(images[None], rays[None])
        return features[0], depth_logits[0].softmax(1)


class _Settle(nn.Module):
    def __init__(self, eyes: EyesModel) -> None:
        super().__init__()
        self.encoder, self.head = eyes.encoder, eyes.head

    def forward(self, coarse: Tensor, fine: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        voxels, near = self.encoder.settle(coarse, fine)
        return voxels, self.head.wide_map(voxels).sigmoid(), self.head.near_map(near).sigmoid()


class _Foresee(nn.Module):
    """Cells come as the ring buffer keeps them: channels last, those of the volume and then the map."""

    def __init__(self, forecaster: Forecaster, side: int) -> None:
        super().__init__()
        self.forecaster, self.side = forecaster, side

    def forward(self, cells: Tensor, lasting: Tensor, known: Tensor, moments: Tensor) -> tuple[Tensor, Tensor]:
        slimming = torch.nn.functional.pad(self.forecaster.slim.weight.flatten(1), (0, 1))  # nothing of the map
        slim = (slimming @ cells.transpose(2, 3)).unflatten(3, (self.side, self.side))
        maps = cells[..., -1].unflatten(2, (self.side, self.side))
        foreseen = self.forecaster.maps_ahead(self.forecaster.take_in(slim, maps, lasting, known), moments)
        return foreseen.maps.sigmoid(), foreseen.movers.sigmoid()


def load_eyes(weights: Path) -> tuple[EyesModel, dict[str, Any]]:
    """The encoder and heads of a checkpoint of `pretrain_3d`, in evaluation mode, and its recipe.

    Raises:
        BadInputError: no checkpoint of that stage.
    """
    state, recipe = read_weights(weights)
    if recipe.get("stage") not in ("pretrain_3d", "finetune"):
        raise BadInputError(f"{weights} holds no eyes, but {recipe.get('stage')}")
    model = EyesModel(from_mapping(Encoder3dConfig, recipe["config"]["encoder"], str(weights)))
    model.load_state_dict(state, strict=True)
    return model.eval(), recipe


def load_forecaster(weights: Path, eyes: EyesModel) -> tuple[Forecaster, dict[str, Any]]:
    """The forecaster of a checkpoint of `pretrain_4d`, in evaluation mode, and its recipe.

    Raises:
        BadInputError: no checkpoint of that stage, or one that was trained over other eyes.
    """
    state, recipe = read_weights(weights)
    if recipe.get("stage") != "pretrain_4d":
        raise BadInputError(f"{weights} holds no forecaster, but {recipe.get('stage')}")
    if recipe["eyes"] != fingerprint(eyes):
        raise BadInputError(f"{weights} was trained over other eyes")
    model = Forecaster(eyes.encoder.config.grid.levels, from_mapping(ForecasterConfig, recipe["config"]["forecaster"], str(weights)))
    model.load_state_dict(state, strict=True)
    return model.eval(), recipe


def fingerprint(eyes: EyesModel) -> str:
    """Of the weights: a forecaster is of use with the eyes it was trained over alone."""
    state, digest = eyes.state_dict(), hashlib.blake2b(digest_size=6)
    for name in sorted(state):
        digest.update(state[name].cpu().numpy().tobytes())
    return digest.hexdigest()


def export(
    weights: Path, out: Path, forecaster_weights: Path | None = None, size: tuple[int, int] = (160, 112), thresholds: Thresholds | None = None
) -> dict[str, float]:
    """Write graphs, weights and description to `out`; returns the greatest difference from torch of each graph.

    Raises:
        AstraError: a graph differs from torch by more than `PARITY`.
    """
    eyes, recipe = load_eyes(weights)
    forecaster, told_4d = (None, None) if forecaster_weights is None else load_forecaster(forecaster_weights, eyes)
    out.mkdir(parents=True, exist_ok=True)
    c, (width, height) = eyes.encoder.config, size
    generator = torch.Generator().manual_seed(0)
    h, w = height // STRIDE, width // STRIDE
    images, rays = torch.rand(4, 3, height, width, generator=generator), torch.randn(4, RAY_CHANNELS, h, w, generator=generator)
    coarse, fine = (torch.rand(1, c.lifted + 2, g.count, generator=generator) for g in (c.grid, c.near))
    looks = {name: {0: "cameras"} for name in ("images", "rays", "features", "depth")}
    differences = {
        "look": write_graph(_Look(eyes), (images, rays), ("images", "rays"), ("features", "depth"), out / LOOK_FILE, looks),
        "settle": write_graph(_Settle(eyes), (coarse, fine), ("coarse", "fine"), ("voxels", "wide", "near"), out / SETTLE_FILE, {}),
    }
    if forecaster is None:
        (out / FORECAST_FILE).unlink(missing_ok=True)
    else:
        p = forecaster.config.past
        side = c.grid.cells
        cells, lasting = torch.randn(1, p, side**2, c.channels * c.grid.levels + 1, generator=generator), torch.rand(1, side, side, generator=generator)
        cells[..., -1] = cells[..., -1].sigmoid()
        inputs = (cells, lasting, torch.ones(1, p), torch.tensor([[0.5, 1.0, 1.5, 2.0]]))
        ahead = {name: {1: "moments"} for name in ("moments", "wide", "movers")}
        names = ("cells", "lasting", "known", "moments")
        differences["forecast"] = write_graph(_Foresee(forecaster, side), inputs, names, ("wide", "movers"), out / FORECAST_FILE, ahead)
    for source, name in ((weights, "weights.safetensors"), (forecaster_weights, "forecaster.safetensors")):
        if source is not None and source.resolve() != (out / name).resolve():
            shutil.copyfile(source, out / name)
    told = {
        "format_version": FORMAT_VERSION, "encoder": asdict(c), "forecaster": None if forecaster is None else asdict(forecaster.config),
        "thresholds": asdict(thresholds or Thresholds()), "recipe": recipe, "forecaster_recipe": told_4d, "difference_from_torch": differences,
    }  # fmt: skip
    (out / DESCRIPTION_FILE).write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
    return differences


def write_graph(
    model: nn.Module, inputs: tuple[Tensor, ...], names: Sequence[str], outputs: Sequence[str], path: Path, dynamic: dict[str, dict[int, str]]
) -> float:
    """Export one graph and compare it with torch."""
    from onnxruntime import InferenceSession

    model.eval()
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            model, inputs, str(path), input_names=list(names), output_names=list(outputs), dynamic_axes=dynamic, opset_version=OPSET, dynamo=False
        )
        expected = model(*inputs)
    found = InferenceSession(str(path), providers=["CPUExecutionProvider"]).run(None, {n: x.numpy() for n, x in zip(names, inputs)})
    pairs = zip(found, expected if isinstance(expected, tuple) else (expected,))
    difference = max(float(np.abs(a - b.numpy()).max()) for a, b in pairs)
    if difference > PARITY:
        raise AstraError(f"{path.name} differs from torch by {difference:.2g}, more than {PARITY:g}")
    return difference

"""From a trained head to models/objects: thresholds from validation worlds, an ONNX graph checked against torch, and a description."""

from __future__ import annotations

import json
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from astra.core.config import require
from astra.core.errors import AstraError
from astra.evaluation.objects import ClassCurve, Found, Shown, curves
from astra.perception.objects import CARD_FILE, CLASSES, MODEL_FILE, STRIDE, decode
from astra.training.objects import SIZE_PX, Detector, Head, Shard

PARITY = 2e-3  # greatest difference between ONNX Runtime and torch, of the heat map
OPSET = 18


@dataclass(frozen=True, slots=True)
class ThresholdConfig:
    """When a class is trusted in one image; several views must agree before it is a landmark."""

    precision: float = 0.9
    least: int = 10  # finds on which that rests; a class with fewer is never reported
    most: int = 12  # objects in an image

    def __post_init__(self) -> None:
        require(0.0 < self.precision <= 1.0, "precision", self.precision, "in (0, 1]")
        require(self.least >= 1, "least", self.least, "≥ 1")
        require(self.most >= 1, "most", self.most, "≥ 1")


def judge(head: Head, shards: list[Shard], config: ThresholdConfig) -> list[ClassCurve]:
    """Every class's curve over the images of some shards."""
    found: list[list[Found]] = []
    shown: list[list[Shown]] = []
    with torch.inference_mode():
        for shard in shards:
            for i in range(len(shard)):
                heat, box = head(*(torch.from_numpy(np.asarray(f[i : i + 1], np.float32)) for f in shard.features))
                size = SIZE_PX * box[0, :2].clamp(-3.0, 3.0).exp()
                found.append(decode(heat[0].sigmoid().numpy(), size.numpy(), STRIDE * box[0, 2:].numpy(), config.most))
                mine = shard.owner == i
                shown.append([(int(k), b.astype(np.float64)) for k, b in zip(shard.label[mine], shard.boxes[mine])])
    return curves(found, shown, len(CLASSES))


def export(head: Head, judged: list[ClassCurve], config: ThresholdConfig, out: Path) -> dict[str, float]:
    """Write objects.onnx and objects.json; returns the mean average precision, and precision and recall at the thresholds.

    Raises:
        AstraError: ONNX Runtime and torch disagree.
    """
    out.mkdir(parents=True, exist_ok=True)
    model, image = Detector(head).eval(), torch.randint(0, 255, (1, 112, 160, 3), dtype=torch.uint8)
    outputs = ["heat", "size", "offset"]
    axes = {"image": {1: "height", 2: "width"}, **{name: {2: "rows", 3: "columns"} for name in outputs}}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the exporter that needs no further package
        torch.onnx.export(
            model, (image,), str(out / MODEL_FILE), input_names=["image"], output_names=outputs, dynamic_axes=axes, opset_version=OPSET, dynamo=False
        )
    _check(model, out / MODEL_FILE)
    thresholds = {n: t for n, c in zip(CLASSES, judged) if (t := c.threshold(config.precision, config.least)) is not None}
    whole = np.sum([c.at(thresholds.get(n, 2.0)) for n, c in zip(CLASSES, judged)], axis=0)
    known = [c.average_precision for c in judged if c.total >= config.least]
    figures = {"map50": float(np.mean(known)) if known else 0.0, "precision": float(whole[0] / max(whole[1], 1)), "recall": float(whole[0] / max(whole[2], 1))}
    by_class = {n: {"ap50": round(c.average_precision, 4), "shown": c.total} for n, c in zip(CLASSES, judged) if c.total}
    card = {"classes": list(CLASSES), "thresholds": {n: round(t, 4) for n, t in thresholds.items()}, "validation": {**figures, "classes": by_class}}
    (out / CARD_FILE).write_text(json.dumps(card, indent=1), encoding="utf-8")
    return figures


def _check(model: Detector, path: Path) -> None:
    from onnxruntime import InferenceSession

    session = InferenceSession(str(path), providers=["CPUExecutionProvider"])
    for rows, columns in ((112, 160), (112, 144)):
        image = torch.randint(0, 255, (1, rows, columns, 3), dtype=torch.uint8)
        with torch.inference_mode():
            wanted = model(image)[0].numpy()
        gap = float(np.abs(session.run(None, {"image": image.numpy()})[0] - wanted).max())
        if gap > PARITY:
            raise AstraError(f"{path}: ONNX Runtime differs from torch by {gap:.1e} at {rows}×{columns}")

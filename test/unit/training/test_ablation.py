"""Arms are compared seed by seed."""

from __future__ import annotations

import pytest

from astra.core.errors import AstraError
from astra.training.ablation import FIGURES, AblationConfig, _results


def test_gains_are_points_of_the_same_seed() -> None:
    def row(iou: float) -> dict[str, float]:
        return {**dict.fromkeys(FIGURES, 0.5), "obstacle_iou": iou}

    found = {"pretrained": [row(0.50), row(0.60)], "scratch": [row(0.40), row(0.44)], "no_depth": [row(0.30), row(0.40)]}
    results = {r.name: r for r in _results(found)}
    assert results["pretrained_over_scratch"].value == pytest.approx(13.0) and results["pretrained_over_scratch"].unit == "points"
    assert results["scratch_over_no_depth"].value == pytest.approx(7.0)
    assert results["pretrained_obstacle_iou"].value == pytest.approx(0.55)


def test_one_seed_is_no_comparison() -> None:
    with pytest.raises(AstraError, match="seeds"):
        AblationConfig(seeds=1)

"""Eyes that know the truth score full marks, eyes that say nothing score none, and a walker who is foreseen beats the copy."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from made_up_room import room

from astra.datasets.samples import Sample
from astra.evaluation.occupancy import Counts, best_thresholds, forecast_results, maps_of, occupancy_results, ride_counts, seen_lately, total
from astra.local_model.config import Encoder3dConfig
from astra.local_model.runtime import EyesConfig, Thresholds, View


def ride() -> list[Sample]:
    """Somebody walks ahead, a metre a second."""
    samples = []
    for tick in range(5):
        base = room()
        occupancy = base.occupancy.copy()
        for step in range(7):
            x = 50 + 5 * (tick + step)
            occupancy[step, 60:64, x : x + 4] = 2
        samples.append(replace(base, stamp_ns=tick * 500_000_000, occupancy=occupancy, visible=np.ones((96, 96), np.uint8)))
    return samples


class Knowing:
    """Says what is true, with a given blindness; `foresees` or copies."""

    encoder, config, history_steps, thresholds = Encoder3dConfig(), EyesConfig(moments_s=(0.0, 0.5, 1.0, 1.5, 2.0)), 1, Thresholds()

    def __init__(self, samples: list[Sample], *, blind: bool = False, foresees: bool = True) -> None:
        self._samples, self._blind, self._foresees = iter(samples), blind, foresees

    def see(self, images, stamp_ns, pose) -> View:
        sample, e = next(self._samples), self.encoder
        maps = [maps_of(sample, e.grid.size_m, e.grid.resolution_m, step)[0].astype(np.float32) for step in range(5)]
        near = maps_of(sample, e.near.size_m, e.near.resolution_m)[0].astype(np.float32)
        ahead = np.stack(maps if self._foresees else maps[:1] * 5)
        gone = 0.0 if self._blind else 1.0
        everywhere = np.ones_like(maps[0], bool)
        depth = np.asarray(sample.depth, np.float32)[:, 4::8, 4::8]
        walks = [a.astype(np.float32) for a in (maps_of(sample, e.grid.size_m, e.grid.resolution_m, step)[2] for step in range(5))]
        movers = gone * 0.45 * ahead * np.stack(walks)
        recent = near * gone, near >= 0
        return View(stamp_ns, maps[0] * gone, near * gone, everywhere, near >= 0, *recent, ahead * gone, ahead * gone, movers, np.zeros(0), depth, {})


def values(counts: list[Counts]) -> dict[str, float]:
    return {r.name: r.value for r in occupancy_results(counts) + forecast_results(counts, EyesConfig().moments_s)}


def test_who_knows_scores_full_marks() -> None:
    counts, views = ride_counts(Knowing(ride()), ride())
    found = values([counts, counts])
    assert len(views) == 5
    for name in ("obstacle_iou_4m", "total_iou_4m", "near_recall_2m", "near_precision_2m", "people_recall_2m", "forecast_1s_obstacle_iou"):
        assert found[name] == pytest.approx(1.0), name
    assert found["depth_abs_rel"] == pytest.approx(0.0, abs=1e-3)
    assert found["1s_over_copy"] > 1.0 and found["moving_1s_over_copy"] > 2.0


def test_who_says_nothing_scores_none() -> None:
    found = values([ride_counts(Knowing(ride(), blind=True), ride())[0]])
    assert found["obstacle_iou_4m"] == 0.0 and found["near_recall_2m"] == 0.0
    assert found["total_iou_4m"] == found["total_iou_4m_all_free"] > 0.5


def test_copying_is_the_measure_of_foresight() -> None:
    found = values([ride_counts(Knowing(ride(), foresees=False), ride())[0]])
    assert found["1s_over_copy"] == pytest.approx(1.0) and found["moving_1s_over_copy"] == pytest.approx(1.0)


def test_somebody_who_stands_still_is_no_mover() -> None:
    sample = ride()[0]
    sample.occupancy[1:] = sample.occupancy[0]
    assert not maps_of(sample, 9.6, 0.2, 2)[2].any()
    assert maps_of(ride()[0], 9.6, 0.2, 2)[2].any()


def test_cells_seen_lately_stay_where_they_are_in_the_world() -> None:
    first, second = ride()[:2]
    first.visible[:] = 0
    second.visible[:] = 0
    first.visible[48, 68] = 1  # 2 m ahead, then 1 m ahead
    second = replace(second, pose=first.pose + np.array([1.0, 0.0, 0.0]))
    assert np.argwhere(seen_lately([first, second])).tolist() == [[48, 58]]
    late = replace(second, stamp_ns=first.stamp_ns + 2_100_000_000)
    assert not seen_lately([first, late]).any()


def test_thresholds_are_chosen_where_they_are_best() -> None:
    chosen = best_thresholds([ride_counts(Knowing(ride()), ride(), sweep=True)[0]])
    assert chosen.near == 0.1  # nothing is said wrongly: the lowest that was tried is precise enough


def test_the_forecast_catches_walkers_before_it_is_best_elsewhere() -> None:
    values = {"copy_1s/tp": 50.0, "copy_1s/fn": 50.0, "copy_moving_1s/tp": 2.0, "copy_moving_1s/fn": 8.0}
    tried = ((0.5, 0.9, 60.0, 1.0), (0.5, 0.4, 58.0, 4.0), (0.5, 0.3, 57.0, 5.0), (0.3, 0.1, 45.0, 9.0))  # what stands, who walks: right of 100, of 10
    for stands, walks, hits, caught in tried:
        values |= {f"ahead@{stands}@{walks}/tp": hits, f"ahead@{stands}@{walks}/fn": 100.0 - hits}
        values |= {f"ahead_moving@{stands}@{walks}/tp": caught, f"ahead_moving@{stands}@{walks}/fn": 10.0 - caught}
    chosen = best_thresholds([Counts(values)])
    assert (chosen.forecast, chosen.mover) == (0.5, 0.4)


def test_counts_of_rides_add_up() -> None:
    one = Counts({"wide/tp": 3.0, "wide/fp": 1.0})
    assert total([one, one]).obstacle_iou("wide") == one.obstacle_iou("wide") == 0.75

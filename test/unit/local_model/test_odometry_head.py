"""The odometry head finds what moved, answers from any subset of sensors, and its covariance is one."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from astra.core.errors import ConfigError
from astra.core.types import ImuSample, WheelTwist
from astra.local_model.odometry.config import OdometryHeadConfig
from astra.local_model.odometry.head import Correlation, OdometryHead, l1, nll
from astra.local_model.odometry.steps import central, imu_rows, wheel_rows

SMALL = OdometryHeadConfig(steps=3, feature_channels=6, cells=8, projected=4, width=16, depth=1, heads=2, memory=8, imu_rows=5, wheel_rows=4)
MS = 1_000_000


def inputs(config: OdometryHeadConfig, batch: int = 2, seed: int = 0) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    shapes = [(batch, config.steps + 1, config.feature_channels, config.cells, config.cells)]
    shapes += [(batch, config.steps, 14), (batch, config.steps, config.imu_rows, 8), (batch, config.steps, config.wheel_rows, 4), (batch, config.steps)]
    return [torch.randn(shape, generator=generator) for shape in shapes]


@pytest.mark.parametrize(("right", "up"), [(0, 0), (2, -1), (-3, 3)])
def test_the_correlation_peaks_where_things_went(right: int, up: int) -> None:
    torch.manual_seed(0)
    correlation = Correlation(8, 8, 7)
    before = torch.randn(1, 8, 16, 16)
    volume = correlation(before, torch.roll(before, (up, right), (2, 3)))[0, :, 5:-5, 5:-5]
    assert (volume.argmax(0) == (3 - up) * 7 + 3 - right).all()
    assert volume.mean(0).abs().max() < 1e-4 and (volume.std(0) - 1.0).abs().max() < 0.05


def test_where_all_is_alike_nothing_matches() -> None:
    assert not Correlation(8, 8, 7)(torch.ones(1, 8, 16, 16), torch.ones(1, 8, 16, 16))[..., 3:-3, 3:-3].any()


def test_an_absent_sensor_changes_nothing() -> None:
    torch.manual_seed(0)
    head = OdometryHead(SMALL).eval()
    given, other = inputs(SMALL), inputs(SMALL, seed=1)
    there = torch.ones(2, SMALL.steps, 3)
    there[:, :, 1] = 0.0
    told = head(*given, there)
    assert torch.equal(told[0], head(given[0], given[1], other[2], *given[3:], there)[0])
    assert not torch.equal(told[0], head(*given[:3], other[3], given[4], there)[0])


def test_points_are_what_the_answer_corrects() -> None:
    torch.manual_seed(0)
    head = OdometryHead(SMALL).eval()
    torch.nn.init.zeros_(head.motion.out.weight)
    given, there = inputs(SMALL), torch.ones(2, SMALL.steps, 3)
    given[1][:, -1, :4] = torch.tensor([1.0, 0.5, -0.2, 0.3])
    bias = head.motion.out.bias[:3] * head.motion.units
    assert torch.allclose(head(*given, there)[0] - bias, torch.tensor([0.05, -0.02, 0.03]).expand(2, 3))
    there[:, -1] = 0.0
    assert torch.allclose(head(*given, there)[0], bias.expand(2, 3))


def test_without_points_wheels_and_gyro_are_what_the_answer_corrects() -> None:
    head = OdometryHead(SMALL).eval()
    torch.nn.init.zeros_(head.motion.out.weight)
    frames, points, imu, wheel, lasts = inputs(SMALL)
    there = torch.tensor([0.0, 1.0, 1.0]).expand(2, SMALL.steps, 3).clone()
    imu[..., 0], wheel[..., 0], lasts[:] = 1.0, 1.0, 0.2
    imu[..., 4], wheel[..., 2], wheel[..., 3] = 0.6, 0.5, -9.0
    bias = head.motion.out.bias[:3] * head.motion.units
    turned = 0.12
    expected = torch.tensor([0.1 * math.cos(turned / 2), 0.1 * math.sin(turned / 2), turned])
    assert torch.allclose(head(frames, points, imu, wheel, lasts, there)[0] - bias, expected.expand(2, 3), atol=1e-5)
    there[:, -1, 1] = 0.0  # without a gyro the wheels say how far it turned
    assert torch.allclose((head(frames, points, imu, wheel, lasts, there)[0] - bias)[:, 2], torch.tensor(-1.8), atol=1e-5)


def test_what_was_seen_may_be_given_instead_of_frames() -> None:
    head = OdometryHead(SMALL).eval()
    frames, *others = inputs(SMALL)
    there = torch.ones(2, SMALL.steps, 3)
    seen = torch.stack([head.steps.seen(frames[:, k], frames[:, k + 1]) for k in range(SMALL.steps)], dim=1)
    assert torch.allclose(head(frames, *others, there)[0], head(seen, *others, there)[0], atol=1e-5)


@pytest.mark.parametrize("spatial", [False, True])
def test_the_factor_is_a_cholesky_factor(spatial: bool) -> None:
    torch.manual_seed(0)
    config = OdometryHeadConfig(**{**{f: getattr(SMALL, f) for f in SMALL.__dataclass_fields__}, "spatial": spatial})
    head = OdometryHead(config)
    motion, factor = head(*inputs(config), torch.ones(2, config.steps, 3))
    assert motion.shape == (2, config.freedoms) and factor.shape == (2, config.freedoms, config.freedoms)
    assert torch.equal(factor, factor.tril()) and (factor.diagonal(dim1=1, dim2=2) > 0).all()
    nll(motion, factor, torch.zeros_like(motion), head.motion.units).backward()
    assert all(p.grad is not None for name, p in head.named_parameters() if name != "motion.absent")


def test_the_likelihood_is_the_normal_distribution_s() -> None:
    generator = torch.Generator().manual_seed(0)
    motion, truth = torch.randn(5, 3, generator=generator), torch.randn(5, 3, generator=generator)
    factor = torch.randn(5, 3, 3, generator=generator).tril(-1) + torch.diag_embed(torch.rand(5, 3, generator=generator) + 0.5)
    expected = -torch.distributions.MultivariateNormal(motion, scale_tril=factor).log_prob(truth).mean() / 3 - 0.5 * math.log(2 * math.pi)
    assert float(nll(motion, factor, truth, torch.ones(3))) == pytest.approx(float(expected), rel=1e-5)
    assert float(l1(motion, truth, torch.ones(3))) == pytest.approx(float((motion - truth).abs().mean()))


def test_rows_hold_the_step_s_readings_alone() -> None:
    wheel = [WheelTwist(t * MS, 0.1 * t, -0.1 * t) for t in range(8)]
    rows = wheel_rows(wheel, 2 * MS, 5 * MS, SMALL)
    assert rows.shape == (4, 4)
    assert rows[0].tolist() == [0.0] * 4
    assert rows[1:, 0].tolist() == [1.0] * 3
    np.testing.assert_allclose(rows[1:, 1:], [(0.002, 0.3, -0.3), (0.001, 0.4, -0.4), (0.0, 0.5, -0.5)], atol=1e-6)
    assert wheel_rows(wheel, 0, 7 * MS, SMALL)[:, 2].tolist() == pytest.approx([0.4, 0.5, 0.6, 0.7])  # the latest stay


def test_rows_leave_out_what_is_not_a_number() -> None:
    still = np.array([0.0, 0.0, 9.81])
    imu = [ImuSample(MS, np.array([0.0, 0.0, 0.3]), still), ImuSample(2 * MS, np.full(3, np.nan), still), ImuSample(3 * MS, np.zeros(3), np.full(3, np.nan))]
    rows = imu_rows(imu, 0, 3 * MS, SMALL)
    assert rows[:, 0].tolist() == [0.0, 0.0, 0.0, 1.0, 1.0]
    assert np.isfinite(rows).all() and rows[3, 4] == pytest.approx(0.3) and not rows[3:, 5:].any()
    assert not wheel_rows([WheelTwist(1, math.nan, 0.0)], 0, 2, SMALL).any()


def test_the_middle_stays_in_the_middle() -> None:
    assert central(np.arange(36).reshape(1, 6, 6), 2).ravel().tolist() == [14, 15, 20, 21]


@pytest.mark.parametrize("bad", [{"window": 4}, {"cells": 12}, {"heads": 3}, {"steps": 0}])
def test_sizes_that_do_not_fit_are_refused(bad: dict[str, int]) -> None:
    with pytest.raises(ConfigError):
        OdometryHeadConfig(**bad)

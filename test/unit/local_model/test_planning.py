"""Flows integrate to their closed forms, trajectories compose and decompose, and the ESDF loss pushes where it should."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from astra.local_model.planning import (
    EsdfConfig,
    FlowPlanner,
    PlannerConfig,
    Scene2d,
    TrajectoryConfig,
    masked_esdf_loss,
    poses_from_steps,
    signed_distance,
    steps_from_poses,
)
from astra.local_model.planning.esdf import sample_field
from astra.local_model.planning.flow import clean_estimate, interpolate, solve

RESOLUTION = 0.1
ROBOT = torch.tensor([[0.0, 0.0, 0.22]])


def test_steps_and_poses_are_inverses() -> None:
    steps = 0.3 * torch.randn(5, 12, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    torch.testing.assert_close(steps_from_poses(poses_from_steps(steps)), steps)


def test_a_circle_closes() -> None:
    n = 64
    turn = 2 * math.pi / n
    steps = torch.tensor([[math.sin(turn), 1.0 - math.cos(turn), turn]], dtype=torch.float64).repeat(n, 1)
    end = poses_from_steps(steps)[-1]
    torch.testing.assert_close(end, torch.tensor([0.0, 0.0, 2 * math.pi], dtype=torch.float64), atol=1e-9, rtol=0)


def test_the_straight_flow_is_exact_in_one_step_of_any_solver() -> None:
    noise, data = torch.randn(4, 3), torch.randn(4, 3)
    for solver in ("euler", "midpoint", "heun"):
        torch.testing.assert_close(solve(lambda x, t: data - noise, noise, 1, solver), data)


def test_higher_orders_solve_a_linear_flow_better() -> None:
    start = torch.ones(1, 1, dtype=torch.float64)
    errors = {s: abs(solve(lambda x, t: x, start, 8, s).item() - math.e) for s in ("euler", "midpoint", "heun")}
    assert errors["midpoint"] < 0.1 * errors["euler"] and errors["heun"] < errors["euler"]


def test_the_clean_estimate_is_the_data_when_the_velocity_is_true() -> None:
    noise, data, t = torch.randn(6, 12, 3), torch.randn(6, 12, 3), torch.rand(6)
    x_t, u = interpolate(noise, data, t)
    torch.testing.assert_close(clean_estimate(x_t, u, t), data, atol=1e-5, rtol=0)


def test_signed_distance_of_a_wall() -> None:
    occupied = np.zeros((20, 20), bool)
    occupied[:, 15:] = True
    field = signed_distance(occupied, RESOLUTION)
    np.testing.assert_allclose(field[10, :], (14.5 - np.arange(20)) * RESOLUTION + 0.0, atol=1e-6)


def wall_ahead(distance: float) -> torch.Tensor:
    """Φ of a wall across the way at x = distance, for 12 moments."""
    x = (torch.arange(96) + 0.5) * RESOLUTION - 4.8
    return (distance - x).expand(96, 96).expand(1, 12, 96, 96).clone()


def forward(speed: float) -> torch.Tensor:
    poses = torch.zeros(1, 12, 3)
    poses[0, :, 0] = speed * torch.arange(1, 13)
    return poses


def test_the_gradient_agrees_with_finite_differences() -> None:
    rng = torch.Generator().manual_seed(3)
    field = torch.nn.functional.interpolate(torch.randn(1, 12, 8, 8, generator=rng, dtype=torch.float64), size=(96, 96), mode="bicubic")
    poses = (0.2 * torch.randn(1, 12, 3, generator=rng, dtype=torch.float64)).requires_grad_()
    discs = torch.tensor([[0.2, 0.0, 0.25], [-0.2, 0.0, 0.22]], dtype=torch.float64)
    far = torch.full((1, 12, 3), 4.0, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda p: masked_esdf_loss(p, far, field, RESOLUTION, EsdfConfig(cap_m=5.0), discs), poses, eps=1e-7, atol=1e-4)


def test_the_loss_pushes_away_from_a_wall_and_not_farther_than_is_safe() -> None:
    poses = forward(0.15).requires_grad_()  # ends at 1.8 m, the wall stands at 1.7
    elsewhere = forward(-0.3)
    loss = masked_esdf_loss(poses, elsewhere, wall_ahead(1.7), RESOLUTION, EsdfConfig(), ROBOT)
    loss.backward()
    assert poses.grad is not None
    assert (poses.grad[0, -1, 0] > 0.5) and torch.count_nonzero(poses.grad[0, :8]) == 0  # descending moves back; what is safe stays


def test_the_demonstrated_way_is_left_alone_and_only_it() -> None:
    poses = forward(0.15).requires_grad_()
    on_it = masked_esdf_loss(poses, poses.detach(), wall_ahead(1.7), RESOLUTION, EsdfConfig(), ROBOT)
    assert on_it.item() == 0.0  # mask everything → no loss
    unmasked = masked_esdf_loss(poses, poses.detach(), wall_ahead(1.7), RESOLUTION, EsdfConfig(mask=0.0), ROBOT)
    printed = masked_esdf_loss(poses, poses.detach(), wall_ahead(1.7), RESOLUTION, EsdfConfig(mask=0.5), ROBOT)
    assert printed.item() == pytest.approx(0.5 * unmasked.item()) and unmasked.item() > 0.0


def test_samples_of_a_field_are_bilinear() -> None:
    field = wall_ahead(1.0)
    xy = torch.tensor([[[0.33, -0.71]]]).expand(1, 12, 1, 2)
    torch.testing.assert_close(sample_field(field, xy, RESOLUTION), torch.full((1, 12, 1), 0.67), atol=1e-5, rtol=0)


SMALL = PlannerConfig(features=8, width=32, heads=2, patch=12, decoder_layers=1, trajectory=TrajectoryConfig(steps=6))


def scene(goal_y: float, b: int = 1) -> Scene2d:
    return Scene2d(torch.zeros(b, 8, 48, 48), torch.zeros(b, 5, 48, 48), torch.zeros(b, 4, 2), torch.tensor([[2.0, goal_y, 0.0]] * b))


def test_sampling_is_repeatable_and_has_the_shape_asked_for() -> None:
    torch.manual_seed(0)
    model = FlowPlanner(SMALL).eval()
    with torch.no_grad():
        draw = [model.sample(model.read(scene(0.5, 2)), 7, torch.Generator().manual_seed(5)) for _ in range(2)]
    assert draw[0].shape == (2, 7, 6, 3)
    torch.testing.assert_close(draw[0], draw[1])


def test_two_ways_are_both_learned_and_told_apart_by_the_goal() -> None:
    torch.manual_seed(0)
    model = FlowPlanner(SMALL)
    optimiser = torch.optim.Adam(model.parameters(), 3e-3)
    left, right = ([[0.1, 0.0, s * 0.15]] * 6 for s in (1.0, -1.0))
    data = SMALL.trajectory.scaled(torch.tensor([left, right] * 12))
    goals = torch.tensor([[2.0, 1.5, 0.0], [2.0, -1.5, 0.0]] * 12)
    both = Scene2d(torch.zeros(24, 8, 48, 48), torch.zeros(24, 5, 48, 48), torch.zeros(24, 4, 2), goals)
    for _ in range(150):
        noise, t = torch.randn_like(data), torch.rand(24)
        x_t, u = interpolate(noise, data, t)
        loss = (model.velocity(x_t, t, model.read(both)) - u).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    with torch.no_grad():
        for sign, goal_y in ((1.0, 1.5), (-1.0, -1.5)):
            turns = poses_from_steps(model.sample(model.read(scene(goal_y)), 16))[0, :, -1, 2] * sign
            assert (turns > 0.4).all()

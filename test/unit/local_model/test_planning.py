"""Flows integrate to their closed forms, trajectories compose and decompose, and the ESDF loss pushes where it should."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from astra.core.types import AnyArray
from astra.local_model.planning.config import MapConfig, PlannerConfig, TrajectoryConfig
from astra.local_model.planning.esdf import EsdfConfig, masked_esdf_loss, sample_field, signed_distance
from astra.local_model.planning.flow import clean_estimate, interpolate
from astra.local_model.planning.maps import clearance_maps, distance_of
from astra.local_model.planning.network import Planner, Scene2d
from astra.local_model.planning.solvers import draw, noises, poses_of, solve
from astra.local_model.planning.trajectory import poses_from_steps, scaled, steps_from_poses, unscaled

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
    noise, data = np.random.default_rng(0).standard_normal((2, 4, 3))
    for solver in ("euler", "midpoint", "heun"):
        np.testing.assert_allclose(solve(lambda x, t: data - noise, noise, 1, solver), data)


def test_higher_orders_solve_a_linear_flow_better() -> None:
    start = np.ones((1, 1))
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


def test_movers_count_where_they_are_at_the_time() -> None:
    poses, elsewhere = forward(0.15), forward(-0.3)
    movers = torch.full((1, 12, 1, 3), 50.0)
    alone = masked_esdf_loss(poses, elsewhere, wall_ahead(9.0)[:, :1], RESOLUTION, EsdfConfig(), ROBOT, movers)
    assert alone.item() == 0.0
    movers[0, 5, 0] = torch.tensor([0.9, 0.3, 0.2])  # beside the pose at that time
    beside = masked_esdf_loss(poses, elsewhere, wall_ahead(9.0)[:, :1], RESOLUTION, EsdfConfig(), ROBOT, movers)
    assert beside.item() == pytest.approx(0.45 - 0.1, abs=1e-5)


def test_the_gradient_beside_movers_agrees_with_finite_differences() -> None:
    rng = torch.Generator().manual_seed(4)
    field = torch.full((1, 1, 96, 96), 3.0, dtype=torch.float64)
    movers = torch.cat([torch.randn(1, 12, 3, 2, generator=rng, dtype=torch.float64), torch.full((1, 12, 3, 1), 0.2, dtype=torch.float64)], -1)
    poses = (0.2 * torch.randn(1, 12, 3, generator=rng, dtype=torch.float64)).requires_grad_()
    far, disc = torch.full((1, 12, 3), 9.0, dtype=torch.float64), ROBOT.double()
    assert torch.autograd.gradcheck(lambda p: masked_esdf_loss(p, far, field, RESOLUTION, EsdfConfig(cap_m=5.0), disc, movers), poses, eps=1e-7, atol=1e-4)


def test_numpy_and_torch_compose_alike() -> None:
    x = torch.randn(3, 12, 3, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    config = TrajectoryConfig()
    steps = unscaled(x, config)
    torch.testing.assert_close(scaled(steps, config), x)
    np.testing.assert_allclose(poses_of(x.numpy(), config), poses_from_steps(steps).numpy(), atol=1e-9)


def test_maps_hold_clearance_and_who_is_foretold() -> None:
    config = MapConfig(size_m=3.2, resolution_m=0.1)
    occupied = np.zeros((64, 64), bool)
    occupied[:, 48:] = True  # from x = 0.8 on
    distance = distance_of(occupied, config)
    np.testing.assert_allclose(distance[10, :23], 0.8 - config.points()[10, :23, 0], atol=0.03)
    discs = np.full((5, 1, 3), 100.0)
    discs[2, 0] = -0.65, 0.25, 0.2
    maps = clearance_maps(distance, np.ones((32, 32), bool), discs, 0.2, config)
    assert maps.shape == (6, 32, 32) and maps[-1].all()
    changed = np.abs(maps[:5] - maps[0]).max(axis=(1, 2)) > 0.1
    assert changed.tolist() == [False, False, True, False, False] and maps[2, 18, 9] == pytest.approx(-0.5)


SMALL = PlannerConfig(width=32, heads=2, decoder_layers=1, maps=MapConfig(size_m=1.6), trajectory=TrajectoryConfig(steps=6))


def scene(goal_y: float, b: int = 1) -> Scene2d:
    return Scene2d(torch.ones(b, 6, 16, 16), torch.zeros(b, 4, 2), torch.tensor([[2.0, goal_y, 0.0, 0.0]] * b))


def sampled(model: Planner, goal_y: float, count: int) -> AnyArray:
    with torch.no_grad():
        read = model.encoder(scene(goal_y)).repeat(count)
        noise = noises(np.random.default_rng(5), count, model.config.trajectory)
        return poses_of(draw(lambda x, t: model.refine(torch.from_numpy(x), torch.from_numpy(t), read).numpy(), model.config, noise), model.config.trajectory)


@pytest.mark.parametrize("head", ["flow", "act", "vae", "diffusion"])
def test_every_head_learns_two_ways_and_the_goal_tells_which(head: str) -> None:
    torch.manual_seed(0)
    model = Planner(replace(SMALL, head=head, latent=2, noise_steps=10))  # type: ignore[arg-type]
    optimiser = torch.optim.Adam(model.parameters(), 4e-3)
    left, right = ([[0.1, 0.0, s * 0.15]] * 6 for s in (1.0, -1.0))
    data = scaled(torch.tensor([left, right] * 12), SMALL.trajectory)
    goals = torch.tensor([[2.0, 1.5, 0.0, 0.0], [2.0, -1.5, 0.0, 0.0]] * 12)
    both = Scene2d(torch.ones(24, 6, 16, 16), torch.zeros(24, 4, 2), goals)
    for _ in range(70):
        losses, estimate = model.losses(model.encoder(both), data)
        assert estimate.shape == data.shape
        optimiser.zero_grad()
        torch.stack(list(losses.values())).sum().backward()
        optimiser.step()
    for sign, goal_y in ((1.0, 1.5), (-1.0, -1.5)):
        ends = sampled(model, goal_y, 8)[:, -1, 2] * sign
        assert (ends > 0.3).all() and (ends.std() > 1e-6) == (head != "act")


def test_many_trajectories_in_one_scene_are_as_each_in_its_own() -> None:
    torch.manual_seed(0)
    model = Planner(SMALL).eval()
    x, t = torch.randn(5, 6, 3), torch.rand(5)
    with torch.no_grad():
        read = model.encoder(scene(0.5))
        torch.testing.assert_close(model.refine(x, t, read), model.refine(x, t, read.repeat(5)), atol=1e-5, rtol=0)


def test_the_eyes_features_are_heeded_where_there_are_any() -> None:
    torch.manual_seed(0)
    model = Planner(replace(SMALL, features=5)).eval()
    plain = scene(0.5)
    features = torch.randn(1, 5, 8, 8)
    with torch.no_grad():
        told = model.encoder(Scene2d(plain.maps, plain.velocity, plain.goal, features)).tokens
        assert not torch.allclose(told, model.encoder(plain).tokens)

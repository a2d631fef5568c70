"""Rendering a known signed-distance volume gives the known depth, and its weights behave as the equation says."""

from __future__ import annotations

import torch

from astra.local_model.grid import VoxelGrid
from astra.local_model.rendering import Fields, RayBatch, occupancy_from_sdf, render_rays
from astra.local_model.rendering.volume import density_from_sdf, sample_volume

GRID = VoxelGrid()
DEPTHS = torch.linspace(0.2, 7.0, 129)


def wall_at(x: float) -> torch.Tensor:
    """The exact signed distance to the half space behind x."""
    centres = torch.from_numpy(GRID.centres()).float()
    return (x - centres[..., 0])[None, None]


def ahead(*ys: float) -> RayBatch:
    origins = torch.tensor([[[0.1, y, 0.6] for y in ys]])
    return RayBatch(origins, torch.tensor([1.0, 0.0, 0.0]).expand_as(origins))


def test_a_wall_is_rendered_at_its_distance() -> None:
    colour = torch.full((1, 3, *GRID.shape), 0.25)
    for x in (1.0, 2.37, 4.0):
        out = render_rays(wall_at(x), colour, torch.tensor(0.02), ahead(0.0, 0.7), DEPTHS, GRID)
        torch.testing.assert_close(out.depth, torch.full((1, 2), x - 0.1), atol=0.06, rtol=0.0)
        torch.testing.assert_close(out.colour, torch.full((1, 2, 3), 0.25), atol=0.01, rtol=0.0)
        assert (out.opacity > 0.98).all()


def test_an_empty_volume_is_transparent() -> None:
    out = render_rays(torch.full((1, 1, *GRID.shape), 1.0), torch.zeros(1, 3, *GRID.shape), torch.tensor(0.05), ahead(0.0), DEPTHS, GRID)
    assert out.opacity.item() < 1e-3 and abs(out.depth.item() - 7.0) < 0.01


def test_density_is_one_half_of_its_greatest_on_the_surface() -> None:
    beta = torch.tensor(0.1)
    torch.testing.assert_close(density_from_sdf(torch.zeros(1), beta), torch.tensor([5.0]))
    torch.testing.assert_close(density_from_sdf(torch.tensor([-10.0]), beta), torch.tensor([10.0]))
    assert density_from_sdf(torch.tensor([2.0]), beta).item() < 1e-6


def test_depth_moves_with_the_surface() -> None:
    shift = torch.zeros(1, requires_grad=True)
    out = render_rays(wall_at(2.0) + shift, torch.zeros(1, 3, *GRID.shape), torch.tensor(0.05), ahead(0.0), DEPTHS, GRID)
    out.depth.sum().backward()
    assert shift.grad is not None and 0.8 < shift.grad.item() < 1.2  # a metre farther is a metre deeper


def test_samples_at_centres_are_the_voxels() -> None:
    volume = torch.rand(1, 2, *GRID.shape)
    points = torch.from_numpy(GRID.centres()).float().view(1, -1, 1, 3)
    sampled, inside = sample_volume(volume, points, GRID)
    torch.testing.assert_close(sampled.view(2, -1), volume.view(2, -1), atol=1e-4, rtol=0.0)
    assert inside.all()


def test_occupancy_is_one_half_on_the_surface() -> None:
    assert occupancy_from_sdf(torch.zeros(1)).item() == 0.5
    assert occupancy_from_sdf(torch.tensor([-0.5])).item() > 0.99 > 0.01 > occupancy_from_sdf(torch.tensor([0.5])).item()


def test_a_new_model_sees_an_empty_room() -> None:
    sdf, colour = Fields(8)(torch.zeros(1, 8, 2, 4, 4))
    assert (sdf > 0.1).all() and ((colour >= 0) & (colour <= 1)).all()

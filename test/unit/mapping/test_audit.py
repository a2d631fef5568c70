"""A reconstruction without odometry: true ones pass, broken and folded ones are cut where they are, look-alikes are named."""

from dataclasses import replace

import numpy as np
import pytest
from audit_scenes import BASE_FROM_CAM, Scene, block

from astra.geometry import Pose2, Pose3
from astra.mapping.audit import audit
from astra.mapping.audit.split import subset
from astra.topomap.audit import Verdict


@pytest.fixture(scope="module")
def scene():
    return Scene(block(), np.random.default_rng(3))


@pytest.mark.parametrize("seed", range(4))
def test_a_true_map_is_one_consistent_fragment(seed):
    rng = np.random.default_rng(seed)
    scene = Scene(block(laps=1 + seed % 2), rng)
    jitter = [Pose2(p.x + 0.002 * rng.normal(), p.y + 0.002 * rng.normal(), p.yaw + 0.0005 * rng.normal()) for p in scene.truth]
    found = audit([scene.fragment(jitter)], scene.input(scene.pairs()))
    assert found.report.verdict is Verdict.CONSISTENT
    assert [len(f.sfm_from_ref) for f in found.fragments] == [len(scene.truth)]
    assert found.report.suspicious_loops == () and not found.refused


def test_a_folded_map_is_cut_at_the_fold(scene):
    truth = scene.truth
    folded = [*truth[:25], *(Pose2(p.x - 3.0, p.y + 1.0, p.yaw) for p in truth[25:])]
    found = audit([scene.fragment(folded)], scene.input(scene.pairs()))
    where = {k: number for number, f in enumerate(found.fragments) for k in f.sfm_from_ref}
    assert where[20] != where[30]
    for number, fragment in enumerate(found.fragments):
        ids = [k for k in fragment.sfm_from_ref if where[k] == number]
        assert all(k < 25 for k in ids) or all(k >= 25 for k in ids)


def test_a_shrunken_half_is_cut_off():
    scene = Scene(block(laps=1), np.random.default_rng(3))
    scales = np.where(np.arange(len(scene.truth)) < 25, 1.0, 0.6)
    cams = [scene.cams[0]]
    for a, b, scale in zip(scene.cams, scene.cams[1:], scales[1:]):
        step = a.inverse() @ b
        cams.append(cams[-1] @ Pose3(step.rotation, scale * step.translation))
    mapped = [(cam @ BASE_FROM_CAM.inverse()).pose2() for cam in cams]
    found = audit([scene.fragment(mapped, scales)], scene.input(scene.pairs()))
    where = {k: number for number, f in enumerate(found.fragments) for k in f.sfm_from_ref}
    assert where[20] != where[30]
    assert len(where) > 0.9 * len(scene.truth)


def test_a_look_alike_that_the_map_refuted_is_named(scene):
    pairs = scene.pairs([(5 + k, 30 + k) for k in range(4)])
    found = audit([scene.fragment()], scene.input(pairs))
    assert found.report.verdict is Verdict.CONSISTENT
    assert [(loop.a in range(5, 9), loop.b in range(30, 34)) for loop in found.report.suspicious_loops] == [(True, True)]


def test_a_stretch_that_nothing_holds_falls_apart(scene):
    pairs = scene.pairs()
    across = (pairs.frame_a <= 20) & (pairs.frame_b > 20) & (pairs.frame_b < 50)
    keep = ~across[pairs.pair_of_match]
    thin = replace(
        pairs, **{n: getattr(pairs, n)[~across] for n in ("view_a", "view_b", "frame_a", "frame_b", "b_from_a")},
        offsets=np.cumsum([0, *pairs.inliers[~across]]),
        **{n: getattr(pairs, n)[keep] for n in ("rays_a", "rays_b", "feature_a", "feature_b")},
    )  # fmt: skip
    only_first_lap = {k: pose for k, pose in scene.fragment().sfm_from_ref.items() if k < 50}
    found = audit([subset(scene.fragment(), set(only_first_lap), scene.keyframes)], scene.input(thin))
    assert sorted(len(f.sfm_from_ref) for f in found.fragments) == [21, 29]


def test_two_passes_laid_on_each_other_are_denied_though_every_step_agrees():
    """The second lap went round another block that has some things in common with the first, and is put on top of it."""
    rng = np.random.default_rng(5)
    one = block(laps=1)
    both, other = Scene([*one, *one], rng), Scene(one, rng)
    common = rng.random(len(both.points)) < 0.15
    half, first = len(one), len(both.points)
    both.points, both.looks = np.concatenate([both.points, other.points]), np.concatenate([both.looks, other.looks])
    for k in range(5, half):
        kept = common[both.seen[half + k]]
        both.seen[half + k] = np.concatenate([both.seen[half + k][kept], other.seen[k] + first])
        both.pixels[half + k] = np.concatenate([both.pixels[half + k][kept], other.pixels[k]])
    found = audit([both.fragment()], both.input(both.pairs()))
    assert found.report.verdict is Verdict.DOUBTFUL
    assert any("not one place" in reason for reason in found.report.reasons)
    assert len(found.refused) > 0

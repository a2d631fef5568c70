"""A reconstruction without odometry: true ones pass, broken and folded ones are cut where they are, look-alikes are named."""

from dataclasses import replace

import numpy as np
import pytest
from audit_scenes import Scene, block

from astra.geometry import Pose2
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
    jitter = [Pose2(p.x + 0.004 * rng.normal(), p.y + 0.004 * rng.normal(), p.yaw + 0.001 * rng.normal()) for p in scene.truth]
    found = audit([scene.fragment(jitter)], scene.input(scene.pairs()))
    assert found.report.verdict is Verdict.CONSISTENT
    assert [len(f.sfm_from_ref) for f in found.fragments] == [len(scene.truth)]
    assert found.report.suspicious_loops == () and not found.refused


def test_a_folded_map_is_cut_at_the_fold(scene):
    truth = scene.truth
    folded = [*truth[:40], *(Pose2(p.x - 3.0, p.y + 1.0, p.yaw) for p in truth[40:])]
    found = audit([scene.fragment(folded)], scene.input(scene.pairs()))
    where = {k: number for number, f in enumerate(found.fragments) for k in f.sfm_from_ref}
    assert where[30] != where[50]
    for number, fragment in enumerate(found.fragments):
        ids = [k for k in fragment.sfm_from_ref if where[k] == number]
        assert all(k < 40 for k in ids) or all(k >= 40 for k in ids)


def test_a_shrunken_half_is_cut_off(scene):
    truth = scene.truth
    here = truth[60]
    half = [here @ Pose2(0.6 * d.x, 0.6 * d.y, d.yaw) for d in (here.inverse() @ p for p in truth[60:])]
    found = audit([scene.fragment([*truth[:60], *half])], scene.input(scene.pairs()))
    where = {k: number for number, f in enumerate(found.fragments) for k in f.sfm_from_ref}
    assert where[50] != where[70]


def test_a_look_alike_that_the_map_refuted_is_named(scene):
    pairs = scene.pairs([(10 + k, 50 + k) for k in range(4)])
    found = audit([scene.fragment()], scene.input(pairs))
    assert found.report.verdict is Verdict.CONSISTENT
    assert [(loop.a in range(10, 14), loop.b in range(50, 54)) for loop in found.report.suspicious_loops] == [(True, True)]


def test_a_stretch_that_nothing_holds_falls_apart(scene):
    pairs = scene.pairs()
    across = (pairs.frame_a <= 20) & (pairs.frame_b > 20) & (pairs.frame_b < 80)
    keep = ~across[pairs.pair_of_match]
    thin = replace(
        pairs, **{n: getattr(pairs, n)[~across] for n in ("view_a", "view_b", "frame_a", "frame_b", "b_from_a")},
        offsets=np.cumsum([0, *pairs.inliers[~across]]),
        **{n: getattr(pairs, n)[keep] for n in ("rays_a", "rays_b", "feature_a", "feature_b")},
    )  # fmt: skip
    only_first_lap = {k: pose for k, pose in scene.fragment().sfm_from_ref.items() if k < 60}
    found = audit([subset(scene.fragment(), set(only_first_lap), scene.keyframes)], scene.input(thin))
    assert sorted(len(f.sfm_from_ref) for f in found.fragments) == [21, 39]

"""Reconstructions without images: a camera on a path through a cloud of points, what it sees, and the pairs that would be verified."""

import math
from pathlib import Path

import numpy as np

from astra.geometry import BODY_FROM_OPTICAL, CameraModel, CameraRig, Pose2, Pose3, RigCamera
from astra.mapping.audit.evidence import VerifiedPairs
from astra.mapping.audit.stage import AuditInput
from astra.mapping.features import ViewSet
from astra.mapping.keyframes import Keyframe, KeyView
from astra.mapping.scale import ScaleConfig
from astra.mapping.sfm import SfmFragment

MODEL = CameraModel.from_fov(320, 240, math.pi / 2)
BASE_FROM_CAM = Pose3.from_rpy(0, 0, 0, (0.1, 0.0, 0.9)) @ BODY_FROM_OPTICAL
RIG = CameraRig((RigCamera("front", MODEL, BASE_FROM_CAM),))
RANGE_M = 7.0
MOST_MATCHES = 60


def block(laps=2, step=0.4, long=18, short=10):
    """Round a block of `long` × `short` steps, corners in four turns of 22.5°."""
    poses, pose = [], Pose2()
    for _ in range(laps):
        for side in (long, short, long, short):
            for k in range(side):
                poses.append(pose)
                pose = pose @ Pose2(step, 0.0, math.pi / 8 if k >= side - 4 else 0.0)
    return poses


def cloud(path, rng, density=16.0):
    """Points (P, 3) on what stands two to three metres beside the path."""
    points = []
    for pose in path:
        count = rng.poisson(density)
        side = rng.choice([-1.0, 1.0], count) * rng.uniform(1.6, 3.0, count)
        along, height = rng.uniform(-0.5, 0.5, count), rng.uniform(0.1, 2.2, count)
        points += [(Pose3.from_pose2(pose)).apply(np.array([x, y, z])) for x, y, z in zip(along, side, height)]
    return np.array(points)


class Scene:
    """`truth`: world_from_base of every keyframe. Matches between keyframes that see the same points; noise of a third of a pixel."""

    def __init__(self, truth, rng, points=None, noise_px=0.33, loop_gap=5):
        self.truth, self.rng = truth, rng
        self.points = cloud(truth, rng) if points is None else points
        self.cams = [Pose3.from_pose2(pose) @ BASE_FROM_CAM for pose in truth]
        self.seen, self.pixels = [], []
        for cam in self.cams:
            local = cam.inverse().apply(self.points)
            pixels, inside = MODEL.project(local)
            rows = np.flatnonzero(inside & (local[:, 2] < RANGE_M) & (local[:, 2] > 0.4))
            self.seen.append(rows)
            self.pixels.append(pixels[rows] + noise_px * rng.normal(size=(len(rows), 2)))
        self.keyframes = [Keyframe(k, 0, k * 10**9, None, (KeyView(k, "front", f"{k}.jpg"),)) for k in range(len(truth))]
        self.loop_gap = loop_gap
        self.looks = np.minimum(rng.gamma(0.3, 60.0, (len(self.points), 128)), 255).astype(np.uint8)

    def pairs(self, look_alikes=()):
        """Verified pairs: neighbours, revisits, and look-alikes (a, b, a_sees_as): what a sees is taken for what keyframe a_sees_as sees in b's place."""
        rows = []
        for a in range(len(self.truth)):
            for b in range(a + 1, len(self.truth)):
                shared, i, j = np.intersect1d(self.seen[a], self.seen[b], return_indices=True)
                if len(shared) >= 25 and (b - a <= self.loop_gap or self.cams[a].angle_to(self.cams[b]) < 0.6):
                    keep = self.rng.permutation(len(shared))[:MOST_MATCHES]
                    rows.append(self._pair(a, b, i[keep], j[keep], self.cams[a], self.pixels[a]))
        rows += [self._look_alike(a, b) for a, b in look_alikes]
        ends = np.array([r[0] for r in rows])
        counts = [len(r[2]) for r in rows]
        features = np.concatenate([r[4] for r in rows])
        return VerifiedPairs(
            ends[:, 0], ends[:, 1], ends[:, 0], ends[:, 1], np.array([r[1] for r in rows]), np.cumsum([0, *counts]),
            np.concatenate([r[2] for r in rows]), np.concatenate([r[3] for r in rows]), features[:, 0], features[:, 1],
        )  # fmt: skip

    def _pair(self, a, b, i, j, cam_a, pixels_a):
        motion = (self.cams[b].inverse() @ cam_a).matrix()[:3]
        return (a, b), motion, _rays(pixels_a[i]), _rays(self.pixels[b][j]), np.stack([i, j], axis=1)

    def _look_alike(self, a, b):
        """A pair whose images would match as if camera a stood 0.3 m before camera b."""
        stand_in = self.cams[b] @ Pose3(np.eye(3), np.array([0.15, 0.0, -0.3]))
        pixels, inside = MODEL.project(stand_in.inverse().apply(self.points[self.seen[b]]))
        j = np.flatnonzero(inside)[:MOST_MATCHES]
        shown = pixels + 0.33 * self.rng.normal(size=pixels.shape)
        return self._pair(a, b, j, j, stand_in, shown)

    def fragment(self, mapped=None, scales=None, unit=0.4, error_px=3.0):
        """What SfM would give for keyframes standing at `mapped`: the first sighting carries a point, sightings that do not fit it are none.

        scales: how many times too large the world is around each keyframe.
        """
        cams = self.cams if mapped is None else [Pose3.from_pose2(pose) @ BASE_FROM_CAM for pose in mapped]
        scales = np.ones(len(cams)) if scales is None else scales
        first = np.full(len(self.points), -1)
        for k in reversed(range(len(cams))):
            first[self.seen[k]] = k
        points = self.points.copy()
        for k, (cam, true) in enumerate(zip(cams, self.cams)):
            mine = first == k
            points[mine] = cam.apply(scales[k] * true.inverse().apply(self.points[mine]))
        observations = {}
        for k, cam in enumerate(cams):
            pixels, _ = MODEL.project(cam.inverse().apply(points[self.seen[k]]))
            fits = np.linalg.norm(pixels - self.pixels[k], axis=1) < error_px
            observations[k] = np.where(fits, self.seen[k], -1)
        frames = {k: Pose3(cam.rotation, unit * cam.translation) for k, cam in enumerate(cams)}
        return SfmFragment(
            frames, dict(frames), unit * points, np.full(len(points), 0.33), observations, {(0, "front"): MODEL}, math.nan, Path()
        )

    def input(self, pairs):
        """What the audit is given."""
        return AuditInput(self.keyframes, [RIG], True, pairs, self.views(), {(0, "front"): MODEL}, ScaleConfig())

    def views(self):
        """Every point has a look of its own."""
        ids = np.arange(len(self.truth))
        offsets = np.cumsum([0, *(len(rows) for rows in self.seen)])
        keypoints, looks = np.concatenate(self.pixels).astype(np.float32), self.looks[np.concatenate(self.seen)]
        return ViewSet(ids, offsets, keypoints, looks, np.ones(len(keypoints), np.float32), np.zeros((len(ids), 0), np.float32))


def _rays(pixels):
    rays = np.column_stack([MODEL.unproject(pixels), np.ones(len(pixels))])
    return rays / np.linalg.norm(rays, axis=1, keepdims=True)

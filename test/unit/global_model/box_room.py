"""A box room with textured walls, ray-cast exactly: images, depths, and a map made from true poses. Truth for the localizer's tests."""

import math

import cv2
import numpy as np

from astra.geometry import BODY_FROM_OPTICAL, CameraModel, CameraRig, Pose2, Pose3, RigCamera
from astra.global_model.loaded import LoadedMap
from astra.perception.local import LocalFeatureExtractor
from astra.perception.place import PlaceEncoder
from astra.topomap import Edge, MapInfo, Node, TopoMap, View
from astra.topomap.features import MapFeatures

SIZE = np.array([7.0, 5.0, 2.6])
MODEL = CameraModel.from_fov(224, 160, math.pi / 2)


def rig():
    cameras = []
    for k, name in enumerate(("front", "left", "back", "right")):
        yaw = k * math.pi / 2
        mount = Pose3.from_rpy(0, 0, yaw, np.array([0.08 * math.cos(yaw), 0.08 * math.sin(yaw), 0.9]))
        cameras.append(RigCamera(name, MODEL, mount @ BODY_FROM_OPTICAL))
    return CameraRig(tuple(cameras))


def texture(rng, pixels=640):
    image = np.full((pixels, pixels, 3), rng.integers(120, 220, 3), np.uint8)
    for _ in range(260):
        x, y = (int(v) for v in rng.integers(0, pixels, 2))
        w, h = (int(v) for v in rng.integers(8, 90, 2))
        colour = [int(c) for c in rng.integers(0, 255, 3)]
        if rng.random() < 0.5:
            cv2.rectangle(image, (x, y), (x + w, y + h), colour, -1)
        else:
            cv2.ellipse(image, (x, y), (w // 2 + 1, h // 2 + 1), float(rng.uniform(0, 180)), 0, 360, colour, -1)
    return image


class BoxRoom:
    def __init__(self, seed):
        rng = np.random.default_rng(seed)
        self.textures = [texture(rng) for _ in range(6)]

    def cast(self, map_from_cam, pixels):
        """Where rays through pixels (N, 2) meet the room: points (N, 3), faces (N,)."""
        rays = MODEL.unproject(pixels)
        directions = np.column_stack([rays, np.ones(len(rays))]) @ map_from_cam.rotation.T
        origin = map_from_cam.translation
        with np.errstate(divide="ignore"):
            to_high = np.where(directions > 0, (SIZE - origin) / directions, np.inf)
            to_low = np.where(directions < 0, -origin / directions, np.inf)
        t = np.minimum(to_high, to_low)
        axis = t.argmin(axis=1)
        points = origin + directions * t.min(axis=1)[:, None]
        return points, axis * 2 + (directions[np.arange(len(axis)), axis] > 0)

    def render(self, map_from_cam):
        factor = 2  # supersampled, as a real lens would average
        fine = MODEL.scaled(factor)
        u, v = np.meshgrid(np.arange(fine.width), np.arange(fine.height))
        pixels = (np.column_stack([u.ravel(), v.ravel()]) + 0.5) / factor - 0.5
        points, faces = self.cast(map_from_cam, pixels)
        image = np.zeros((len(points), 3), np.uint8)
        for face in range(6):
            rows = faces == face
            others = [k for k in range(3) if k != face // 2]
            uv = (points[rows][:, others] / SIZE[others] * 639).astype(int).clip(0, 639)
            image[rows] = self.textures[face][uv[:, 1], uv[:, 0]]
        return cv2.resize(image.reshape(fine.height, fine.width, 3), (MODEL.width, MODEL.height), interpolation=cv2.INTER_AREA)

    def frames(self, pose, stamp_ns=0):
        from astra.core.types import CameraFrame

        base = Pose3.from_pose2(pose)
        return tuple(CameraFrame(stamp_ns, c.name, self.render(base @ c.base_from_cam)) for c in rig().cameras)

    def build_map(self):
        """Nodes on a grid; every feature's point is its true intersection, points nearer than 4 cm are one."""
        extractor, encoder = LocalFeatureExtractor(), PlaceEncoder()
        nodes, edges, images, parts, view_ids, offsets = {}, [], [], [], [], [0]
        poses = [Pose2(x, y, yaw) for x in (1.2, 2.7, 4.3, 5.8) for y, yaw in ((1.2, 0.0), (2.5, 0.7), (3.8, 2.2))]
        for i, pose in enumerate(poses):
            views = []
            for k, camera in enumerate(rig().cameras):
                map_from_cam = Pose3.from_pose2(pose) @ camera.base_from_cam
                image = self.render(map_from_cam)
                features = extractor.extract(image)
                points, faces = self.cast(map_from_cam, features.keypoints.astype(float))
                parts.append((features.keypoints, features.descriptors, points, faces))
                views.append(View(10 * i + k, camera.name, f"images/{10 * i + k}.png", map_from_cam))
                view_ids.append(10 * i + k)
                images.append(image)
                offsets.append(offsets[-1] + len(points))
            nodes[i] = Node(i, i, Pose3.from_pose2(pose), tuple(views))
            edges.extend(Edge(j, i, poses[j].distance_to(pose)) for j in range(i) if poses[j].distance_to(pose) < 2.2)
        points = np.concatenate([p[2] for p in parts])
        cells = np.column_stack([np.round(points / 0.04), np.concatenate([p[3] for p in parts])]).astype(np.int64)
        _, ids = np.unique(cells, axis=0, return_inverse=True)
        features = MapFeatures(
            np.array(view_ids), np.array(offsets), np.concatenate([p[0] for p in parts]), np.concatenate([p[1] for p in parts]),
            points.astype(np.float32), ids.ravel().astype(np.int64), encoder.encode(images),
        )  # fmt: skip
        return LoadedMap(TopoMap(MapInfo("box", "given"), {c.name: MODEL for c in rig().cameras}, nodes, tuple(edges), {}), features)

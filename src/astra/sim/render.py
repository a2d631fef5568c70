"""Pictures and depth from MuJoCo's off-screen renderer: one GL context, no work for what a camera cannot see."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np

from astra.core.types import Float32Array, UInt8Array
from astra.sim import engine
from astra.sim.culling import Culling

MAX_GEOMS = 10_000
Size = tuple[int, int]  # width, height


class Renderer:
    """Draws a model's cameras. It belongs to the thread on which it is made.

    Args:
        model: the compiled MjModel.
        culling: what need not be drawn; None draws everything.
    """

    def __init__(self, model: Any, culling: Culling | None = None) -> None:
        mujoco = engine.mujoco()
        self._model, self._culling = model, culling
        self._size: Size = (int(model.vis.global_.offwidth), int(model.vis.global_.offheight))
        self._gl = mujoco.GLContext(*self._size)
        self._gl.make_current()
        self._context = mujoco.MjrContext(model, mujoco.mjtFontScale.mjFONTSCALE_100.value)
        self._context.readDepthMap = mujoco.mjtDepthMap.mjDEPTH_ZEROFAR
        mujoco.mjr_setBuffer(mujoco.mjtFramebuffer.mjFB_OFFSCREEN.value, self._context)
        self._scene = mujoco.MjvScene(model, maxgeom=min(MAX_GEOMS, model.ngeom + 100))
        for flag in ("SHADOW", "REFLECTION", "HAZE", "FOG"):
            self._scene.flags[getattr(mujoco.mjtRndFlag, f"mjRND_{flag}")] = 0
        self._option = mujoco.MjvOption()
        self._option.sitegroup[:] = 0
        self._fixed = mujoco.MjvCamera()
        self._fixed.type = mujoco.mjtCamera.mjCAMERA_FIXED
        self._faces = np.array([_faces_of(model, geom) for geom in range(model.ngeom)])
        self._rgb: UInt8Array = np.zeros((0, 0, 3), np.uint8)
        self._depth: Float32Array = np.zeros((0, 0), np.float32)
        self.triangles = 0  # of meshes, submitted for the last view

    def camera(self, data: Any, camera: int, size: Size, hidden: tuple[int, ...], *, depth: bool = False) -> tuple[UInt8Array, Float32Array | None]:
        """The view of a camera of the model.

        Args:
            data: the MjData.
            camera: its number.
            size: width and height [px].
            hidden: geom groups that are left out.
            depth: measure it in the same pass.

        Returns:
            rgb (H, W, 3) and, if asked for, depth (H, W) float32 [m] along the optical axis, 0 where there is nothing.
        """
        self._fixed.fixedcamid = camera
        if self._culling is None:
            return self._draw(data, self._fixed, size, hidden, depth)
        tangent = float(np.tan(np.radians(self._model.cam_fovy[camera]) / 2.0))
        self._culling.hide(data, data.cam_xpos[camera], data.cam_xmat[camera].reshape(3, 3), (tangent * size[0] / size[1], tangent))
        try:
            return self._draw(data, self._fixed, size, (*hidden, 5), depth)
        finally:
            self._culling.show()

    def overview(self, data: Any, camera: Any, size: Size, hidden: tuple[int, ...]) -> UInt8Array:
        """Everything, seen from a free MjvCamera; (H, W, 3) RGB."""
        return self._draw(data, camera, size, hidden, False)[0]

    def close(self) -> None:
        """Free the GL context, on the thread that made it."""
        self._gl.make_current()
        self._context.free()
        self._gl.free()

    def _draw(self, data: Any, camera: Any, size: Size, hidden: tuple[int, ...], depth: bool) -> tuple[UInt8Array, Float32Array | None]:
        mujoco = engine.mujoco()
        self._gl.make_current()
        self._resize(size)
        self._option.geomgroup[:] = 1
        self._option.geomgroup[list(hidden)] = 0
        mujoco.mjv_updateScene(self._model, data, self._option, None, camera, mujoco.mjtCatBit.mjCAT_ALL.value, self._scene)
        self.triangles = int(self._faces[self._option.geomgroup[self._model.geom_group] == 1].sum())
        area = mujoco.MjrRect(0, 0, *size)
        mujoco.mjr_render(area, self._scene, self._context)
        mujoco.mjr_readPixels(self._rgb, self._depth if depth else None, area, self._context)
        # OpenGL's first row is the lowest.
        rgb: UInt8Array = np.asarray(cv2.flip(self._rgb, 0), dtype=np.uint8)
        return rgb, self._metres() if depth else None

    def _resize(self, size: Size) -> None:
        """Match the off-screen buffer to the picture: clearing a larger one would cost more than the drawing."""
        if self._rgb.shape[1::-1] == size:
            return
        if self._size != size:
            engine.mujoco().mjr_resizeOffscreen(*size, self._context)
            self._size = size
        self._rgb, self._depth = np.zeros((size[1], size[0], 3), np.uint8), np.zeros(size[::-1], np.float32)

    def _metres(self) -> Float32Array:
        """Undo the projection: with reversed depth z in [0, 1], metres = n·f / (n + z·(f - n))."""
        visual, extent = self._model.vis.map, self._model.stat.extent
        near, far = float(visual.znear * extent), float(visual.zfar * extent)
        z: Float32Array = np.asarray(cv2.flip(self._depth, 0), dtype=np.float32)
        metres = np.float32(near * far) / (np.float32(near) + z * np.float32(far - near))
        metres[z <= 0.0] = 0.0
        return metres


def _faces_of(model: Any, geom: int) -> int:
    is_mesh = model.geom_type[geom] == engine.mujoco().mjtGeom.mjGEOM_MESH
    return int(model.mesh_facenum[model.geom_dataid[geom]]) if is_mesh else 0

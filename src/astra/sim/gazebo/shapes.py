"""Geoms of a compiled MuJoCo model as SDF visuals and collisions; their meshes as OBJ and MTL, their textures as PNG."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from astra.core.errors import BadInputError
from astra.core.types import FloatArray, IntArray
from astra.geometry import Pose3
from astra.sim import engine
from astra.sim.gazebo.elements import Element, add, add_pose, safe_name
from astra.sim.meshes import COLLISION_GROUP

MESHES, TEXTURES = "meshes", "materials/textures"
DEFAULT_RGBA = (0.5, 0.5, 0.5, 1.0)  # what MuJoCo gives a geom that names no colour: its material's holds then


def pose_from_quaternion(position: FloatArray, wxyz: FloatArray) -> Pose3:
    """A pose from MuJoCo's position (3,) and quaternion (4,)."""
    return Pose3.from_quaternion(np.roll(np.asarray(wxyz, dtype=np.float64), -1), np.asarray(position, dtype=np.float64))


class Shapes:
    """Writes what geoms of one model need into the model's folder, each mesh and texture once.

    `unlit`: light is already painted into the textures, so they are shown as they are (emissive) whatever lights there are.
    """

    def __init__(self, model: Any, folder: Path, *, unlit: bool) -> None:
        self._model, self._folder, self._unlit = model, folder, unlit
        self._types = {int(value): name for name, value in engine.mujoco().mjtGeom.__members__.items()}
        self._meshes: dict[int, str] = {}
        self._textures: dict[int, str] = {}
        self._names: dict[str, int] = {}

    def is_drawn(self, geom: int) -> bool:
        """Whether cameras see it."""
        return int(self._model.geom_group[geom]) < COLLISION_GROUP and self._rgba(geom)[3] > 0.0

    def is_solid(self, geom: int) -> bool:
        """Whether things collide with it."""
        return bool(self._model.geom_contype[geom] or self._model.geom_conaffinity[geom])

    def visual(self, link: Element, geom: int, link_from_geom: Pose3) -> Element:
        """Append what is seen of a geom."""
        visual = add(link, "visual", name=self._name(geom, "visual"))
        self._shape(visual, geom, link_from_geom)
        add(visual, "cast_shadows", False)
        self._material(visual, geom)
        return visual

    def collision(self, link: Element, geom: int, link_from_geom: Pose3) -> None:
        """Append what is solid of a geom, with its sliding friction."""
        collision = add(link, "collision", name=self._name(geom, "collision"))
        self._shape(collision, geom, link_from_geom)
        sliding = float(self._model.geom_friction[geom, 0]) if self._model.geom_condim[geom] > 1 else 0.0
        ode = add(add(add(collision, "surface"), "friction"), "ode")
        add(ode, "mu", sliding)
        add(ode, "mu2", sliding)

    def _name(self, geom: int, kind: str) -> str:
        base = f"{safe_name(self._model.geom(geom).name or self._types[int(self._model.geom_type[geom])][7:].lower())}_{kind}"
        self._names[base] = count = self._names.get(base, 0) + 1
        return base if count == 1 else f"{base}_{count}"

    def _rgba(self, geom: int) -> FloatArray:
        model = self._model
        own: FloatArray = np.asarray(model.geom_rgba[geom], dtype=np.float64)
        material = int(model.geom_matid[geom])
        return np.asarray(model.mat_rgba[material], dtype=np.float64) if material >= 0 and np.allclose(own, DEFAULT_RGBA) else own

    def _shape(self, parent: Element, geom: int, link_from_geom: Pose3) -> None:
        kind, size = self._types[int(self._model.geom_type[geom])], [float(v) for v in self._model.geom_size[geom]]
        if kind == "mjGEOM_MESH":
            mesh = int(self._model.geom_dataid[geom])
            add_pose(parent, link_from_geom @ self._file_from_mesh(mesh).inverse())
            add(add(add(parent, "geometry"), "mesh"), "uri", self._mesh(mesh, int(self._model.geom_matid[geom])))
            return
        add_pose(parent, link_from_geom)
        geometry = add(parent, "geometry")
        if kind == "mjGEOM_PLANE":
            plane = add(geometry, "plane")
            add(plane, "normal", (0.0, 0.0, 1.0))
            add(plane, "size", [2 * v if v > 0 else 200.0 for v in size[:2]])
        elif kind == "mjGEOM_BOX":
            add(add(geometry, "box"), "size", [2 * v for v in size])
        elif kind == "mjGEOM_SPHERE":
            add(add(geometry, "sphere"), "radius", size[0])
        elif kind == "mjGEOM_ELLIPSOID":
            add(add(geometry, "ellipsoid"), "radii", size)
        elif kind in ("mjGEOM_CYLINDER", "mjGEOM_CAPSULE"):
            round_ = add(geometry, kind[7:].lower())
            add(round_, "radius", size[0])
            add(round_, "length", 2 * size[1])
        else:
            raise BadInputError(f"geom {self._model.geom(geom).name!r}: a {kind[7:].lower()} cannot be exported as SDF")

    def _material(self, visual: Element, geom: int) -> None:
        """Unlit: black under every light, and its own picture as the light that it gives off."""
        rgba = [float(v) for v in self._rgba(geom)]
        texture = self._texture(int(self._model.geom_matid[geom]))
        material = add(visual, "material")
        shown, black = [*rgba[:3], 1.0], (0.0, 0.0, 0.0, 1.0)
        add(material, "ambient", black if self._unlit else shown)
        add(material, "diffuse", black if self._unlit else shown)
        add(material, "specular", black)
        add(material, "emissive", shown if self._unlit else black)
        if texture is not None:
            metal = add(add(material, "pbr"), "metal")
            add(metal, "albedo_map", texture)
            add(metal, "roughness", 1.0)
            add(metal, "metalness", 0.0)
            if self._unlit:
                add(metal, "emissive_map", texture)
        if rgba[3] < 1.0:
            add(visual, "transparency", 1.0 - rgba[3])

    def _file_from_mesh(self, mesh: int) -> Pose3:
        """MuJoCo moves a mesh to its inertia's frame; this is the way back to the frame of its file."""
        return pose_from_quaternion(self._model.mesh_pos[mesh], self._model.mesh_quat[mesh])

    def _mesh(self, mesh: int, material: int) -> str:
        if mesh not in self._meshes:
            name = f"{safe_name(self._model.mesh(mesh).name)}_{mesh}" if self._taken(mesh) else safe_name(self._model.mesh(mesh).name)
            uri = self._meshes[mesh] = f"{MESHES}/{name}.obj"
            path = self._folder / uri
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(self._obj(mesh, name), "utf-8")
            texture = self._texture(material)
            picture = "" if texture is None else f"map_Kd ../{texture}\n"
            path.with_suffix(".mtl").write_text(f"newmtl {name}\nKa 1 1 1\nKd 1 1 1\nKs 0 0 0\nillum 1\n{picture}", "utf-8")
        return self._meshes[mesh]

    def _taken(self, mesh: int) -> bool:
        return f"{MESHES}/{safe_name(self._model.mesh(mesh).name)}.obj" in self._meshes.values()

    def _obj(self, mesh: int, material: str) -> str:
        """The mesh in the frame of its file, as OBJ text."""
        model = self._model
        vertices = self._file_from_mesh(mesh).apply(_rows(model.mesh_vert, model.mesh_vertadr[mesh], model.mesh_vertnum[mesh]))
        normals = _rows(model.mesh_normal, model.mesh_normaladr[mesh], model.mesh_normalnum[mesh]) @ self._file_from_mesh(mesh).rotation.T
        start, count = int(model.mesh_faceadr[mesh]), int(model.mesh_facenum[mesh])
        window = slice(start, start + count)
        corners: list[IntArray] = [model.mesh_face[window] + 1, model.mesh_facetexcoord[window] + 1, model.mesh_facenormal[window] + 1]
        lines = [f"mtllib {material}.mtl", *("v {:.5f} {:.5f} {:.5f}".format(*v) for v in vertices.tolist())]
        if model.mesh_texcoordadr[mesh] >= 0:
            texcoords = _rows(model.mesh_texcoord, model.mesh_texcoordadr[mesh], model.mesh_texcoordnum[mesh])
            lines += [f"vt {u:.6f} {1.0 - v:.6f}" for u, v in texcoords.tolist()]  # MuJoCo counts v downwards
            form = "f {}/{}/{} {}/{}/{} {}/{}/{}"
        else:
            del corners[1]
            form = "f {}//{} {}//{} {}//{}"
        lines += ["vn {:.4f} {:.4f} {:.4f}".format(*n) for n in normals.tolist()]
        lines.append(f"usemtl {material}")
        lines += [form.format(*f) for f in np.stack(corners, axis=2).reshape(count, -1).tolist()]
        return "\n".join(lines) + "\n"

    def _texture(self, material: int) -> str | None:
        """The picture of a material, written as PNG; None if it has none (cube maps are left out)."""
        import cv2

        model, mujoco = self._model, engine.mujoco()
        texture = -1 if material < 0 else int(model.mat_texid[material, int(mujoco.mjtTextureRole.mjTEXROLE_RGB)])
        if texture < 0 or model.tex_type[texture] != mujoco.mjtTexture.mjTEXTURE_2D:
            return None
        if texture not in self._textures:
            height, width, channels = int(model.tex_height[texture]), int(model.tex_width[texture]), int(model.tex_nchannel[texture])
            start = int(model.tex_adr[texture])
            pixels = model.tex_data[start : start + height * width * channels].reshape(height, width, channels)
            uri = self._textures[texture] = f"{TEXTURES}/{safe_name(model.texture(texture).name)}_{texture}.png"
            (self._folder / uri).parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(self._folder / uri), pixels[..., ::-1] if channels == 3 else pixels[..., [2, 1, 0, 3][:channels]])
        return self._textures[texture]


def _rows(table: Any, start: int, count: int) -> FloatArray:
    rows: FloatArray = np.asarray(table[int(start) : int(start) + int(count)], dtype=np.float64)
    return rows

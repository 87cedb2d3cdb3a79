"""A robot arm on a round table, cast ray by ray: light maps of one geometry.

With Lambert's law the light that leaves a surface is its colour times a number that depends on the
geometry alone. So one cast serves every colour of the object and of the ring: a pixel is
`object_colour * maps[0] + ring_colour * maps[1] + maps[2:5]`, `maps[2:5]` being red, green and
blue of everything whose colour is fixed. `maps[5]` is the share of the pixel beyond the scene.

World units: the table is the plane z = 0, the arm's post stands at the origin, the camera looks
along +y from in front. Angles are in radians.
"""

import math

import numpy as np
from numpy.typing import NDArray

from evaluation.common.compiled import njit
from evaluation.data.simulated.draws import value_noise
from evaluation.data.simulated.looks import Look

Vector = tuple[float, float, float]
Frame = tuple[Vector, Vector, Vector]  # three axes of unit length
Hit = tuple[float, Vector]  # distance in lengths of the ray's direction, and the unit normal
Solid = tuple[float, float, float, float]
Radii = tuple[float, float]  # of the post and of the arm
Lamp = tuple[float, float, float, Vector]  # ambient, direct, shadow of a look, and its direction

SIZE = 64
"""Height and width of an image in pixels."""

CONE, CUBE, CYLINDER, HEXAGONAL, PYRAMID, SPHERE = range(6)

_FOCAL = 122.0  # of the camera, in pixels
_SAMPLES = 3  # a side; a pixel is the mean of their square

# Solids about the z axis: (r, slope, bottom, top) has radius r + slope * z for z in [bottom, top].
_FOOT_HEIGHT = 0.06
_POST_HEIGHT = 0.86
_POST_MIDDLE, _POST_BOUND = (0.0, 0.0, 0.43), 0.48  # a sphere around all of it
SHOULDER = (0.0, 0.0, 0.8)
ARM_LENGTH = 0.85  # from the shoulder to the centre of the object

# Surfaces
_NOTHING, _OBJECT, _RING_SURFACE, _TABLE, _METAL, _FOOT = range(-1, 5)

# Objects in their own frame: the arm comes along +z and ends in the origin; all lie within _BOUND.
_BOUND = 1.2
_SPHERE_RADIUS = 0.8
_CYLINDER = (0.58, 0.0, -0.95, 0.95)
_CONE = (0.506, -0.44, -0.75, 1.15)


def _polyhedron(normals: list[tuple[float, float, float]], offsets: list[float]) -> NDArray:
    """Rows (n_x, n_y, n_z, offset) of the half-spaces n . p <= offset, n of unit length."""
    directions = np.array(normals)
    lengths = np.linalg.norm(directions, axis=1, keepdims=True)
    return np.hstack([directions, np.array(offsets)[:, None]]) / lengths


def _around(sides: int, turn: float, rise: float = 0.0) -> list[tuple[float, float, float]]:
    angles = [turn + 2 * math.pi * side / sides for side in range(sides)]
    return [(math.cos(angle), math.sin(angle), rise) for angle in angles]


_CAPS = [(0.0, 0.0, -1.0), (0.0, 0.0, 1.0)]
_CUBE = _polyhedron([*_around(4, 0.4), *_CAPS], [0.68] * 6)
_HEXAGONAL = _polyhedron([*_around(6, 0.2), *_CAPS], [0.9] * 6 + [0.42] * 2)
# The slope takes the faces from half-edge 0.68 at z = -0.7 to the apex at z = 1.15.
_SLOPE = 0.68 / 1.85
_PYRAMID = _polyhedron([*_around(4, 0.4, rise=_SLOPE), _CAPS[0]], [1.15 * _SLOPE] * 4 + [0.7])


@njit
def _dot(a: Vector, b: Vector) -> float:
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]


@njit
def _along(origin: Vector, direction: Vector, t: float) -> Vector:
    return (
        origin[0] + t * direction[0],
        origin[1] + t * direction[1],
        origin[2] + t * direction[2],
    )


@njit
def _scaled(a: Vector, factor: float) -> Vector:
    return (a[0] * factor, a[1] * factor, a[2] * factor)


@njit
def _miss() -> Hit:
    return math.inf, (0.0, 0.0, 0.0)


@njit
def _passes(centre: Vector, radius: float, origin: Vector, direction: Vector) -> bool:
    """Whether a ray from outside a sphere meets it."""
    away = (origin[0] - centre[0], origin[1] - centre[1], origin[2] - centre[2])
    b = _dot(away, direction)
    gap = _dot(away, away) - radius * radius
    return gap < 0.0 or (b < 0.0 and b * b > gap * _dot(direction, direction))


@njit
def _hit_sphere(radius: float, origin: Vector, direction: Vector) -> Hit:
    """Distance and unit normal where a ray from outside enters a sphere about the origin."""
    a = _dot(direction, direction)
    b = _dot(origin, direction)
    c = _dot(origin, origin) - radius * radius
    root = b * b - a * c
    if root < 0.0 or b > 0.0:
        return _miss()
    t = (-b - math.sqrt(root)) / a
    if t <= 0.0:
        return _miss()
    p = _along(origin, direction, t)
    return t, (p[0] / radius, p[1] / radius, p[2] / radius)


@njit
def _hit_polyhedron(planes: NDArray, origin: Vector, direction: Vector) -> Hit:
    """Distance and unit normal where a ray from outside enters an intersection of half-spaces."""
    enter, leave, face = 0.0, math.inf, -1
    for k in range(planes.shape[0]):
        normal = (planes[k, 0], planes[k, 1], planes[k, 2])
        approach = _dot(normal, direction)
        gap = planes[k, 3] - _dot(normal, origin)
        if approach < 0.0:
            if gap / approach > enter:
                enter, face = gap / approach, k
        elif approach > 0.0:
            leave = min(leave, gap / approach)
        elif gap < 0.0:
            return _miss()
        if enter > leave:
            return _miss()
    if face < 0:
        return _miss()
    return enter, (planes[face, 0], planes[face, 1], planes[face, 2])


@njit
def _hit_frustum(solid: Solid, origin: Vector, direction: Vector) -> Hit:
    """Distance and unit normal where a ray from outside enters a cone or cylinder, see above."""
    radius, slope, bottom, top = solid
    t, normal = _miss()
    at = radius + slope * origin[2]
    turn = slope * direction[2]
    a = direction[0] ** 2 + direction[1] ** 2 - turn**2
    b = origin[0] * direction[0] + origin[1] * direction[1] - at * turn
    c = origin[0] ** 2 + origin[1] ** 2 - at**2
    root = b * b - a * c
    if root < 0.0:
        return t, normal
    if a != 0.0:
        for sign in (-1.0, 1.0):
            side = (-b + sign * math.sqrt(root)) / a
            p = _along(origin, direction, side)
            if 0.0 < side < t and bottom <= p[2] <= top:
                rise = -slope * (radius + slope * p[2])
                length = math.sqrt(p[0] ** 2 + p[1] ** 2 + rise**2)
                t = side
                normal = (p[0] / length, p[1] / length, rise / length)
    if direction[2] != 0.0:
        cap_z = top if direction[2] < 0.0 else bottom
        cap = (cap_z - origin[2]) / direction[2]
        p = _along(origin, direction, cap)
        if 0.0 < cap < t and p[0] ** 2 + p[1] ** 2 <= (radius + slope * cap_z) ** 2:
            t = cap
            normal = (0.0, 0.0, 1.0 if direction[2] < 0.0 else -1.0)
    return t, normal


@njit
def _hit_object(shape: int, origin: Vector, direction: Vector) -> Hit:
    """Distance and unit normal where a ray from outside enters an object of size 1."""
    if not _passes((0.0, 0.0, 0.0), _BOUND, origin, direction):
        return _miss()
    if shape == CONE:
        hit = _hit_frustum(_CONE, origin, direction)
    elif shape == CUBE:
        hit = _hit_polyhedron(_CUBE, origin, direction)
    elif shape == CYLINDER:
        hit = _hit_frustum(_CYLINDER, origin, direction)
    elif shape == HEXAGONAL:
        hit = _hit_polyhedron(_HEXAGONAL, origin, direction)
    elif shape == PYRAMID:
        hit = _hit_polyhedron(_PYRAMID, origin, direction)
    else:
        hit = _hit_sphere(_SPHERE_RADIUS, origin, direction)
    return hit


@njit
def _into(frame: Frame, vector: Vector) -> Vector:
    return (_dot(frame[0], vector), _dot(frame[1], vector), _dot(frame[2], vector))


@njit
def _out_of(frame: Frame, vector: Vector) -> Vector:
    x, y, z = frame
    return (
        x[0] * vector[0] + y[0] * vector[1] + z[0] * vector[2],
        x[1] * vector[0] + y[1] * vector[1] + z[1] * vector[2],
        x[2] * vector[0] + y[2] * vector[1] + z[2] * vector[2],
    )


@njit
def _hit_robot(
    shape: int, size: float, frame: Frame, radii: Radii, origin: Vector, direction: Vector
) -> tuple[float, Vector, int]:
    """Distance, unit normal and surface of what a ray meets of post, arm and object."""
    t, normal = _miss()
    surface = _NOTHING
    post_radius, arm_radius = radii
    if _passes(_POST_MIDDLE, _POST_BOUND, origin, direction):
        post = (0.75 * post_radius, 0.5 * post_radius / _POST_HEIGHT, 0.0, _POST_HEIGHT)
        foot = (2.2 * post_radius, 0.0, 0.0, _FOOT_HEIGHT)
        for part in (post, foot):
            part_t, part_normal = _hit_frustum(part, origin, direction)
            if part_t < t:
                t, normal = part_t, part_normal
                surface = _FOOT if part[3] == _FOOT_HEIGHT else _METAL

    reach = ARM_LENGTH + _BOUND * size
    if _passes(_along(SHOULDER, frame[2], reach / 2), reach / 2 + arm_radius, origin, direction):
        # The frame of the object: its centre is the origin, the arm its z axis.
        centre = _along(SHOULDER, frame[2], ARM_LENGTH)
        away = (origin[0] - centre[0], origin[1] - centre[1], origin[2] - centre[2])
        local_origin = _into(frame, away)
        local_direction = _into(frame, direction)
        arm_t, arm_normal = _hit_frustum(
            (arm_radius, 0.0, -ARM_LENGTH, 0.0), local_origin, local_direction
        )
        if arm_t < t:
            t, normal, surface = arm_t, _out_of(frame, arm_normal), _METAL
        object_t, object_normal = _hit_object(
            shape, _scaled(local_origin, 1 / size), _scaled(local_direction, 1 / size)
        )
        if object_t < t:
            t, normal, surface = object_t, _out_of(frame, object_normal), _OBJECT
    return t, normal, surface


@njit
def _hit_table(
    ring: tuple[float, float], edge: float, origin: Vector, direction: Vector
) -> tuple[float, int]:
    """Distance and surface of the table, or infinity beyond its edge."""
    if direction[2] >= 0.0:
        return math.inf, _NOTHING
    t = -origin[2] / direction[2]
    p = _along(origin, direction, t)
    radius = math.sqrt(p[0] ** 2 + p[1] ** 2)
    if radius > edge:
        return math.inf, _NOTHING
    return t, _RING_SURFACE if ring[0] < radius < ring[1] else _TABLE


@njit
def _light(
    shape: int,
    size: float,
    frame: Frame,
    radii: Radii,
    lamp: Lamp,
    point: Vector,
    normal: Vector,
) -> float:
    """What a surface of albedo 1 sends on."""
    ambient, direct, shadow, towards = lamp
    facing = _dot(normal, towards)
    if facing <= 0.0:
        return ambient
    if shadow > 0.0:
        # Start a little off the surface, so as not to meet it again.
        start = _along(point, normal, 1e-6)
        if _hit_robot(shape, size, frame, radii, start, towards)[0] < math.inf:
            direct *= 1.0 - shadow
    return ambient + direct * facing


@njit
def _texture(frame: Frame, size: float, point: Vector) -> float:
    """The object's texture at a point of it, -1 to 1: two layers that do not move on it."""
    centre = _along(SHOULDER, frame[2], ARM_LENGTH)
    x, y, z = _into(frame, (point[0] - centre[0], point[1] - centre[1], point[2] - centre[2]))
    scale = 2.5 / size
    return 0.5 * (value_noise(1, scale * (x + z), scale * y) + value_noise(2, scale * x, scale * z))


@njit
def _grain(depth: float, width: float, eye: Vector, ray: Vector) -> float:
    """Factor of the table's colour where a ray meets its plane. Once a pixel is enough for it."""
    if depth == 0.0 or ray[2] >= 0.0:
        return 1.0
    point = _along(eye, ray, -eye[2] / ray[2])
    return 1.0 + depth * value_noise(3, point[0] / width, point[1] / width)


@njit
def _add(light: float, surface: int, colour: Vector, pixel: NDArray[np.float32]) -> None:
    """Adds the light of a surface to a pixel of the maps (6,); some surfaces have no own colour."""
    if surface == _OBJECT:
        pixel[0] += light
    elif surface == _RING_SURFACE:
        pixel[1] += light
    else:
        for channel in range(3):
            pixel[2 + channel] += light * colour[channel]


@njit
def _ray(place: tuple[float, float], sin_c: float, cos_c: float) -> Vector:
    """Direction from the camera through a place, pixels to the right of and above the middle."""
    right, up = place
    return (right, _FOCAL * cos_c + up * sin_c, up * cos_c - _FOCAL * sin_c)


@njit
def cast(
    shape: int,
    size: float,
    camera: tuple[float, float],
    arm: tuple[float, float],
    look: Look,
    maps: NDArray[np.float32],
) -> None:
    """Fills `maps` (6, 64, 64) with the light of one geometry, see the module.

    Args:
        shape: `CONE` to `SPHERE`.
        size: Scale of the object, world units.
        camera: Its angle above the table's plane; the height over the post's foot it looks at.
        arm: Its turn about the post, 0 pointing to the camera, positive to the right; its angle
            above the horizontal, less than pi / 2.
        look: A `looks.Look`.
        maps: Filled with sums over the samples of a pixel, divided by their number.
    """
    build = look.build
    radii = (build.post, build.arm)
    camera_angle, aim = camera[0] + build.pitch, camera[1]
    size *= build.size
    sin_c, cos_c = math.sin(camera_angle), math.cos(camera_angle)
    eye = (0.0, -build.distance * cos_c, aim + build.distance * sin_c)

    yaw, elevation = arm
    sin_y, cos_y = math.sin(yaw), math.cos(yaw)
    sin_e, cos_e = math.sin(elevation), math.cos(elevation)
    frame = (
        (cos_y, sin_y, 0.0),
        (-sin_y * sin_e, cos_y * sin_e, cos_e),
        (sin_y * cos_e, -cos_y * cos_e, sin_e),
    )

    maps[:] = 0.0
    share = 1.0 / _SAMPLES**2
    for row in range(SIZE):
        for column in range(SIZE):
            middle = (column + 0.5 - SIZE / 2, SIZE / 2 - row - 0.5)
            grain = _grain(look.grain, look.grain_size, eye, _ray(middle, sin_c, cos_c))
            for sample in range(_SAMPLES**2):
                right = column + (sample % _SAMPLES + 0.5) / _SAMPLES - SIZE / 2
                up = SIZE / 2 - row - (sample // _SAMPLES + 0.5) / _SAMPLES
                ray = _ray((right, up), sin_c, cos_c)
                t, normal, surface = _hit_robot(shape, size, frame, radii, eye, ray)
                table_t, table_surface = _hit_table(build.ring, build.table, eye, ray)
                if table_t < t:
                    t, normal, surface = table_t, (0.0, 0.0, 1.0), table_surface
                if surface == _NOTHING:
                    maps[5, row, column] += share
                    _add(share, surface, look.backdrop, maps[:, row, column])
                    continue

                point = _along(eye, ray, t)
                turned = sample * 4 % _SAMPLES**2  # another order than that within the pixel
                towards = (
                    look.lamp[0] + look.spread * ((turned % _SAMPLES + 0.5) / _SAMPLES - 0.5),
                    look.lamp[1] + look.spread * ((turned // _SAMPLES + 0.5) / _SAMPLES - 0.5),
                    look.lamp[2],
                )
                lamp = (look.ambient, look.direct, look.shadow, towards)
                light = _light(shape, size, frame, radii, lamp, point, normal)
                colour = look.metal
                if surface == _OBJECT:
                    light *= 1.0 + look.texture * _texture(frame, size, point)
                elif surface == _FOOT:
                    colour = look.foot
                elif surface != _METAL:
                    colour = look.table
                    light *= 1.0 - look.falloff * point[1] / build.table
                    light *= look.ring if surface == _RING_SURFACE else grain
                _add(share * light, surface, colour, maps[:, row, column])

"""The ray-caster against projections and shadows worked out apart from it."""

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from evaluation.data.simulated import raycast
from evaluation.data.simulated.looks import Look

# The camera, written down again: distance to the point it looks at, focal length in pixels.
DISTANCE, FOCAL = 4.6, 122.0
CAMERA = (math.radians(34), 0.66)
ARM = (math.radians(50), math.radians(35))
SIZE = 0.3
WHITE = (1.0, 1.0, 1.0)
BLACK = (0.0, 0.0, 0.0)
DARK = {"table": BLACK, "metal": BLACK, "foot": BLACK, "backdrop": BLACK}
OUTLINE = Look(1.0, 0.0, 0.0, 0.0, 0.0, **DARK)


def cast(shape: int, look: Look, arm: tuple[float, float] = ARM) -> NDArray[np.float32]:
    maps = np.empty((6, 64, 64), np.float32)
    raycast.cast(shape, SIZE, CAMERA, arm, look, maps)
    return maps


def camera_axes() -> tuple[NDArray, NDArray]:
    """The eye, and rows right, up and forward."""
    angle, aim = CAMERA
    forward = np.array([0, math.cos(angle), -math.sin(angle)])
    up = np.array([0, math.sin(angle), math.cos(angle)])
    eye = np.array([0, 0, aim]) - DISTANCE * forward
    return eye, np.stack([np.array([1.0, 0, 0]), up, forward])


def project(point: NDArray) -> tuple[float, float]:
    """Row and column, in pixels from the upper left corner of the image."""
    eye, axes = camera_axes()
    right, up, depth = axes @ (point - eye)
    return 32 - FOCAL * up / depth, 32 + FOCAL * right / depth


def object_centre(arm: tuple[float, float] = ARM) -> NDArray:
    yaw, elevation = arm
    along = np.array(
        [
            math.sin(yaw) * math.cos(elevation),
            -math.cos(yaw) * math.cos(elevation),
            math.sin(elevation),
        ]
    )
    return np.array([0, 0, 0.8]) + 0.85 * along


def test_a_sphere_is_where_and_as_large_as_perspective_makes_it() -> None:
    outline = cast(raycast.SPHERE, OUTLINE)[0]
    eye, axes = camera_axes()
    centre = object_centre()
    rows, columns = np.mgrid[:64, :64] + 0.5
    row, column = project(centre)
    assert (outline * rows).sum() / outline.sum() == pytest.approx(row, abs=0.2)
    assert (outline * columns).sum() / outline.sum() == pytest.approx(column, abs=0.2)

    # The outline is an ellipse, the section of a cone about the line to the centre.
    distance = np.linalg.norm(centre - eye)
    sine = 0.8 * SIZE / distance
    cosine_off_axis = axes[2] @ (centre - eye) / distance
    squared = cosine_off_axis**2 - sine**2
    area = math.pi * FOCAL**2 * sine**2 * math.sqrt(1 - sine**2) / squared**1.5
    assert outline.sum() == pytest.approx(area, rel=0.02)


def _inside(shape: int, p: NDArray) -> NDArray[np.bool_]:
    """Whether points (..., 3) in the frame of an object of size 1 lie in it."""
    x, y, z = p[..., 0], p[..., 1], p[..., 2]

    def turned(angle: float) -> NDArray:
        return x * math.cos(angle) + y * math.sin(angle)

    radius = np.hypot(x, y)
    square = np.maximum(abs(turned(0.4)), abs(turned(0.4 + math.pi / 2)))
    hexagon = np.max([abs(turned(0.2 + k * math.pi / 3)) for k in range(3)], axis=0)
    return {
        raycast.CONE: (z >= -0.75) & (radius <= (1.15 - z) * 0.44) & (z <= 1.15),
        raycast.CUBE: (square <= 0.68) & (abs(z) <= 0.68),
        raycast.CYLINDER: (radius <= 0.58) & (abs(z) <= 0.95),
        raycast.HEXAGONAL: (hexagon <= 0.9) & (abs(z) <= 0.42),
        raycast.PYRAMID: (z >= -0.7) & (square <= (1.15 - z) * 0.68 / 1.85) & (z <= 1.15),
        raycast.SPHERE: np.linalg.norm(p, axis=-1) <= 0.8,
    }[shape]


@pytest.mark.parametrize("arm", [ARM, (math.radians(-70), math.radians(-10))])
@pytest.mark.parametrize("shape", range(6))
def test_outlines_are_those_of_walking_along_every_ray(
    shape: int, arm: tuple[float, float]
) -> None:
    eye, axes = camera_axes()
    places = (np.arange(64 * 3) + 0.5) / 3 - 32
    right, up = np.meshgrid(places, -places)
    rays = np.stack([right, up, np.full_like(up, FOCAL)], axis=-1) @ axes
    rays /= np.linalg.norm(rays, axis=-1, keepdims=True)

    centre = object_centre(arm)
    yaw = arm[0]
    z = (centre - [0, 0, 0.8]) / 0.85
    x = np.array([math.cos(yaw), math.sin(yaw), 0])
    frame = np.stack([x, np.cross(z, x), z])
    near = np.linalg.norm(np.cross(rays, centre - eye), axis=-1) < 1.3 * SIZE
    middle = np.linalg.norm(centre - eye)
    steps = np.linspace(middle - 0.45, middle + 0.45, 300)
    points = eye + rays[near][:, None] * steps[:, None]
    met = np.zeros(near.shape, bool)
    met[near] = _inside(shape, (points - centre) @ frame.T / SIZE).any(axis=1)
    walked = met.reshape(64, 3, 64, 3).mean(axis=(1, 3))

    # Nothing stands before the object, for the arm ends in it and points at the camera's side.
    difference = abs(cast(shape, OUTLINE, arm)[0] - walked)
    assert walked.sum() > 40
    assert difference.max() <= 0.34  # corners that a step misses
    assert difference.sum() <= 0.02 * walked.sum()


def test_the_ring_lies_between_its_radii() -> None:
    ring = cast(raycast.SPHERE, OUTLINE, arm=(0.0, math.radians(-20)))[1]  # out of the way
    for side in (-1, 1):
        angle = math.pi / 2 + side * 0.35
        along = np.array([math.cos(angle), math.sin(angle), 0])
        middle_row, middle_column = project(2.04 * along)
        assert ring[int(middle_row), int(middle_column)] == 1
        for radius in (1.75, 2.33):
            row, column = project(radius * along)
            assert ring[int(row), int(column)] == 0


def test_the_table_is_lit_by_lamberts_law_and_dark_where_the_object_hides_the_lamp() -> None:
    look = Look(0.25, 0.5, 0.6, 0.0, 0.0, **(DARK | {"table": (200.0, 100.0, 50.0)}))
    maps = cast(raycast.SPHERE, look)
    lamp = np.array([-0.5, -0.55, 0.85])
    upward = 0.85 / np.linalg.norm(lamp)
    np.testing.assert_allclose(
        maps[2:5, 60, 4], (0.25 + 0.5 * upward) * np.array([200, 100, 50]), rtol=1e-5
    )
    centre = object_centre()
    row, column = project(centre - lamp * centre[2] / lamp[2])
    np.testing.assert_allclose(
        maps[2:5, int(row), int(column)],
        (0.25 + 0.5 * upward * 0.4) * np.array([200, 100, 50]),
        rtol=1e-5,
    )


def test_a_sphere_is_brightest_where_it_faces_the_lamp_and_ambient_where_it_does_not() -> None:
    lit = cast(raycast.SPHERE, OUTLINE._replace(ambient=0.2, direct=0.7))[0]
    covered = cast(raycast.SPHERE, OUTLINE)[0] == 1
    assert lit[covered].max() == pytest.approx(0.9, abs=0.01)
    assert lit[covered].min() == pytest.approx(0.2, abs=0.01)
    lamp = np.array([-0.5, -0.55, 0.85]) / np.linalg.norm([-0.5, -0.55, 0.85])
    row, column = project(object_centre() + 0.8 * SIZE * lamp)
    brightest = np.unravel_index(np.where(covered, lit, 0).argmax(), lit.shape)
    assert np.hypot(brightest[0] + 0.5 - row, brightest[1] + 0.5 - column) < 1.5


def test_every_pixel_is_covered_exactly_once() -> None:
    everything = OUTLINE._replace(table=WHITE, metal=WHITE, foot=WHITE, backdrop=WHITE)
    maps = cast(raycast.CUBE, everything)
    np.testing.assert_allclose(maps[:3].sum(axis=0), 1, rtol=1e-6)


def test_the_last_map_is_what_lies_beyond_the_scene() -> None:
    only_the_sky = OUTLINE._replace(backdrop=WHITE)
    maps = cast(raycast.CUBE, only_the_sky)
    np.testing.assert_array_equal(maps[5], maps[2])
    assert maps[5, 0].min() == 1
    assert maps[5, -1].max() == 0


def test_a_wide_lamp_softens_the_edge_of_a_shadow_and_leaves_its_middle() -> None:
    sharp = OUTLINE._replace(ambient=0.0, direct=1.0, shadow=1.0, table=WHITE)
    edges = [
        ((table > 0.05) & (table < 0.7)).sum()
        for table in (cast(raycast.SPHERE, look)[2] for look in (sharp, sharp._replace(spread=0.3)))
    ]
    assert edges[1] > 1.3 * edges[0]


def test_the_texture_moves_with_the_object_and_averages_out() -> None:
    for arm in (ARM, (math.radians(-30), math.radians(10))):
        plain = cast(raycast.SPHERE, OUTLINE, arm)[0]
        textured = cast(raycast.SPHERE, OUTLINE._replace(texture=0.5), arm)[0]
        covered = plain == 1
        assert textured[covered].std() > 0.05
        assert abs(textured[covered] - 1).max() <= 0.5
        assert textured[covered].mean() == pytest.approx(1, abs=0.15)

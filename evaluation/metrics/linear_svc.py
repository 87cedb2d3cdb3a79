"""Linear support vector classifiers of one dim, as scikit-learn's LinearSVC fits them.

One line a class, against the rest, with the squared hinge loss and a penalty on slope and offset:
LIBLINEAR's trust region Newton method (Lin, Weng, Keerthi, JMLR 9, 2008) for two unknowns, step by
step, up to rounding. It stops early, so that another method would give other lines.

In one dim the samples inside the margin are the first ones or the last ones in the order of the
codes. So their sums are looked up, and a step does not look at samples.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from evaluation.common.compiled import njit, subroutine

_C = 0.01
_TOLERANCE = 1e-4
_MOST_STEPS = 1000
_NO_CHANGE = 1e-12

_ACCEPTED, _POOR, _GOOD = 1e-4, 0.25, 0.75
"""Of the decrease that the quadratic model promised: what a step needs, and how it is judged."""

_SHRINK, _HALVE, _WIDEN = 0.25, 0.5, 4.0
"""How the radius of the trust region changes."""

_CG_TOLERANCE = 0.1


class Side(NamedTuple):
    """The samples that shall lie above a line, or those that shall lie below.

    Args:
        sign: 1 for above, -1 for below.
        cost: What each weighs in the loss.
        codes: (m,), ascending.
        first: Sums (m + 1, 2) of the first 0 to m codes and of their squares, `center` deducted.
        last: The same of all but the first 0 to m.
        center: What is deducted from the codes before they are summed, so that nothing cancels.
    """

    sign: float
    cost: float
    codes: NDArray[np.float64]
    first: NDArray[np.float64]
    last: NDArray[np.float64]
    center: float


class Inside(NamedTuple):
    """Number, sum and sum of squares of the samples inside the margin, `center` deducted."""

    number: float
    total: float
    squares: float


@njit
def fit_lines(
    codes: NDArray[np.float64], labels: NDArray[np.int64], classes: int
) -> NDArray[np.float64]:
    """Slopes and offsets (classes, 2), or (1, 2) of the second class where there are two.

    As of `LinearSVC(C=0.01, class_weight="balanced")`.

    Args:
        codes: (n,), ascending.
        labels: (n,), from 0, each of the `classes` at least once.
        classes: Their number, at least 2.
    """
    n = len(codes)
    counts = np.zeros(classes, np.int64)
    center = 0.0
    for k in range(n):
        counts[labels[k]] += 1
        center += codes[k] / n
    lines = np.empty((1 if classes == 2 else classes, 2))
    for line in range(len(lines)):
        wanted = 1 if classes == 2 else line
        # LIBLINEAR weighs the rest by its class only where that is one class.
        rest_cost = _C * n / (2 * counts[0]) if classes == 2 else _C
        cost = _C * n / (classes * counts[wanted])
        above, below = np.empty(counts[wanted]), np.empty(n - counts[wanted])
        number = 0
        for k in range(n):
            if labels[k] == wanted:
                above[number] = codes[k]
                number += 1
            else:
                below[k - number] = codes[k]
        lines[line, 0], lines[line, 1] = _fit_line(
            _side(1.0, cost, above, center),
            _side(-1.0, rest_cost, below, center),
            _TOLERANCE * min(number, n - number) / n,
        )
    return lines


@njit
def count_hits(
    lines: NDArray[np.float64], codes: NDArray[np.float64], labels: NDArray[np.int64]
) -> int:
    """How many of the codes (m,) lie highest above the line of their label (m,)."""
    hits = 0
    for k in range(len(codes)):
        best = 0
        highest = lines[0, 0] * codes[k] + lines[0, 1]
        if len(lines) == 1:
            best = int(highest > 0)
        for line in range(1, len(lines)):
            height = lines[line, 0] * codes[k] + lines[line, 1]
            if height > highest:
                best, highest = line, height
        hits += best == labels[k]
    return hits


@subroutine
def _side(sign: float, cost: float, codes: NDArray[np.float64], center: float) -> Side:
    m = len(codes)
    first, last = np.zeros((m + 1, 2)), np.zeros((m + 1, 2))
    for k in range(m):
        code = codes[k] - center
        first[k + 1, 0] = first[k, 0] + code
        first[k + 1, 1] = first[k, 1] + code * code
        code = codes[m - 1 - k] - center
        last[m - 1 - k, 0] = last[m - k, 0] + code
        last[m - 1 - k, 1] = last[m - k, 1] + code * code
    return Side(sign, cost, codes, first, last, center)


@subroutine
def _inside(side: Side, slope: float, offset: float) -> Inside:
    """Those whose height above the line, or depth below it, is less than 1."""
    rises = side.sign * slope >= 0
    low, high = 0, len(side.codes)
    while low < high:
        middle = (low + high) // 2
        if (side.sign * (slope * side.codes[middle] + offset) < 1) == rises:
            low = middle + 1
        else:
            high = middle
    if rises:
        return Inside(float(low), side.first[low, 0], side.first[low, 1])
    return Inside(float(len(side.codes) - low), side.last[low, 0], side.last[low, 1])


@subroutine
def _loss(side: Side, inside: Inside, slope: float, offset: float) -> float:
    distance = offset + slope * side.center - side.sign
    return side.cost * (
        slope * slope * inside.squares
        + 2 * slope * distance * inside.total
        + distance * distance * inside.number
    )


@subroutine
def _slopes_of_loss(side: Side, inside: Inside, slope: float, offset: float) -> tuple[float, float]:
    """Derivatives of the loss by slope and offset."""
    distance = offset + slope * side.center - side.sign
    by_offset = slope * inside.total + distance * inside.number
    by_slope = slope * inside.squares + distance * inside.total + side.center * by_offset
    return 2 * side.cost * by_slope, 2 * side.cost * by_offset


@subroutine
def _curvature(side: Side, inside: Inside) -> tuple[float, float, float]:
    """Second derivatives of the loss: by slope, by slope and offset, by offset."""
    center = side.center
    squares = inside.squares + 2 * center * inside.total + center * center * inside.number
    total = inside.total + center * inside.number
    return 2 * side.cost * squares, 2 * side.cost * total, 2 * side.cost * inside.number


@subroutine
def _norm(a: float, b: float) -> float:
    return np.sqrt(a * a + b * b)


@subroutine
def _fit_line(above: Side, below: Side, tolerance: float) -> tuple[float, float]:
    """Slope and offset: the gradient has shrunk to `tolerance` times what it was at 0."""
    slope, offset = 0.0, 0.0
    up, down = _inside(above, slope, offset), _inside(below, slope, offset)
    value = _loss(above, up, slope, offset) + _loss(below, down, slope, offset)
    first = radius = 0.0
    fresh = True
    for step in range(_MOST_STEPS):
        if fresh:
            from_up = _slopes_of_loss(above, up, slope, offset)
            from_down = _slopes_of_loss(below, down, slope, offset)
            g0, g1 = slope + from_up[0] + from_down[0], offset + from_up[1] + from_down[1]
            norm = _norm(g0, g1)
            if step == 0:
                first = radius = norm
            if norm <= tolerance * first:
                break
            curved_up, curved_down = _curvature(above, up), _curvature(below, down)
            h00 = 1 + curved_up[0] + curved_down[0]
            h01 = curved_up[1] + curved_down[1]
            h11 = 1 + curved_up[2] + curved_down[2]
        s0, s1, r0, r1 = _newton_step(radius, g0, g1, h00, h01, h11)
        new_slope, new_offset = slope + s0, offset + s1
        along = g0 * s0 + g1 * s1
        promised = -0.5 * (along - (s0 * r0 + s1 * r1))
        up, down = _inside(above, new_slope, new_offset), _inside(below, new_slope, new_offset)
        new_value = (
            0.5 * (new_slope * new_slope + new_offset * new_offset)
            + _loss(above, up, new_slope, new_offset)
            + _loss(below, down, new_slope, new_offset)
        )
        decrease = value - new_value
        length = _norm(s0, s1)
        if step == 0:
            radius = min(radius, length)
        radius = _next_radius(radius, length, along, promised, decrease)
        fresh = decrease > _ACCEPTED * promised
        if fresh:
            slope, offset, value = new_slope, new_offset, new_value
        if decrease == 0 and promised <= 0:
            break
        if max(abs(decrease), abs(promised)) <= _NO_CHANGE * abs(value):
            break
    return slope, offset


@subroutine
def _next_radius(
    radius: float, length: float, along: float, promised: float, decrease: float
) -> float:
    excess = -decrease - along
    share = _WIDEN if excess <= 0 else max(_SHRINK, -0.5 * along / excess)
    if decrease < _ACCEPTED * promised:
        return min(max(share, _SHRINK) * length, _HALVE * radius)
    if decrease < _POOR * promised:
        return max(_SHRINK * radius, min(share * length, _HALVE * radius))
    if decrease < _GOOD * promised:
        return max(_SHRINK * radius, min(share * length, _WIDEN * radius))
    return max(radius, min(share * length, _WIDEN * radius))


@subroutine
def _newton_step(
    radius: float, g0: float, g1: float, h00: float, h01: float, h11: float
) -> tuple[float, float, float, float]:
    """The step by conjugate gradients within the radius, and what remains of the gradient."""
    s0 = s1 = 0.0
    r0, r1 = -g0, -g1
    d0, d1 = r0, r1
    enough = _CG_TOLERANCE * _norm(g0, g1)
    square = r0 * r0 + r1 * r1
    while _norm(r0, r1) > enough:
        hd0, hd1 = h00 * d0 + h01 * d1, h01 * d0 + h11 * d1
        share = square / (d0 * hd0 + d1 * hd1)
        if _norm(s0 + share * d0, s1 + share * d1) > radius:
            share = _share_to_border(radius, s0, s1, d0, d1)
            return s0 + share * d0, s1 + share * d1, r0 - share * hd0, r1 - share * hd1
        s0, s1 = s0 + share * d0, s1 + share * d1
        r0, r1 = r0 - share * hd0, r1 - share * hd1
        new_square = r0 * r0 + r1 * r1
        grown = new_square / square
        d0, d1 = r0 + grown * d0, r1 + grown * d1
        square = new_square
    return s0, s1, r0, r1


@subroutine
def _share_to_border(radius: float, s0: float, s1: float, d0: float, d1: float) -> float:
    """How much of (d0, d1) leads from (s0, s1) to the border of the trust region."""
    along = s0 * d0 + s1 * d1
    square = d0 * d0 + d1 * d1
    left = radius * radius - (s0 * s0 + s1 * s1)
    root = np.sqrt(along * along + square * left)
    return left / (along + root) if along >= 0 else (root - along) / square

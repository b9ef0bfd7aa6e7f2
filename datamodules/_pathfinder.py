"""Draw Pathfinder images: are two dots joined by a dashed curve? (Linsley et al. 2018; Kim et al. 2020.)

An image has two long dashed curves, shorter ones that distract, and two dots: one at the start of a long curve, one at
the end of the same curve (label 1) or of the other (label 0). The parameters are those of Long Range Arena. The program
is our own, so the images are similar but not identical:

- The first curve starts at least 2 × `seed_distance` from every border, the second at `seed_distance` from the first,
  each in a random direction.
- A dash is `paddle_length` long; between two of them lie 2 × `margin`. From dash to dash the curve turns by δ with
  density ∝ cos²(continuity · δ), |δ| < π / (2 continuity).
- A dash keeps 2 × `margin` away from all others but its neighbours in the curve, and `padding` away from the border.
  An image that has no room for both long curves is thrown away. A short curve for which there is no room is left out.

`pathfinder` and `path-x` draw other numbers of distractors than the authors' program, counted on a few dozen of its
images: 3.4 an image in place of 1.3, and 7.7 in place of 8. The margins 2 and 3 of `path-x` come 75:25 in place of
50:50. `pathfinder-2` and `path-x-2` have the authors' numbers. Brightness and the distance of a curve's ends (12.6
pixels in place of 11.5 for the first long curve) still differ.

Shapes: N images in progress, R images that a step works on, C cells of the grid that covers an image, S dashes of an
image, K candidates for the next dash, P points along a dash, Q cells around a dash; a last 2 is (y, x), in pixels.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from datamodules._base import Samples
from datamodules._generated import GeneratedTask, samples
from datamodules._spec import Continuous, Label, TaskSpec

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

CANDIDATES = 16
LONG_TRIES, SHORT_TRIES = 40, 5
TURNS = np.linspace(-np.pi / 2, np.pi / 2, 1_001)
TURN_SHARES = 0.5 + (TURNS + np.sin(TURNS) * np.cos(TURNS)) / np.pi  # the distribution with density ∝ cos²


@dataclass(frozen=True, kw_only=True)
class Drawing:
    """The parameters of an image, under their names in the original program. Lengths are in pixels."""

    window_size: int
    paddle_length: int
    paddle_thickness: float
    paddle_margins: tuple[int, ...]
    contrast: float
    continuity: float
    marker_radius: float
    seed_distance: int
    num_distractors: int
    contour_length: int = 14
    distractor_length: int = 4  # a third of 14
    padding: int = 1
    cells: int
    """Cells per pixel, along each axis, of the grid on which dashes keep their distance."""
    begun: int = 1_000
    """How many images are begun at a time."""
    short_candidates: int = CANDIDATES
    """Candidates for the next dash of a curve that distracts."""
    short_tries: int = SHORT_TRIES
    even_margins: bool = False
    """Whether each margin is as frequent among the images that are kept as among those that are begun."""


TINY = Drawing(
    window_size=16,
    paddle_length=2,
    paddle_thickness=0.5,
    paddle_margins=(1,),
    contrast=0.75,
    continuity=1.0,
    marker_radius=1.5,
    seed_distance=3,
    num_distractors=1,
    contour_length=4,
    distractor_length=2,
    cells=2,
    begun=100,
)


class PathfinderTask(GeneratedTask):
    """A task: say whether the two dots are joined. It has 200,000 images, divided as in Long Range Arena."""

    drawing: Drawing
    counts = {"train": 160_000, "validation": 20_000, "test": 20_000}
    tiny = {"drawing": TINY}
    parallel = True

    def describe(self) -> TaskSpec:
        size = self.drawing.window_size
        return TaskSpec(
            name=self.variant,
            summary=f"are two dots joined, in a {size}×{size} image read pixel by pixel",
            seq_len=size**2,
            input=Continuous(1),
            output=Label(2),
            metric="accuracy",
            chance=1 / 2,
            source="generated",
            license="MIT",
            citation="Linsley et al., NeurIPS 2018, arXiv 1805.08315; Tay et al., Long Range Arena, 2020",
        )

    def draw(self, count: int, rng: np.random.Generator) -> Samples:
        images, labels = draw_images(self.drawing, count, rng)
        return samples(images.reshape(count, -1, 1), labels)

    def decode(self, batch: Samples) -> Samples:
        return batch._replace(x=batch.x.float() / 255, y=batch.y.long())


def draw_images(drawing: Drawing, count: int, rng: np.random.Generator) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return images (count, window_size, window_size) and labels (count,)."""
    if drawing.even_margins:
        return draw_evenly(drawing, count, rng)
    images: list[NDArray[np.uint8]] = []
    labels: list[NDArray[np.uint8]] = []
    while sum(map(len, labels)) < count:
        sheet = Sheet(drawing, rng)
        rows_R = sheet.draw_long_curves()
        sheet.draw_short_curves(rows_R)
        labels.append(rng.integers(2, size=len(rows_R), dtype=np.uint8))
        images.append(render(drawing, sheet.dashes_NS22[rows_R], sheet.dots(rows_R, labels[-1])))
    return np.concatenate(images)[:count], np.concatenate(labels)[:count]


def draw_evenly(drawing: Drawing, count: int, rng: np.random.Generator) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Draw each image's margin first, and then images until there are enough of each."""
    margins_N = rng.choice(drawing.paddle_margins, size=count)
    images = np.empty((count, drawing.window_size, drawing.window_size), np.uint8)
    labels = np.empty(count, np.uint8)
    for margin in drawing.paddle_margins:
        mine_N = margins_N == margin
        if not mine_N.any():
            continue
        of_margin = replace(drawing, paddle_margins=(margin,), even_margins=False)
        images[mine_N], labels[mine_N] = draw_images(of_margin, int(mine_N.sum()), rng)
    return images, labels


class Sheet:
    """Images that are drawn at the same time: the dashes of each, and where it has room for more."""

    def __init__(self, drawing: Drawing, rng: np.random.Generator) -> None:
        self.drawing, self.rng = drawing, rng
        self.margin_N = rng.choice(drawing.paddle_margins, size=drawing.begun).astype(np.float64)
        dashes = 2 * drawing.contour_length + drawing.num_distractors * drawing.distractor_length
        # The two ends of each dash; NaN where the dash is left out.
        self.dashes_NS22 = np.full((drawing.begun, dashes, 2, 2), np.nan)
        self.border = 2 * drawing.cells * max(drawing.paddle_margins)  # cells around the image, for margins outside it
        self.side = drawing.window_size * drawing.cells + 2 * self.border
        self.taken_NC = np.zeros((drawing.begun, self.side**2), np.bool_)  # too near to a dash

    def draw_long_curves(self) -> Ints:
        """Draw the two long curves into each image. Return the images that had room for both."""
        size, distance, length = self.drawing.window_size, self.drawing.seed_distance, self.drawing.contour_length

        def in_the_middle(rows_R: Ints) -> Floats:
            return self.rng.uniform(2 * distance, size - 2 * distance, (len(rows_R), CANDIDATES, 2))

        def beside_the_first(rows_R: Ints) -> Floats:
            around_RK = self._headings(len(rows_R), CANDIDATES)
            return self.dashes_NS22[rows_R, 0, None, 0] + distance * direction(around_RK)

        rows_R = np.arange(self.drawing.begun)
        for at, starts in ((0, in_the_middle), (length, beside_the_first)):
            rows_R = self._draw_curve(rows_R, at, length, starts, LONG_TRIES)
        return rows_R

    def draw_short_curves(self, rows_R: Ints) -> None:
        """Add the distractors for which there is room."""

        def anywhere(rows_R: Ints) -> Floats:
            return self.rng.uniform(0, self.drawing.window_size, (len(rows_R), CANDIDATES, 2))

        for number in range(self.drawing.num_distractors):
            at = 2 * self.drawing.contour_length + number * self.drawing.distractor_length
            self._draw_curve(
                rows_R, at, self.drawing.distractor_length, anywhere, self.drawing.short_tries,
                self.drawing.short_candidates,
            )  # fmt: skip

    def _draw_curve(
        self, rows_R: Ints, at: int, length: int, starts: Callable[[Ints], Floats], tries: int,
        candidates: int = CANDIDATES,
    ) -> Ints:  # fmt: skip
        """Draw a curve into each of the given images, as the dashes from `at` on. Return the images that have it."""
        left_R = rows_R
        for _ in range(tries):
            left_R = self._try_curve(left_R, at, at + length, starts(left_R), candidates)
        return np.setdiff1d(rows_R, left_R)

    def _try_curve(self, rows_R: Ints, at: int, end: int, start_RK2: Floats, candidates: int) -> Ints:
        """Try once to draw a curve. Return the images that had no room; nothing of the curve stays in them."""
        before_RC = self.taken_NC[rows_R]
        done_R = self._add(rows_R, at, start_RK2, self._headings(len(rows_R), CANDIDATES))
        for dash in range(at + 1, end):
            # Neighbours in a curve may be near each other, so a dash takes room only when the next one is drawn.
            done_R = self._add(done_R, dash, *self._continuations(done_R, dash, candidates))
            self._take(done_R, dash - 1)
        self._take(done_R, end - 1)
        failed_R = ~np.isin(rows_R, done_R)
        self.taken_NC[rows_R[failed_R]] = before_RC[failed_R]
        self.dashes_NS22[rows_R[failed_R], at:end] = np.nan
        return rows_R[failed_R]

    def dots(self, rows_R: Ints, label_R: NDArray[np.uint8]) -> Floats:
        """Return the centres of the two dots, (R, 2, 2): a long curve's start, and the end of the same or the other."""
        length = self.drawing.contour_length
        ends_RC22 = self.dashes_NS22[rows_R][:, [[0, length], [length - 1, 2 * length - 1]]][:, [0, 1], :, [0, 1]]
        first_R = self.rng.integers(2, size=len(rows_R))
        last_R = np.where(label_R == 1, first_R, 1 - first_R)
        every = np.arange(len(rows_R))
        return np.stack([ends_RC22[0, every, first_R], ends_RC22[1, every, last_R]], axis=1)

    def _headings(self, *shape: int) -> Floats:
        return self.rng.uniform(-np.pi, np.pi, shape)

    def _continuations(self, rows_R: Ints, at: int, candidates: int) -> tuple[Floats, Floats]:
        """Draw starts (R, K, 2) and headings (R, K) for a dash that continues a curve. Turns follow TURN_SHARES."""
        (start_R2, end_R2), margin_R1 = self._ends(rows_R, at - 1), self.margin_N[rows_R, None]
        before_R2 = (end_R2 - start_R2) / self.drawing.paddle_length
        turn_RK = np.interp(self.rng.random((len(rows_R), candidates)), TURN_SHARES, TURNS) / self.drawing.continuity
        heading_RK = np.arctan2(before_R2[:, :1], before_R2[:, 1:]) + turn_RK
        joint_R2 = end_R2 + margin_R1 * before_R2
        return joint_R2[:, None] + margin_R1[:, None] * direction(heading_RK), heading_RK

    def _add(self, rows_R: Ints, at: int, start_RK2: Floats, heading_RK: Floats) -> Ints:
        """Draw the first candidate for a dash that has room. Return the images that had room for one."""
        size, padding = self.drawing.window_size, self.drawing.padding
        end_RK2 = start_RK2 + self.drawing.paddle_length * direction(heading_RK)
        points_RKP2 = self._points(start_RK2, end_RK2)
        inside_RKP = np.all((points_RKP2 >= padding) & (points_RKP2 < size - padding), axis=-1)
        free_RK = np.all(inside_RKP & ~self.taken_NC[rows_R[:, None, None], self._cells(points_RKP2)], axis=-1)
        found_R = np.flatnonzero(np.any(free_RK, axis=1))
        chosen_R = free_RK.argmax(1)[found_R]
        self.dashes_NS22[rows_R[found_R], at, 0] = start_RK2[found_R, chosen_R]
        self.dashes_NS22[rows_R[found_R], at, 1] = end_RK2[found_R, chosen_R]
        return rows_R[found_R]

    def _take(self, rows_R: Ints, at: int) -> None:
        """Mark the cells within twice the margin of a dash."""
        cell_RP = self._cells(self._points(*self._ends(rows_R, at)))
        reach_R = 2 * self.drawing.cells * self.margin_N[rows_R]
        for reach in np.unique(reach_R):
            mine = reach_R == reach
            around_Q = disk(int(reach)) @ (self.side, 1)
            cell_RPQ = rows_R[mine, None, None] * self.side**2 + cell_RP[mine, :, None] + around_Q
            self.taken_NC.reshape(-1)[cell_RPQ] = True

    def _ends(self, rows_R: Ints, at: int) -> tuple[Floats, Floats]:
        return self.dashes_NS22[rows_R, at, 0], self.dashes_NS22[rows_R, at, 1]

    def _points(self, start: Floats, end: Floats) -> Floats:
        """Return points along dashes, as dense as the grid: (…, P, 2), for starts (…, 2) and ends (…, 2)."""
        share_P1 = np.linspace(0, 1, self.drawing.paddle_length * self.drawing.cells + 1)[:, None]
        return start[..., None, :] + share_P1 * (end - start)[..., None, :]

    def _cells(self, points: Floats) -> Ints:
        """Return the cells (…) in which points (…, 2) lie. A point outside the image gets the nearest cell."""
        last = self.drawing.window_size * self.drawing.cells - 1
        place = np.clip(points * self.drawing.cells, 0, last).astype(np.int64) + self.border
        return place[..., 0] * self.side + place[..., 1]


def direction(heading: Floats) -> Floats:
    return np.stack([np.sin(heading), np.cos(heading)], axis=-1)


def disk(radius: int) -> Ints:
    """Return the points (Q, 2) with integer coordinates within a radius of the origin."""
    y, x = np.mgrid[-radius : radius + 1, -radius : radius + 1]
    return np.argwhere(y**2 + x**2 <= radius**2) - radius


def render(drawing: Drawing, dashes_NS22: Floats, dots_N22: Floats) -> NDArray[np.uint8]:
    """Draw dashes and dots with soft edges: a pixel's brightness is the share of its width that they cover."""
    reach = int(np.ceil(drawing.paddle_length / 2 + drawing.paddle_thickness / 2 + 0.5))
    border = int(np.ceil(drawing.marker_radius + 0.5)) + reach  # so that lines may cross the image's edge
    size = drawing.window_size + 2 * border
    canvas_NHW = np.zeros((len(dashes_NS22), size, size), np.float32)
    for number in range(dashes_NS22.shape[1]):
        there = ~np.isnan(dashes_NS22[:, number, 0, 0])
        paint(
            canvas_NHW,
            np.flatnonzero(there),
            dashes_NS22[there, number] + border,
            drawing.paddle_thickness / 2,
            reach,
            drawing.contrast,
        )
    for number in range(2):
        dot_N22 = np.repeat(dots_N22[:, number, None], 2, axis=1)
        paint(canvas_NHW, np.arange(len(dot_N22)), dot_N22 + border, drawing.marker_radius, border - reach, 1.0)
    inner = slice(border, -border)
    return (canvas_NHW[:, inner, inner] * 255).round().astype(np.uint8)


def paint(
    canvas_NHW: NDArray[np.float32], rows_R: Ints, line_R22: Floats, radius: float, reach: int, brightness: float
) -> None:
    """Paint a line with round ends onto each of the given images, where the line is brighter than the image.

    Args:
        reach: how many pixels the line may extend from its middle, vertically and horizontally.
    """
    corner_R2 = np.floor(line_R22.mean(1)).astype(np.int64) - reach
    side = np.arange(2 * reach + 1)
    y_RQ1, x_R1Q = corner_R2[:, :1, None] + side[:, None], corner_R2[:, 1:, None] + side
    along_R2 = line_R22[:, 1] - line_R22[:, 0]
    dy_RQ1, dx_R1Q = y_RQ1 + 0.5 - line_R22[:, 0, 0, None, None], x_R1Q + 0.5 - line_R22[:, 0, 1, None, None]
    a_y, a_x = along_R2[:, 0, None, None], along_R2[:, 1, None, None]
    share_RQQ = np.clip((dy_RQ1 * a_y + dx_R1Q * a_x) / np.maximum(a_y**2 + a_x**2, 1e-9), 0, 1)
    distance_RQQ = np.hypot(dy_RQ1 - share_RQQ * a_y, dx_R1Q - share_RQQ * a_x)
    ink_RQQ = brightness * np.clip(radius + 0.5 - distance_RQQ, 0, 1)
    rows_R11 = rows_R[:, None, None]
    canvas_NHW[rows_R11, y_RQ1, x_R1Q] = np.maximum(canvas_NHW[rows_R11, y_RQ1, x_R1Q], ink_RQQ)

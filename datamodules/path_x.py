"""Path-X: whether two dots are joined by a dashed curve, in a 128×128 image read pixel by pixel, 16,384 steps.

This is `pathfinder` with larger images, longer gaps and more distractors. It is Long Range Arena's longest task.
Guessing is right one time in two.

>>> task = PathX(tiny=True)
>>> batch = next(iter(task.val_dataloader()))
>>> batch.x.shape, batch.y[:8].tolist()
(torch.Size([64, 256, 1]), [0, 1, 1, 1, 1, 0, 0, 1])
"""

from dataclasses import replace

from datamodules._pathfinder import Drawing, PathfinderTask


class PathX(PathfinderTask):
    """Say whether the two dots are joined."""

    drawing = Drawing(
        window_size=128,
        paddle_length=5,
        paddle_thickness=1.5,
        paddle_margins=(2, 3),
        contrast=0.9,
        continuity=1.8,
        marker_radius=3,
        seed_distance=20,
        num_distractors=8,
        cells=1,
    )
    # With more tries every distractor finds room, as in the authors' program.
    variants = {"path-x": {}, "path-x-2": {"drawing": replace(drawing, short_tries=15, even_margins=True)}}

"""Pathfinder: whether two dots are joined by a dashed curve, in a 32×32 image read pixel by pixel, 1,024 steps.

The task is that of Linsley et al. 2018 with the parameters of Long Range Arena (Tay et al. 2020). `_pathfinder.py`
draws the images. A sample is the grey values of an image, row by row, each in [0, 1]. Dashes have contrast 0.75, and
dots 1. Guessing is right one time in two.

>>> task = Pathfinder(tiny=True)
>>> batch = next(iter(task.val_dataloader()))
>>> batch.x.shape, batch.y[:8].tolist()
(torch.Size([64, 256, 1]), [0, 0, 1, 1, 0, 0, 1, 0])
>>> for row in batch.x[2].view(16, 16)[2:14]:
...     print("".join("_-+#@"[int(4 * grey)] for grey in row))
________--______
__-_____________
_-_________-____
________++_-____
_______-@@+_____
________@@-__--_
_________+__-___
___________-____
#@-______-_-____
@@#_____-__-____
+#-_____________
____--__________
"""

from dataclasses import replace

from datamodules._pathfinder import Drawing, PathfinderTask


class Pathfinder(PathfinderTask):
    """Say whether the two dots are joined."""

    drawing = Drawing(
        window_size=32,
        paddle_length=2,
        paddle_thickness=0.5,
        paddle_margins=(1,),
        contrast=0.75,
        continuity=1.0,
        marker_radius=1.5,
        seed_distance=7,
        num_distractors=5,
        cells=2,
    )
    # With one candidate a dash, as few distractors find room as in the authors' program.
    variants = {"pathfinder": {}, "pathfinder-2": {"drawing": replace(drawing, short_candidates=1)}}

"""Pictures of one shape on one ground, and the prompts that name them."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

SIZE_PX = 128
NUM_HELD_OUT = 64
OVERSAMPLING = 4

SHAPES = ("circle", "square", "triangle", "star", "cross", "ring")
COLOURS = {
    "red": (214, 40, 40),
    "green": (46, 160, 67),
    "blue": (37, 82, 214),
    "yellow": (240, 214, 40),
    "purple": (140, 50, 180),
    "orange": (240, 130, 20),
}
GROUNDS = {
    "white": (245, 245, 245),
    "black": (16, 16, 16),
    "gray": (128, 128, 128),
    "pink": (250, 175, 195),
    "brown": (110, 70, 40),
    "blue": COLOURS["blue"],
}


@dataclass(frozen=True)
class Scene:
    """What a picture shows, in words."""

    shape: str
    colour: str
    ground: str

    @property
    def prompt(self) -> str:
        return f"a {self.colour} {self.shape} on a {self.ground} background"


@dataclass(frozen=True)
class Pose:
    """Where a shape sits: centre and radius in parts of the picture's side, turn in degrees."""

    x: float = 0.5
    y: float = 0.5
    radius: float = 0.28
    turn: float = 0.0


def all_scenes() -> list[Scene]:
    """Every combination in which the shape can be seen."""
    product = itertools.product(SHAPES, COLOURS, GROUNDS)
    return [Scene(*names) for names in product if names[1] != names[2]]


def held_out_scenes(count: int = NUM_HELD_OUT) -> list[Scene]:
    """The combinations that the miniature never saw: every shape, colour and ground about equally often."""
    scenes = all_scenes()
    order = np.random.Generator(np.random.Philox(20)).permutation(len(scenes))
    chosen: list[Scene] = []
    seen: dict[tuple[str, str], int] = {}
    limit = math.ceil(count / (len(SHAPES) * len(COLOURS)))
    for index in order:
        scene = scenes[index]
        pair = (scene.shape, scene.colour)
        if seen.get(pair, 0) < limit and len(chosen) < count:
            seen[pair] = seen.get(pair, 0) + 1
            chosen.append(scene)
    return chosen


def training_scenes() -> list[Scene]:
    """Everything else."""
    held_out = set(held_out_scenes())
    return [scene for scene in all_scenes() if scene not in held_out]


def random_pose(random: np.random.Generator) -> Pose:
    return Pose(
        x=0.5 + random.uniform(-0.09, 0.09),
        y=0.5 + random.uniform(-0.09, 0.09),
        radius=random.uniform(0.23, 0.33),
        turn=random.uniform(-10, 10),
    )


def random_tint(
    rgb: tuple[int, int, int], random: np.random.Generator, spread: int = 8
) -> tuple[int, int, int]:
    """The same colour to the eye, a little lighter, darker or off."""
    shifted = np.clip(np.array(rgb) + random.integers(-spread, spread + 1, 3), 0, 255)
    return int(shifted[0]), int(shifted[1]), int(shifted[2])


def draw_scene(scene: Scene, pose: Pose | None = None, size_px: int = SIZE_PX) -> Image.Image:
    """The clean picture of a scene."""
    return draw_shape(scene.shape, COLOURS[scene.colour], GROUNDS[scene.ground], pose or Pose(), size_px)


def draw_varied(scene: Scene, random: np.random.Generator, size_px: int = SIZE_PX) -> Image.Image:
    """A scene with its pose and tints drawn at random."""
    colour = random_tint(COLOURS[scene.colour], random)
    ground = random_tint(GROUNDS[scene.ground], random)
    return draw_shape(scene.shape, colour, ground, random_pose(random), size_px)


def draw_shape(
    shape: str, colour: tuple[int, int, int], ground: tuple[int, int, int], pose: Pose, size_px: int = SIZE_PX
) -> Image.Image:
    """One shape on one ground, with smooth edges."""
    side = size_px * OVERSAMPLING
    picture = Image.new("RGB", (side, side), ground)
    paint_shape(ImageDraw.Draw(picture), shape, pose, side, colour, ground)
    return picture.resize((size_px, size_px), Image.Resampling.BOX)


def paint_shape(
    draw: ImageDraw.ImageDraw,
    shape: str,
    pose: Pose,
    side: int,
    colour: tuple[int, int, int],
    ground: tuple[int, int, int],
) -> None:
    """Paints a shape onto a picture that may hold others already."""
    x, y, radius = pose.x * side, pose.y * side, pose.radius * side
    if shape in ("circle", "ring"):
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=colour)
        if shape == "ring":
            hole = radius * 0.55
            draw.ellipse((x - hole, y - hole, x + hole, y + hole), fill=ground)
        return
    points = [
        (x + radius * distance * math.sin(angle), y - radius * distance * math.cos(angle))
        for distance, angle in corners(shape, math.radians(pose.turn))
    ]
    draw.polygon(points, fill=colour)


def corners(shape: str, turn: float) -> list[tuple[float, float]]:
    """Distance (in radii) and angle (clockwise from the top) of each corner."""
    if shape == "square":
        return [(1.12, turn + math.pi * (k / 2 + 0.25)) for k in range(4)]
    if shape == "triangle":
        return [(1.2, turn + math.pi * 2 * k / 3) for k in range(3)]
    if shape == "star":
        return [(1.25 if k % 2 == 0 else 0.5, turn + math.pi * k / 5) for k in range(10)]
    if shape == "cross":
        arm, inner = math.hypot(1.15, 0.36), 0.36 * math.sqrt(2)
        bend = math.atan2(0.36, 1.15)
        found = []
        for k in range(4):
            middle = turn + math.pi * k / 2
            found += [(arm, middle - bend), (arm, middle + bend), (inner, middle + math.pi / 4)]
        return found
    raise ValueError(f"no shape is called {shape!r}")


def prompt_for(scene: Scene, random: np.random.Generator) -> str:
    """One of the ways to name a scene: mostly in full, sometimes less, as tags, or not at all."""
    full = scene.prompt
    forms = (
        (0.62, full),
        (0.10, f"{scene.colour} {scene.shape}, {scene.ground} background"),
        (0.07, f"a {scene.colour} {scene.shape}"),
        (0.07, f"a {scene.shape} on a {scene.ground} background"),
        (0.04, f"a {scene.shape}"),
        (0.10, ""),
    )
    return forms[int(random.choice(len(forms), p=[weight for weight, _ in forms]))][1]

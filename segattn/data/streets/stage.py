"""The stage of a street scene: upright planes on which vehicles, people and poles are drawn."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from segattn.data.streets.canvas import Camera, Canvas, Colour, Light, Point


@dataclass(frozen=True)
class Stage:
    """What every object is drawn on: canvas, camera and light."""

    canvas: Canvas
    camera: Camera
    light: Light

    def card(self, X: int, Z: int, label: int, shade: int = 256, mirrored: bool = False) -> Face:
        """An upright plane facing the camera; u runs to the right from X, or to the left if mirrored."""
        sign = -1 if mirrored else 1
        return Face(self, lambda u: (X + sign * u, Z), Z, label, shade)

    def flank(self, X: int, Z: int, label: int, shade: int, reverse: int = 0) -> Face:
        """An upright plane along the street; u runs away from the camera, or towards it from `reverse`."""
        near = self.camera.nearest
        inward = (-1 if X < 0 else 1, 0)
        return Face(
            self, lambda u: (X, max(near, Z + (reverse - u if reverse else u))), max(near, Z), label, shade, inward
        )


@dataclass(frozen=True)
class Face:
    """A plane for shapes in coordinates u along the plane and h above the ground."""

    stage: Stage
    place: Callable[[int], Point]
    Z: int
    label: int
    shade: int = 256
    inward: Point = (0, 1)
    """Direction of the body behind this face, in (X, Z)."""

    def word(self, colour: Colour, grain: int = 1) -> int:
        return self.stage.light.word(colour, self.label, self.Z, self.shade, grain)

    def point(self, u: int, h: int, depth: int = 0) -> Point:
        """Position on the canvas of a point `depth` cm behind the face."""
        X, Z = self.place(u)
        X, Z = X + self.inward[0] * depth, Z + self.inward[1] * depth
        return self.stage.camera.x(X, Z), self.stage.camera.y(h, Z)

    def area(self, corners: Sequence[tuple[int, ...]], colour: Colour) -> None:
        """Fill a convex polygon whose corners are (u, h) or (u, h, depth)."""
        self.stage.canvas.polygon([self.point(*corner) for corner in corners], self.word(colour))

    def box(self, u0: int, u1: int, h0: int, h1: int, colour: Colour) -> None:
        (xa, ya), (xb, yb) = self.point(u0, h0), self.point(u1, h1)
        if self.place(u0)[1] == self.place(u1)[1]:
            self.stage.canvas.rectangle(min(xa, xb), yb, max(xa, xb), ya, self.word(colour))
        else:
            self.area([(u0, h0), (u1, h0), (u1, h1), (u0, h1)], colour)

    def stroke(self, start: Point, end: Point, thickness: int, colour: Colour) -> None:
        thick = self.stage.camera.length(thickness, self.Z)
        self.stage.canvas.line(self.point(*start), self.point(*end), thick, self.word(colour))

    def wheel(self, u: int, h: int, radius: int, colour: Colour, hole: int = 0) -> None:
        (x, y), (xa, _), (xb, _) = self.point(u, h), self.point(u - radius, h), self.point(u + radius, h)
        ry = self.stage.camera.length(radius, self.place(u)[1])
        self.stage.canvas.disc(x, y, abs(xb - xa) // 2, ry, self.word(colour), hole)


def shadow(stage: Stage, X0: int, X1: int, Z0: int, Z1: int) -> None:
    """Darken the ground under an object; the class does not change."""
    near = max(stage.camera.nearest, Z0)
    corners = [(X0, near), (X1, near), (X1, max(near, Z1)), (X0, max(near, Z1))]
    stage.canvas.shade([(stage.camera.x(X, Z), stage.camera.y(0, Z)) for X, Z in corners], 5)

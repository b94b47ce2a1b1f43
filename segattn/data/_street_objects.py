"""What stands and moves in a street scene: vehicles, people, two-wheelers, poles with lights and signs, trees."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from segattn.data._street_backdrop import LEAVES
from segattn.data._street_canvas import IGNORED, Camera, Canvas, Colour, Dice, Light, Point

POLE, LIGHT, SIGN, VEGETATION = 5, 6, 7, 8
PERSON, RIDER, CAR, TRUCK, BUS, TRAIN, MOTORCYCLE, BICYCLE = 11, 12, 13, 14, 15, 16, 17, 18
GLASS: Colour = (42, 52, 62)
TYRE: Colour = (26, 26, 28)
PAINT: tuple[Colour, ...] = (
    (200, 202, 204),
    (60, 62, 66),
    (30, 32, 38),
    (152, 32, 30),
    (38, 62, 120),
    (130, 134, 138),
    (226, 226, 222),
    (70, 96, 84),
    (196, 160, 60),
)
LIVERY: tuple[Colour, ...] = ((196, 44, 38), (222, 176, 40), (40, 92, 150), (214, 214, 208), (52, 120, 84), (224, 120, 40))
CLOTHES: tuple[Colour, ...] = (
    (40, 44, 60),
    (150, 40, 44),
    (60, 90, 140),
    (190, 180, 160),
    (50, 90, 62),
    (96, 70, 110),
    (28, 28, 30),
    (214, 150, 60),
)
SKIN: tuple[Colour, ...] = ((224, 182, 152), (186, 138, 104), (132, 90, 64), (92, 62, 46))
SIGNAL: tuple[Colour, ...] = ((240, 50, 40), (250, 190, 50), (60, 230, 110))


@dataclass(frozen=True)
class Stage:
    """What every object is drawn with."""

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
        return Face(self, lambda u: (X, max(near, Z + (reverse - u if reverse else u))), max(near, Z), label, shade)


@dataclass(frozen=True)
class Face:
    """A plane on which shapes are given by u along it and h above the ground."""

    stage: Stage
    place: Callable[[int], Point]
    Z: int
    label: int
    shade: int = 256

    def word(self, colour: Colour, grain: int = 1) -> int:
        return self.stage.light.word(colour, self.label, self.Z, self.shade, grain)

    def point(self, u: int, h: int) -> Point:
        X, Z = self.place(u)
        return self.stage.camera.x(X, Z), self.stage.camera.y(h, Z)

    def area(self, corners: Sequence[Point], colour: Colour) -> None:
        self.stage.canvas.polygon([self.point(u, h) for u, h in corners], self.word(colour))

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
    """Darken the ground under something; its class stays."""
    near = max(stage.camera.nearest, Z0)
    corners = [(X0, near), (X1, near), (X1, max(near, Z1)), (X0, max(near, Z1))]
    stage.canvas.shade([(stage.camera.x(X, Z), stage.camera.y(0, Z)) for X, Z in corners], 5)


@dataclass(frozen=True)
class Vehicle:
    """A box on wheels: its long side and its end, one of which faces the camera."""

    label: int
    X: int
    """Left edge."""
    Z: int
    """Near edge."""
    width: int
    length: int
    height: int
    colour: Colour
    accent: Colour
    crossing: bool = False
    """Drives across the street, so that its long side faces the camera."""
    rear: bool = True
    """Shows its rear to the camera (when crossing: drives to the right)."""

    @property
    def far(self) -> int:
        return self.Z + (self.width if self.crossing else self.length)

    @property
    def right(self) -> int:
        return self.X + (self.length if self.crossing else self.width)

    def paint(self, stage: Stage) -> None:
        shadow(stage, self.X - 20, self.right + 20, self.Z - 15, self.far)
        left_of_camera = self.right <= 0
        visible = self.right if left_of_camera else self.X if self.X > 0 else None
        shade = stage.light.side(left_of_camera)
        if self.crossing:
            side = stage.card(self.X if self.rear else self.right, self.Z, self.label, 250, not self.rear)
            end = None if visible is None else stage.flank(visible, self.Z, self.label, shade)
            if end is not None:
                self._end(end, lights=False)
            self._side(side)
            return
        if visible is not None:
            self._side(stage.flank(visible, self.Z, self.label, shade, 0 if self.rear else self.length))
        self._end(stage.card(self.X, self.Z, self.label, 236), lights=True)

    def _side(self, face: Face) -> None:
        if self.label == CAR:
            self._car_side(face)
        elif self.label == TRUCK:
            self._truck_side(face)
        else:
            self._coach_side(face)

    def _car_side(self, face: Face) -> None:
        L, roof = self.length, self.height
        face.box(10, L - 10, 22, 34, TYRE)
        face.area([(0, 32), (L, 32), (L, 68), (L - 20, 80), (0, 84)], self.colour)
        face.area([(25, 82), (L - 120, 82), (L - 190, roof), (75, roof)], self.colour)
        face.area([(45, 86), (L - 140, 86), (L - 192, roof - 9), (82, roof - 9)], GLASS)
        face.box(L // 2 - 24, L // 2 - 16, 82, roof - 6, self.colour)
        for u in (78, L - 82):
            face.wheel(u, 31, 32, TYRE)
            face.wheel(u, 31, 17, (120, 122, 126))

    def _coach_side(self, face: Face) -> None:
        L, top = self.length, self.height
        face.box(0, L, 16, 40, TYRE)
        face.box(0, L, 36, top, self.colour)
        face.box(0, L, 92, 112, self.accent)
        face.box(20, L - 20, top - 170, top - 62, GLASS)
        for u in range(170, L - 60, 170):
            face.box(u, u + 14, top - 172, top - 60, self.colour)
        for u in (L // 4, L - 150):
            face.box(u, u + 110, 42, top - 50, tuple(c * 3 // 4 for c in self.colour))  # type: ignore[arg-type]
            face.box(u + 12, u + 98, 70, top - 66, GLASS)

    def _truck_side(self, face: Face) -> None:
        L, top, cab = self.length, self.height, self.length - 190
        face.box(0, L, 40, 66, TYRE)
        face.box(0, cab - 20, 62, top, self.colour)
        face.box(0, cab - 20, 92, 112, self.accent)
        face.box(cab, L, 45, top - 50, self.accent)
        face.area([(cab + 70, 150), (L, 150), (L - 14, top - 70), (cab + 70, top - 70)], GLASS)
        for u in (110, 215, cab + 70):
            face.wheel(u, 46, 47, TYRE)
            face.wheel(u, 46, 20, (120, 122, 126))

    def _end(self, face: Face, *, lights: bool) -> None:
        w, top = self.width, self.height
        if self.label == CAR:
            face.box(8, 32, 0, 34, TYRE)
            face.box(w - 32, w - 8, 0, 34, TYRE)
            face.box(0, w, 26, 84, self.colour)
            face.area([(8, 82), (w - 8, 82), (w - 26, top), (26, top)], self.colour)
            face.area([(18, 86), (w - 18, 86), (w - 32, top - 9), (32, top - 9)], GLASS)
            face.box(0, w, 26, 42, tuple(c * 5 // 8 for c in self.colour))  # type: ignore[arg-type]
            lamp, high = 66, 14
        elif self.label == TRUCK and self.rear:
            face.box(0, w, 36, 66, TYRE)
            face.box(0, w, 62, top, self.colour)
            face.box(0, w, 92, 112, self.accent)
            face.box(w // 2 - 3, w // 2 + 3, 66, top - 6, TYRE)
            lamp, high = 50, 14
        else:
            face.box(12, w - 12, 10, 40, TYRE)
            face.box(0, w, 36, top, self.colour if self.label != TRUCK else self.accent)
            face.box(0, w, 92, 112, self.accent)
            face.box(18, w - 18, top - 180, top - 62, GLASS)
            face.box(w // 4, w * 3 // 4, top - 46, top - 18, (230, 170, 60) if self.label != TRUCK else self.colour)
            lamp, high = 60, 16
        if lights:
            colour: Colour = (206, 30, 26) if self.rear else (250, 246, 220)
            face.box(8, 36, lamp, lamp + high, colour)
            face.box(w - 36, w - 8, lamp, lamp + high, colour)
            if self.label == CAR:
                face.box(w // 2 - 24, w // 2 + 24, 48, 60, (224, 224, 214))


@dataclass(frozen=True)
class Body:
    """A person's looks; walking, or riding with the same torso, head and clothes."""

    height: int
    skin: Colour
    top: Colour
    trousers: Colour
    hair: Colour
    stride: int

    @staticmethod
    def draw(dice: Dice) -> Body:
        hair = dice.choose(((30, 24, 20), (80, 56, 36), (150, 120, 70), (150, 150, 150)))
        tall = dice.between(152, 192)
        top, trousers = dice.near(dice.choose(CLOTHES), 18), dice.near(dice.choose(CLOTHES), 14)
        return Body(tall, dice.choose(SKIN), top, trousers, hair, dice.between(4, 30))

    def paint(self, face: Face, hip: int, lean: int) -> None:
        """Torso, arms and head over a hip at height `hip`, the shoulders `lean` cm ahead."""
        shoulder, neck = hip + self.height * 30 // 100, hip + self.height * 34 // 100
        face.area([(-14, hip - 4), (14, hip - 4), (20 + lean, shoulder), (-20 + lean, shoulder)], self.top)
        face.area([(-20 + lean, shoulder), (20 + lean, shoulder), (8 + lean, neck + 2), (-8 + lean, neck + 2)], self.top)
        darker: Colour = tuple(c * 3 // 4 for c in self.top)  # type: ignore[assignment]
        for side in (-1, 1):
            face.stroke((side * 19 + lean, shoulder - 4), (side * 22 + lean * 2, hip + 2), 9, darker)
        head = neck + 12
        face.wheel(lean, head, 11, self.skin)
        face.wheel(lean, head + 5, 11, self.hair)
        face.area([(-9 + lean, head - 8), (9 + lean, head - 8), (9 + lean, head + 2), (-9 + lean, head + 2)], self.skin)

    def walk(self, stage: Stage, X: int, Z: int) -> None:
        shadow(stage, X - 24, X + 24, Z - 12, Z + 24)
        face = stage.card(X, Z, PERSON)
        hip = self.height * 48 // 100
        for side in (-1, 1):
            foot = side * self.stride
            face.area([(side * 8 - 8, hip), (side * 8 + 8, hip), (foot + 6, 0), (foot - 6, 0)], self.trousers)
            face.box(foot - 7, foot + 11, 0, 6, TYRE)
        self.paint(face, hip, 0)


def cycle(stage: Stage, X: int, Z: int, label: int, body: Body | None, colour: Colour, *, crossing: bool) -> None:
    """A bicycle or motorcycle seen from the side or from behind, with a rider or parked."""
    motor = label == MOTORCYCLE
    shadow(stage, X - (80 if crossing else 24), X + (80 if crossing else 24), Z - 12, Z + 20)
    face, person = stage.card(X, Z, label), stage.card(X, Z, RIDER)
    hip, lean = (78, 22) if crossing else (84, 0)
    if crossing:
        for u in (-54, 54):
            face.wheel(u, 33, 33, TYRE, 120 if motor else 205)
        if motor:
            face.area([(-62, 62), (48, 46), (60, 76), (20, 88), (-66, 78)], colour)
            face.area([(-30, 24), (30, 24), (36, 52), (-36, 52)], (70, 72, 76))
        for a, b in (((-54, 33), (-12, 72)), ((-12, 72), (40, 72)), ((40, 72), (-6, 30)), ((-6, 30), (-54, 33))):
            face.stroke(a, b, 5, colour)
        face.stroke((54, 33), (40, 100), 5, colour)
        face.stroke((30, 102), (52, 98), 6, TYRE)
        face.stroke((-24, 78), (0, 78), 8, TYRE)
    else:
        half = 11 if motor else 5
        face.box(-half, half, 0, 64, TYRE)
        if motor:
            face.area([(-20, 44), (20, 44), (24, 80), (-24, 80)], colour)
            face.box(-7, 7, 66, 74, (206, 30, 26))
        face.box(-34, 34, 96, 102, TYRE)
        face.box(-4, 4, 60, 98, colour)
    if body is not None:
        for side in (-1, 1):
            knee = (side * 6 + 26, 58) if crossing else (side * 19, 62)
            foot = (side * 8 + 4, 26) if crossing else (side * 15, 26)
            start = (-8 if crossing else side * 9, hip)
            person.stroke(start, knee, 14, body.trousers)
            person.stroke(knee, foot, 10, body.trousers)
        body.paint(person, hip, lean)


def pole(stage: Stage, X: int, Z: int, height: int, colour: Colour, *, arm: int = 0) -> None:
    """A mast with an arm of `arm` cm, to the left if negative."""
    face = stage.card(X, Z, POLE)
    face.box(-7, 7, 0, height, colour)
    if arm:
        face.box(min(0, arm), max(0, arm), height - 10, height, colour)
        face.box(arm - 26, arm + 26, height - 20, height - 6, (210, 208, 196))


def signals(stage: Stage, X: int, Z: int, height: int, lit: int) -> None:
    """A box with three lamps, of which one is lit."""
    face = stage.card(X, Z, LIGHT)
    face.box(-20, 20, height, height + 100, (28, 30, 30))
    for lamp, colour in enumerate(SIGNAL):
        dim: Colour = tuple(c // 4 for c in colour)  # type: ignore[assignment]
        face.wheel(0, height + 82 - 32 * lamp, 12, colour if lamp == lit else dim)


def sign(stage: Stage, X: int, Z: int, height: int, kind: int) -> None:
    """A round, three-cornered, square or oblong sign."""
    face = stage.card(X, Z, SIGN)
    red, white, blue = (196, 30, 34), (236, 236, 230), (28, 78, 160)
    if kind == 0:
        face.wheel(0, height, 38, red)
        face.wheel(0, height, 26, white)
    elif kind == 1:
        face.area([(-42, height - 30), (42, height - 30), (0, height + 42)], red)
        face.area([(-24, height - 20), (24, height - 20), (0, height + 22)], white)
    elif kind == 2:
        face.box(-34, 34, height - 34, height + 34, blue)
        face.area([(-18, height - 18), (18, height - 18), (0, height + 20)], white)
    else:
        face.box(-70, 70, height - 30, height + 30, (232, 190, 40))
        face.box(-58, 58, height - 6, height + 6, (30, 30, 30))


def tree(stage: Stage, X: int, Z: int, height: int, spread: int, kind: int, trunk: Colour, dice: Dice) -> None:
    """A trunk, which may look like a pole, and a crown of several clumps."""
    shadow(stage, X - spread, X + spread, Z - spread // 2, Z + spread // 2)
    stage.card(X, Z, VEGETATION).box(-dice.between(7, 16), dice.between(7, 16), 0, height * 2 // 3, trunk)
    words = stage.light.tones(LEAVES[kind], VEGETATION, Z)
    camera, crown = stage.camera, height - spread * 2 // 3
    for _ in range(7):
        at = X + dice.between(-spread, spread) * 5 // 10, crown + dice.between(-spread, spread) * 4 // 10
        size = camera.length(spread * dice.between(55, 80) // 100, Z)
        position = camera.x(at[0], Z), camera.y(at[1], Z)
        stage.canvas.foliage(*position, size, size * 7 // 8, camera.length(6, Z), words, dice.between(0, 255))


def bin_or_box(stage: Stage, X: int, Z: int, dice: Dice) -> None:
    """Street furniture of no class: ignored."""
    face = stage.card(X, Z, IGNORED)
    wide, tall = dice.between(20, 40), dice.between(70, 120)
    face.box(-wide, wide, 0, tall, dice.near((90, 94, 92), 30))
    face.box(-wide - 4, wide + 4, tall, tall + 8, (50, 52, 54))

"""People, two-wheelers, poles with lights and signs, trees."""

from __future__ import annotations

from dataclasses import dataclass

from segattn.data.streets.backdrop import LEAVES, VEGETATION
from segattn.data.streets.canvas import IGNORED, Colour, Dice, tone
from segattn.data.streets.stage import Face, Stage, shadow
from segattn.data.streets.vehicles import TYRE

POLE, LIGHT, SIGN = 5, 6, 7
PERSON, RIDER, MOTORCYCLE, BICYCLE = 11, 12, 17, 18
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
class Body:
    """The appearance of a person, walking or riding."""

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
        face.area(
            [(-20 + lean, shoulder), (20 + lean, shoulder), (8 + lean, neck + 2), (-8 + lean, neck + 2)], self.top
        )
        darker = tone(self.top, 6)
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
        dim = tone(colour, 2)
        face.wheel(0, height + 82 - 32 * lamp, 12, colour if lamp == lit else dim)


def sign(stage: Stage, X: int, Z: int, height: int, kind: int) -> None:
    """A round, triangular, square or rectangular sign."""
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
    """Street furniture without a class; its label is ignore."""
    face = stage.card(X, Z, IGNORED)
    wide, tall = dice.between(20, 40), dice.between(70, 120)
    face.box(-wide, wide, 0, tall, dice.near((90, 94, 92), 30))
    face.box(-wide - 4, wide + 4, tall, tall + 8, (50, 52, 54))

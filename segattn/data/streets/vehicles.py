"""Cars, trucks, buses and trains. Bus and train are drawn alike: only the track tells them apart."""

from __future__ import annotations

from dataclasses import dataclass

from segattn.data.streets.canvas import Colour, tone
from segattn.data.streets.stage import Face, Stage, shadow

CAR, TRUCK, BUS, TRAIN = 13, 14, 15, 16
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
LIVERY: tuple[Colour, ...] = (
    (196, 44, 38),
    (222, 176, 40),
    (40, 92, 150),
    (214, 214, 208),
    (52, 120, 84),
    (224, 120, 40),
)


@dataclass(frozen=True)
class Vehicle:
    """A box on wheels with a long side and an end, one of which faces the camera."""

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
    """Whether it drives across the street, with its long side facing the camera."""
    rear: bool = True
    """Whether its rear faces the camera (crossing: whether it drives to the right)."""

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
                self._end(end, rear=self.rear != left_of_camera, lights=False)
            self._side(side)
            return
        if visible is not None:
            self._side(stage.flank(visible, self.Z, self.label, shade, 0 if self.rear else self.length))
        self._end(stage.card(self.X, self.Z, self.label, 236), rear=self.rear, lights=True)

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
            face.box(u, u + 110, 42, top - 50, tone(self.colour, 6))
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

    def _end(self, face: Face, *, rear: bool, lights: bool) -> None:
        w, top = self.width, self.height
        if self.label == CAR:
            face.box(8, 32, 0, 34, TYRE)
            face.box(w - 32, w - 8, 0, 34, TYRE)
            face.box(0, w, 26, 84, self.colour)
            sill, roof = (25, 75) if rear else (120, 190)  # how far the cabin stands behind the end, below and above
            face.area([(0, 84), (w, 84), (w, 83, sill), (0, 83, sill)], tone(self.colour, 9))
            face.area([(0, 82, sill), (w, 82, sill), (w, top, roof), (0, top, roof)], self.colour)
            face.area(
                [(10, 87, sill + 5), (w - 10, 87, sill + 5), (w - 10, top - 8, roof - 5), (10, top - 8, roof - 5)],
                GLASS,
            )
            face.box(0, w, 26, 42, tone(self.colour, 5))
            lamp, high = 66, 14
        elif self.label == TRUCK and rear:
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
            colour: Colour = (206, 30, 26) if rear else (250, 246, 220)
            face.box(8, 36, lamp, lamp + high, colour)
            face.box(w - 36, w - 8, lamp, lamp + high, colour)
            if self.label == CAR:
                face.box(w // 2 - 24, w // 2 + 24, 48, 60, (224, 224, 214))

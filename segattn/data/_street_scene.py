"""The composition of a street scene: what stands where. Sizes and positions are drawn in centimetres, before any pixel."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from segattn.data import _street_objects as objects
from segattn.data._street_backdrop import (
    BUILDING,
    FENCE,
    LEAVES,
    MASONRY,
    ROAD,
    SIDEWALK,
    TERRAIN,
    VEGETATION,
    WALL,
    Front,
    Ground,
    paint_front,
    paint_sky,
    paint_skyline,
)
from segattn.data._street_canvas import IGNORED, Camera, Canvas, Colour, Dice, Light, noise
from segattn.data._street_objects import Stage

_FAR = 20000
_GRAIN = np.array([0, 3, 6, 9, 13, 18, 24, 30], np.int16)
_WEATHER: tuple[tuple[Colour, Colour, Colour, int, int, int], ...] = (
    # zenith, horizon, tint, sight in cm, contrast of the sun, clouds
    ((86, 134, 200), (190, 212, 232), (262, 258, 246), 60000, 46, 150),
    ((120, 160, 206), (214, 224, 230), (258, 254, 246), 40000, 36, 255),
    ((168, 176, 186), (206, 210, 212), (226, 230, 238), 24000, 10, 120),
    ((110, 124, 168), (244, 196, 150), (268, 234, 196), 30000, 56, 200),
    ((186, 190, 192), (204, 206, 206), (222, 224, 228), 9000, 4, 40),
    ((64, 76, 116), (200, 150, 140), (178, 168, 182), 26000, 24, 220),
)


@dataclass(frozen=True)
class Street:
    """Lateral positions in cm, from left to right, and what the strips are."""

    left_wall: int
    left_kerb: int
    right_kerb: int
    right_wall: int
    rails: int | None
    """Middle of a track along the street."""
    bed: bool
    """The track lies in grass beside the road instead of in it."""
    crossing: int | None
    """Depth of a side street, 800 cm wide."""
    crossing_rails: bool
    houses: int
    """Percent of houses among what lines the street."""

    @staticmethod
    def draw(dice: Dice) -> Street:
        left, right = -dice.between(420, 760), dice.between(260, 560)
        rails, bed = None, False
        if dice.chance(55):
            bed = dice.chance(35)
            rails = left - 170 if bed else left + dice.between(150, 190)
        left_wall = left - dice.between(180, 420) - (340 if bed else 0)
        crossing = dice.between(1500, 4200) if dice.chance(50) else None
        crossing_rails = crossing is not None and dice.chance(35)
        houses = dice.choose((75, 60, 35))
        right_wall = right + dice.between(180, 420)
        return Street(left_wall, left, right, right_wall, rails, bed, crossing, crossing_rails, houses)


def paint(canvas: Canvas, dice: Dice) -> None:
    """Paint one scene over the whole canvas."""
    zenith, horizon_colour, tint, sight, sun, clouds = dice.choose(_WEATHER)
    bright = dice.between(226, 262)
    tint = (tint[0] * bright >> 8, tint[1] * bright >> 8, tint[2] * bright >> 8)
    light = Light(tint, horizon_colour, sight, sun, dice.choose((-1, 1)))
    aside, lift = dice.between(-130, 130), dice.between(350, 480)
    middle = 8 * canvas.width + 16 * canvas.height * aside // 1000 * 2
    camera = Camera(canvas.height, canvas.width, middle, 16 * canvas.height * lift // 1000, dice.between(125, 190))
    stage = Stage(canvas, camera, light)
    street = Street.draw(dice)
    paint_sky(canvas, camera, zenith, horizon_colour, clouds, dice.between(0, 255))
    paint_skyline(canvas, camera, light, dice, houses=street.houses)
    _lay_ground(Ground(canvas, camera, light), street, dice)
    for front in sorted(_fronts(street, dice, -1) + _fronts(street, dice, 1), key=lambda front: -front.near):
        paint_front(canvas, camera, light, front)
    things = [*_traffic(street, dice), *_furniture(street, dice), *_people(street, dice)]
    for _, paint_thing in sorted(things, key=lambda thing: -thing[0]):
        paint_thing(stage)
    if dice.chance(65):
        _paint_bonnet(stage, dice)


def _lay_ground(ground: Ground, street: Street, dice: Dice) -> None:
    grey = dice.near((92, 92, 96), 16)
    asphalt = [_darker(grey, eighths) for eighths in (7, 8, 8, 8, 8, 9)]
    paving = asphalt if dice.chance(50) else [_darker(dice.near((138, 130, 122), 20), e) for e in (7, 8, 8, 9)]
    grass = LEAVES[dice.between(0, 2)][1:]
    edge = 12 * _FAR
    ground.surface(ground.strip(-edge, edge, 0, 12 * _FAR), asphalt, ROAD)
    for sign, kerb, wall in ((-1, street.left_kerb, street.left_wall), (1, street.right_kerb, street.right_wall)):
        yard = grass if dice.chance(65) else paving
        label = TERRAIN if yard is grass else SIDEWALK
        for near, far in ((0, street.crossing or _FAR), ((street.crossing or _FAR) + 800, _FAR)):
            if near < far:
                ground.surface(ground.strip(*sorted((kerb, wall)), near, far), paving, SIDEWALK)
                ground.surface(ground.strip(*sorted((wall, sign * edge)), near, 12 * _FAR), yard, label)
                if dice.chance(45):  # a verge between road and sidewalk
                    verge = kerb + sign * dice.between(50, 90)
                    ground.surface(ground.strip(*sorted((kerb, verge)), near, far), grass, TERRAIN)
                ground.mark(ground.strip(*sorted((kerb, kerb + sign * 14)), near, far), (168, 166, 160), SIDEWALK)
    if street.rails is not None and street.bed:
        ground.surface(ground.strip(street.left_kerb - 330, street.left_kerb - 10, 0, _FAR), grass, TERRAIN)
    _mark_road(ground, street, dice)
    if street.rails is not None:
        label = TERRAIN if street.bed else ROAD
        for offset in (-72, 72):
            ground.mark(ground.strip(street.rails + offset - 9, street.rails + offset + 9, 0, _FAR), (44, 42, 42), label)
            ground.mark(ground.strip(street.rails + offset - 4, street.rails + offset + 4, 0, _FAR), (186, 184, 182), label)
    if street.crossing is not None and street.crossing_rails:
        for offset in (328, 472):
            at = street.crossing + offset
            ground.mark(ground.strip(-edge, edge, at - 12, at + 12), (44, 42, 42), ROAD)
            ground.mark(ground.strip(-edge, edge, at - 5, at + 5), (186, 184, 182), ROAD)


def _mark_road(ground: Ground, street: Street, dice: Dice) -> None:
    white: Colour = (214, 214, 208)
    middle = (street.left_kerb + street.right_kerb) // 2 - dice.between(0, 60)
    gap = dice.choose((0, 600, 600, 900))
    for near in range(0, _FAR, 300 + gap):
        if gap or near == 0:
            ground.mark(ground.strip(middle - 7, middle + 7, near, near + 300 if gap else _FAR), white, ROAD)
    if dice.chance(50):
        at = street.right_kerb - dice.between(25, 40)
        ground.mark(ground.strip(at - 6, at + 6, 0, street.crossing or _FAR), white, ROAD)
    if dice.chance(45):
        near = (street.crossing or dice.between(900, 2400)) - 450
        for X in range(street.left_kerb + 30, street.right_kerb - 50, 100):
            ground.mark(ground.strip(X, X + 50, near, near + 320), white, ROAD)


def _darker(colour: Colour, eighths: int) -> Colour:
    red, green, blue = (min(255, c * eighths // 8) for c in colour)
    return red, green, blue


def _fronts(street: Street, dice: Dice, sign: int) -> list[Front]:
    """What lines one side of the street, from the camera to the distance."""
    wall = street.left_wall if sign < 0 else street.right_wall
    fronts: list[Front] = []
    Z = -dice.between(0, 1500)
    while Z < _FAR * 3 // 4:
        house = dice.chance(street.houses)
        far = Z + (dice.between(900, 2600) if house else dice.between(500, 1800))
        if street.crossing is not None and Z < street.crossing + 800 and far > street.crossing - 60:
            far = street.crossing - 60
        if far - Z > 200:
            if house:
                fronts.append(_house(dice, wall + sign * dice.choose((0, 0, 0, 150)), Z, far))
            else:
                fronts += _boundary(dice, wall, sign, Z, far)
        Z = far + (dice.between(0, 500) if dice.chance(40) else 0)
        if street.crossing is not None and street.crossing - 260 < Z < street.crossing + 860:
            Z = street.crossing + 860
    return fronts


def _masonry(dice: Dice) -> tuple[Colour, ...]:
    base = dice.near(dice.choose(MASONRY), 22)
    frame = (226, 222, 212) if dice.chance(60) else _darker(base, 5)
    panes = ((50, 60, 72), (84, 98, 112), (128, 142, 152) if dice.chance(70) else (214, 190, 120))
    return base, _darker(base, dice.choose((6, 7, 9))), frame, *panes


def _house(dice: Dice, X: int, near: int, far: int) -> Front:
    storeys = dice.between(2, 7)
    roof = dice.choose(((126, 62, 50), (84, 84, 90), (98, 74, 62))) if storeys < 5 and dice.chance(75) else None
    storey, low = dice.between(270, 340), dice.between(60, 100)
    height, bay = storeys * storey + 40, dice.between(200, 380)
    pane = (low, low + dice.between(110, 160))
    deep = dice.between(800, 1300)
    seed = dice.between(0, 255)
    return Front(BUILDING, X, near, far, deep, height, _masonry(dice), storey, bay, seed, roof, pane)


def _boundary(dice: Dice, X: int, sign: int, near: int, far: int) -> list[Front]:
    """A wall, fence or hedge, often with a house or greenery behind."""
    behind = []
    if dice.chance(40):
        behind.append(_house(dice, X + sign * dice.between(500, 900), near + 200, max(near + 500, far - 100)))
    leaves = LEAVES[dice.between(0, 2)]
    if dice.chance(40):
        tall = dice.between(350, 700)
        behind.append(Front(VEGETATION, X + sign * 300, near, far, 600, tall, leaves, seed=dice.between(0, 255)))
    kind, seed = dice.choose((WALL, WALL, WALL, FENCE, FENCE, FENCE, VEGETATION)), dice.between(0, 255)
    if kind == VEGETATION:
        return [Front(VEGETATION, X, near, far, 120, dice.between(120, 280), leaves, seed=seed), *behind]
    if kind == WALL:
        tall = dice.between(150, 340)
        return [Front(WALL, X, near, far, 40, tall, _masonry(dice), storey=900, seed=seed, pane=(0, 0)), *behind]
    tall, colour = dice.between(110, 220), dice.choose(((64, 66, 66), (128, 104, 78), (176, 178, 176), (44, 70, 54)))
    spacing, rail = dice.choose(((18, 80), (30, 60), (45, 45))), dice.near(colour, 12)
    return [Front(FENCE, X, near, far, 0, tall, (rail,), rail_gap(spacing), spacing[0], seed, pane=(0, 0)), *behind]


def rail_gap(spacing: tuple[int, int]) -> int:
    return spacing[1]


_Thing = tuple[int, Callable[[Stage], None]]


def _vehicle(dice: Dice, kind: int, X: int, Z: int, *, crossing: bool = False, rear: bool = True) -> objects.Vehicle:
    """A vehicle centred at X (crossing: beginning there) whose near edge is at Z."""
    if kind == objects.CAR:
        size = dice.between(168, 186), dice.between(380, 480), dice.between(138, 176)
        colour, accent = dice.near(dice.choose(objects.PAINT), 14), objects.TYRE
    else:
        size = dice.between(235, 255), dice.between(1050, 1700), dice.between(295, 345)
        if kind == objects.TRUCK:
            size = size[0], dice.between(650, 1000), size[2]
        colour, accent = dice.near(dice.choose(objects.LIVERY), 16), dice.near(dice.choose(objects.LIVERY), 16)
    width, length, height = size
    left = X if crossing else X - width // 2
    return objects.Vehicle(kind, left, Z, width, length, height, colour, accent, crossing, rear)


def _traffic(street: Street, dice: Dice) -> list[_Thing]:
    left, right = street.left_kerb, street.right_kerb
    oncoming = street.rails if street.rails is not None and not street.bed else left + 190
    vehicles: list[objects.Vehicle] = []
    big = [objects.CAR] * 5 + [objects.TRUCK] * 3 + [objects.BUS] * 3
    on_track = street.rails is not None and not street.bed
    lanes = (
        (right - 190 if right > 400 else 60, True, big, 900),
        (oncoming, False, [objects.CAR] * 2 if on_track else big, 1100),
        (right - 90, True, [objects.CAR, objects.CAR, objects.TRUCK], 700) if right > 460 else None,
    )
    for lane in lanes:
        if lane is None:
            continue
        X, rear, kinds, start = lane
        Z = start + dice.between(0, 1200)
        if on_track and X == street.rails and dice.chance(65):
            vehicles.append(_vehicle(dice, objects.TRAIN, X, Z + 200, rear=dice.chance(50)))
            Z = vehicles[-1].far + 500
        while Z < 9000 and dice.chance(78):
            vehicles.append(_vehicle(dice, dice.choose(kinds), X + dice.between(-15, 15), Z, rear=rear))
            Z = vehicles[-1].far + dice.between(250, 2200)
    if street.rails is not None and street.bed and dice.chance(65):
        vehicles.append(_vehicle(dice, objects.TRAIN, street.rails, dice.between(800, 3500), rear=dice.chance(50)))
    if street.crossing is not None and dice.chance(75):
        rail_or_road = objects.TRAIN if street.crossing_rails else objects.BUS
        kind = dice.choose((rail_or_road, rail_or_road, objects.CAR, *(() if street.crossing_rails else (objects.TRUCK,))))
        X, towards = dice.between(-1500, 500), dice.chance(50)
        vehicles.append(_vehicle(dice, kind, X, street.crossing + 280, crossing=True, rear=towards))
    return [(vehicle.Z, vehicle.paint) for vehicle in vehicles]


def _furniture(street: Street, dice: Dice) -> list[_Thing]:
    things: list[_Thing] = []
    metal = dice.choose(((92, 96, 98), (140, 142, 140), (60, 64, 62), (96, 78, 60)))
    for sign, kerb, wall in ((-1, street.left_kerb, street.left_wall), (1, street.right_kerb, street.right_wall)):
        if sign < 0 and street.bed:
            kerb -= 340
        X = kerb + sign * dice.between(35, 60)
        lamps, planted = dice.chance(70), dice.chance(60)
        gap, tall, kind = dice.between(1400, 2600), dice.between(480, 800), dice.between(0, 2)
        for Z in range(dice.between(500, 1500), 11000, gap):
            if lamps:
                things.append((Z, _later(objects.pole, X, Z, tall, metal, arm=-sign * 110)))
            if planted and dice.chance(75):
                at, size = Z + gap // 2, (dice.between(420, 760), dice.between(130, 260))
                bark = dice.choose((metal, (84, 66, 50), (70, 60, 52)))
                args = wall - sign * dice.between(40, 80), at, *size, kind, bark, Dice(dice.between(0, 1 << 30))
                things.append((at, _later(objects.tree, *args)))
        for _ in range(dice.between(1, 4)):
            Z, tall = dice.between(600, 4500), dice.between(215, 300)
            things.append((Z, _later(objects.pole, X, Z, tall + 20, metal)))
            things.append((Z - 2, _later(objects.sign, X, Z - 2, tall, dice.between(0, 3))))
        if dice.chance(70):
            Z = max(600, (street.crossing or dice.between(1100, 3200)) - dice.between(60, 500))
            lit = dice.between(0, 2)
            things.append((Z, _later(objects.pole, X, Z, 400, metal)))
            things.append((Z - 2, _later(objects.signals, X, Z - 2, dice.between(230, 300), lit)))
        if dice.chance(40):
            Z = dice.between(600, 3000)
            things.append((Z, _later(objects.bin_or_box, wall - sign * 50, Z, Dice(dice.between(0, 1 << 30)))))
    return things


def _people(street: Street, dice: Dice) -> list[_Thing]:
    things: list[_Thing] = []
    for sign, kerb, wall in ((-1, street.left_kerb, street.left_wall), (1, street.right_kerb, street.right_wall)):
        low, high = sorted((kerb + sign * 70, wall - sign * 40))
        for _ in range(dice.between(0, 6)):
            X, Z = dice.between(low, max(low, high)), dice.between(550, 4500)
            things.append((Z, _later(objects.Body.draw(dice).walk, X, Z)))
        for _ in range(dice.between(0, 2)):
            label, parked = dice.choose((objects.BICYCLE, objects.BICYCLE, objects.MOTORCYCLE)), dice.chance(40)
            X = wall - sign * 70 if parked else kerb - sign * dice.between(50, 110)
            things.append(_cycle(dice, X, dice.between(500, 2800), label, parked, parked or dice.chance(25)))
    if dice.chance(50):
        label = dice.choose((objects.BICYCLE, objects.MOTORCYCLE, objects.MOTORCYCLE))
        things.append(_cycle(dice, dice.between(-200, 200), dice.between(600, 1800), label, False, dice.chance(45)))
    if dice.chance(35):  # crossing the road
        Z = dice.between(800, 3000)
        for _ in range(dice.between(1, 3)):
            X = dice.between(street.left_kerb, street.right_kerb)
            things.append((Z, _later(objects.Body.draw(dice).walk, X, Z)))
            Z += 60
    return things


def _cycle(dice: Dice, X: int, Z: int, label: int, parked: bool, crossing: bool) -> _Thing:
    body = None if parked else objects.Body.draw(dice)
    colour = dice.near(dice.choose(objects.PAINT), 20)
    return Z, _later(objects.cycle, X, Z, label, body, colour, crossing=crossing)


def _later(paint_thing: Callable[..., None], *args: object, **options: object) -> Callable[[Stage], None]:
    """Paint with everything but the stage given; methods of a body take the stage first as well."""
    return lambda stage: paint_thing(stage, *args, **options)


def _paint_bonnet(stage: Stage, dice: Dice) -> None:
    """The bonnet of the car that carries the camera: ignored."""
    canvas = stage.canvas
    high, wide = dice.between(45, 85), dice.between(900, 1300)
    colour = dice.near(dice.choose(objects.PAINT), 10)
    x, y, unit = 8 * canvas.width, 16 * canvas.height, 16 * canvas.height
    for part, tone in ((0, 5), (12, 7), (30, 8)):
        ry = unit * (high - part) // 1000
        if ry > 0:
            word = stage.light.word(_darker(colour, tone), IGNORED, 100)
            canvas.disc(x, y, unit * (wide - part * 4) // 1000, ry, word)


def develop(canvas: Canvas, shift: int) -> tuple[np.ndarray, np.ndarray]:
    """Turn words into a picture uint8 (H, W, 3), softened and with grain, and labels uint8 (H, W)."""
    H, W = canvas.height, canvas.width
    planes = canvas.words.astype("<u4").view(np.uint8).reshape(H, W, 4)
    meta = planes[:, :, 3]
    label = np.arange(256, dtype=np.uint8) & 31
    label[label == IGNORED] = 255
    picture = planes[:, :, :3].astype(np.int16)
    soft = picture * 2
    soft[:, 1:] += picture[:, :-1]
    soft[:, :1] += picture[:, :1]
    soft[:, :-1] += picture[:, 1:]
    soft[:, -1:] += picture[:, -1:]
    rows, columns = np.arange(H) * 512 // H + shift, np.arange(W) * 512 // H + shift * 7
    speckle = noise(1)[(rows & 255)[:, None], columns & 255].astype(np.int16) - 128
    delta = (speckle * _GRAIN[meta >> 5]) >> 5
    soft += delta[:, :, None]
    soft >>= 2
    return np.clip(soft, 0, 255).astype(np.uint8), label[meta]

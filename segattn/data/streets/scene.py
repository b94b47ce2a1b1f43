"""The composition of a street scene. All sizes and positions are drawn at random in centimetres, before any pixel is set."""

from __future__ import annotations

import numpy as np

from segattn.data.streets.backdrop import (
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
from segattn.data.streets.canvas import IGNORED, Camera, Canvas, Colour, Dice, Light, noise, tone
from segattn.data.streets.stage import Stage
from segattn.data.streets.things import Street, furniture, people, traffic
from segattn.data.streets.vehicles import PAINT

_FAR = 20000
_GRAIN = np.array([0, 2, 4, 7, 10, 14, 19, 25], np.int16)
_WEATHER: tuple[tuple[Colour, Colour, Colour, int, int, int], ...] = (
    # zenith, horizon, tint, sight in cm, contrast of the sun, clouds
    ((86, 134, 200), (190, 212, 232), (262, 258, 246), 60000, 46, 150),
    ((120, 160, 206), (214, 224, 230), (258, 254, 246), 40000, 36, 255),
    ((168, 176, 186), (206, 210, 212), (226, 230, 238), 24000, 10, 120),
    ((110, 124, 168), (244, 196, 150), (268, 234, 196), 30000, 56, 200),
    ((186, 190, 192), (204, 206, 206), (222, 224, 228), 9000, 4, 40),
    ((64, 76, 116), (200, 150, 140), (178, 168, 182), 26000, 24, 220),
)


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
    things = [*traffic(street, dice), *furniture(street, dice), *people(street, dice)]
    for _, paint_thing in sorted(things, key=lambda thing: -thing[0]):
        paint_thing(stage)
    if dice.chance(65):
        _paint_bonnet(stage, dice)


def _lay_ground(ground: Ground, street: Street, dice: Dice) -> None:
    grey = dice.near((92, 92, 96), 16)
    asphalt = [tone(grey, eighths) for eighths in (7, 8, 8, 8, 8, 9)]
    paving = asphalt if dice.chance(50) else [tone(dice.near((138, 130, 122), 20), e) for e in (7, 8, 8, 9)]
    grass = LEAVES[dice.between(0, 2)][1:]
    edge = 12 * _FAR
    ground.surface(ground.strip(-edge, edge, 0, 12 * _FAR), asphalt, ROAD)
    for sign, kerb, wall in ((-1, street.left_kerb, street.left_wall), (1, street.right_kerb, street.right_wall)):
        yard = grass if dice.chance(65) else paving
        label = TERRAIN if yard is grass else SIDEWALK
        for near, far in ((0, street.crossing or _FAR), ((street.crossing or _FAR) + 800, _FAR)):
            if near < far:
                ground.surface(ground.strip(kerb, wall, near, far), paving, SIDEWALK)
                ground.surface(ground.strip(wall, sign * edge, near, far), yard, label)
                if dice.chance(50):  # a verge between road and sidewalk
                    verge = kerb + sign * dice.between(60, 170)
                    ground.surface(ground.strip(kerb, verge, near, far), grass, TERRAIN)
                ground.mark(ground.strip(kerb, kerb + sign * 14, near, far), (168, 166, 160), SIDEWALK)
    if street.rails is not None and street.bed:
        ground.surface(ground.strip(street.left_kerb - 330, street.left_kerb - 10, 0, _FAR), grass, TERRAIN)
    _mark_road(ground, street, dice)
    if street.rails is not None:
        label = TERRAIN if street.bed else ROAD
        for offset in (-72, 72):
            ground.mark(
                ground.strip(street.rails + offset - 9, street.rails + offset + 9, 0, _FAR), (44, 42, 42), label
            )
            ground.mark(
                ground.strip(street.rails + offset - 4, street.rails + offset + 4, 0, _FAR), (186, 184, 182), label
            )
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


def _fronts(street: Street, dice: Dice, sign: int) -> list[Front]:
    """Houses, walls, fences and hedges along one side of the street, from the camera into the distance."""
    wall = street.left_wall if sign < 0 else street.right_wall
    fronts: list[Front] = []
    Z = -dice.between(0, 1500)
    while Z < _FAR * 3 // 4:
        house = dice.chance(street.houses)
        far = Z + (dice.between(900, 2600) if house else dice.between(500, 1800))
        if street.crossing is not None and street.crossing + 800 > Z and far > street.crossing - 60:
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
    frame = (226, 222, 212) if dice.chance(60) else tone(base, 5)
    panes = ((50, 60, 72), (84, 98, 112), (128, 142, 152) if dice.chance(70) else (214, 190, 120))
    return base, tone(base, dice.choose((6, 7, 9))), frame, *panes


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
    tall, colour = dice.between(120, 240), dice.choose(((64, 66, 66), (128, 104, 78), (176, 178, 176), (44, 70, 54)))
    posts, rails = dice.choose(((18, 80), (30, 60), (45, 45)))
    metal = (dice.near(colour, 12),)
    return [Front(FENCE, X, near, far, 0, tall, metal, storey=rails, bay=posts, seed=seed, pane=(0, 0)), *behind]


def _paint_bonnet(stage: Stage, dice: Dice) -> None:
    """The bonnet of the car that carries the camera: ignored."""
    canvas = stage.canvas
    high, wide = dice.between(45, 85), dice.between(900, 1300)
    colour = dice.near(dice.choose(PAINT), 10)
    x, y, unit = 8 * canvas.width, 16 * canvas.height, 16 * canvas.height
    for part, eighths in ((0, 5), (12, 7), (30, 8)):
        ry = unit * (high - part) // 1000
        if ry > 0:
            word = stage.light.word(tone(colour, eighths), IGNORED, 100)
            canvas.disc(x, y, unit * (wide - part * 4) // 1000, ry, word)


def develop(canvas: Canvas, shift: int) -> tuple[np.ndarray, np.ndarray]:
    """Turn words into a picture uint8 (H, W, 3), softened and with noise, and labels uint8 (H, W)."""
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

"""The objects in a street and their positions: each with its depth and a function that paints it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from segattn.data.streets import figures, vehicles
from segattn.data.streets.canvas import Dice
from segattn.data.streets.stage import Stage

_Thing = tuple[int, Callable[[Stage], None]]


@dataclass(frozen=True)
class Street:
    """Lateral positions in cm, from left to right, and the kinds of strips between them."""

    left_wall: int
    left_kerb: int
    right_kerb: int
    right_wall: int
    rails: int | None
    """Middle of a track along the street."""
    bed: bool
    """The track is in grass beside the road, not in the road."""
    crossing: int | None
    """Depth of a side street, 800 cm wide."""
    crossing_rails: bool
    houses: int
    """Percentage of houses along the street."""

    @staticmethod
    def draw(dice: Dice) -> Street:
        left, right = -dice.between(420, 760), dice.between(260, 560)
        rails, bed = None, False
        if dice.chance(55):
            bed = dice.chance(35)
            rails = left - 170 if bed else left + dice.between(150, 190)
        left_wall = left - dice.between(220, 480) - (340 if bed else 0)
        crossing = dice.between(1500, 4200) if dice.chance(50) else None
        crossing_rails = crossing is not None and dice.chance(35)
        houses = dice.choose((75, 50, 20))
        right_wall = right + dice.between(220, 480)
        return Street(left_wall, left, right, right_wall, rails, bed, crossing, crossing_rails, houses)


def _vehicle(dice: Dice, kind: int, X: int, Z: int, *, crossing: bool = False, rear: bool = True) -> vehicles.Vehicle:
    """A vehicle whose centre (crossing: left edge) is at X and whose near edge is at Z."""
    if kind == vehicles.CAR:
        size = dice.between(168, 186), dice.between(380, 480), dice.between(138, 176)
        colour, accent = dice.near(dice.choose(vehicles.PAINT), 14), vehicles.TYRE
    else:
        size = dice.between(235, 255), dice.between(1050, 1700), dice.between(295, 345)
        if kind == vehicles.TRUCK:
            size = size[0], dice.between(650, 1000), size[2]
        colour, accent = dice.near(dice.choose(vehicles.LIVERY), 16), dice.near(dice.choose(vehicles.LIVERY), 16)
    width, length, height = size
    left = X if crossing else X - width // 2
    return vehicles.Vehicle(kind, left, Z, width, length, height, colour, accent, crossing, rear)


def traffic(street: Street, dice: Dice) -> list[_Thing]:
    """Vehicles on two or three lanes, on a track beside the road, and on the side street."""
    right, parking = street.right_kerb, street.right_kerb > 460
    on_track = street.rails is not None and not street.bed
    any_kind = [vehicles.CAR] * 5 + [vehicles.TRUCK] * 2 + [vehicles.BUS] * 2
    out = _lane(dice, right - (330 if parking else 190), any_kind, 900, rear=True)
    if on_track and street.rails is not None:
        train = [_vehicle(dice, vehicles.TRAIN, street.rails, 1300 + dice.between(0, 900), rear=dice.chance(50))]
        train = train if dice.chance(75) else []
        out += train
        out += _lane(dice, street.rails, [vehicles.CAR], train[0].far + 500 if train else 1100, rear=False)
    else:
        out += _lane(dice, street.left_kerb + 190, any_kind, 1100, rear=False)
    if parking:
        out += _lane(dice, right - 100, [vehicles.CAR], 700, rear=True)
    if street.rails is not None and street.bed and dice.chance(75):
        out.append(_vehicle(dice, vehicles.TRAIN, street.rails, dice.between(800, 3500), rear=dice.chance(50)))
    if street.crossing is not None and dice.chance(75):
        kinds = [vehicles.CAR, vehicles.TRAIN, vehicles.TRAIN, vehicles.TRAIN]
        if not street.crossing_rails:
            kinds = [vehicles.CAR, vehicles.BUS, vehicles.BUS, vehicles.TRUCK]
        X, to_the_right = dice.between(-1500, 500), dice.chance(50)
        out.append(_vehicle(dice, dice.choose(kinds), X, street.crossing + 280, crossing=True, rear=to_the_right))
    return [(vehicle.Z, vehicle.paint) for vehicle in out]


def _lane(dice: Dice, X: int, kinds: list[int], start: int, *, rear: bool) -> list[vehicles.Vehicle]:
    row: list[vehicles.Vehicle] = []
    Z = start + dice.between(0, 900)
    while Z < 9000 and dice.chance(84):
        row.append(_vehicle(dice, dice.choose(kinds), X + dice.between(-15, 15), Z, rear=rear))
        Z = row[-1].far + dice.between(250, 2200)
    return row


def furniture(street: Street, dice: Dice) -> list[_Thing]:
    """Lamps, trees, signs, traffic lights and bins along both kerbs."""
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
                things.append((Z, _later(figures.pole, X, Z, tall, metal, arm=-sign * 110)))
            if planted and dice.chance(75):
                at, size = Z + gap // 2, (dice.between(420, 760), dice.between(130, 260))
                bark = dice.choose((metal, (84, 66, 50), (70, 60, 52)))
                args = wall - sign * dice.between(40, 80), at, *size, kind, bark, Dice(dice.between(0, 1 << 30))
                things.append((at, _later(figures.tree, *args)))
        for _ in range(dice.between(1, 4)):
            Z, tall = dice.between(600, 4500), dice.between(215, 300)
            things.append((Z, _later(figures.pole, X, Z, tall + 20, metal)))
            things.append((Z - 2, _later(figures.sign, X, Z - 2, tall, dice.between(0, 3))))
        if dice.chance(70):
            Z = max(600, (street.crossing or dice.between(1100, 3200)) - dice.between(60, 500))
            lit = dice.between(0, 2)
            things.append((Z, _later(figures.pole, X, Z, 400, metal)))
            things.append((Z - 2, _later(figures.signals, X, Z - 2, dice.between(230, 300), lit)))
        if dice.chance(40):
            Z = dice.between(600, 3000)
            things.append((Z, _later(figures.bin_or_box, wall - sign * 50, Z, Dice(dice.between(0, 1 << 30)))))
    return things


def people(street: Street, dice: Dice) -> list[_Thing]:
    """People on the sidewalks and crossing the road; two-wheelers, parked or ridden."""
    things: list[_Thing] = []
    for sign, kerb, wall in ((-1, street.left_kerb, street.left_wall), (1, street.right_kerb, street.right_wall)):
        low, high = sorted((kerb + sign * 70, wall - sign * 40))
        for _ in range(dice.between(0, 6)):
            X, Z = dice.between(low, max(low, high)), dice.between(550, 4500)
            things.append(_walker(dice, X, Z))
        for _ in range(dice.between(0, 3)):
            label, parked = dice.choose((figures.BICYCLE, figures.MOTORCYCLE)), dice.chance(40)
            X = wall - sign * 70 if parked else kerb - sign * dice.between(50, 110)
            things.append(_cycle(dice, X, dice.between(450, 2200), label, parked, parked or dice.chance(25)))
    if dice.chance(50):
        label = dice.choose((figures.BICYCLE, figures.MOTORCYCLE))
        things.append(_cycle(dice, dice.between(-200, 200), dice.between(600, 1800), label, False, dice.chance(45)))
    if dice.chance(35):  # crossing the road
        Z = dice.between(800, 3000)
        for _ in range(dice.between(1, 3)):
            X = dice.between(street.left_kerb, street.right_kerb)
            things.append(_walker(dice, X, Z))
            Z += 60
    return things


def _walker(dice: Dice, X: int, Z: int) -> _Thing:
    body = figures.Body.draw(dice)
    return Z, lambda stage: body.walk(stage, X, Z)


def _cycle(dice: Dice, X: int, Z: int, label: int, parked: bool, crossing: bool) -> _Thing:
    body = None if parked else figures.Body.draw(dice)
    colour = dice.near(dice.choose(vehicles.PAINT), 20)
    return Z, _later(figures.cycle, X, Z, label, body, colour, crossing=crossing)


def _later(draw: Callable[..., None], *args: object, **options: object) -> Callable[[Stage], None]:
    """A function that calls `draw` with these arguments on a stage."""
    return lambda stage: draw(stage, *args, **options)

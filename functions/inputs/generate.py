#!/usr/bin/env python3
"""Makes the example functions' inputs: a GPS track and pictures. Nothing in them comes from elsewhere.

    python3 functions/inputs/generate.py

Needs Pillow (made with 13.0) for the pictures. The track, sign.png, corrupt.png and huge.png depend on nothing but this
script; roadside.* may change by some bytes with Pillow's codecs, which is why the files stand in the tree. After a run, write
the expected answers anew: see README.md beside this file.
"""

import math
import pathlib
import random
import struct
import zlib

from PIL import Image, ImageDraw, ImageFilter

HERE = pathlib.Path(__file__).parent

# --- the track -------------------------------------------------------------------------------------------------------------

ORIGIN = (47.3650, 8.5450)  # degrees
METRES_PER_DEGREE = (111_180.0, 75_470.0)  # north and east, near that latitude
STEP = 0.1  # s

# The drive: seconds, acceleration in m/s^2, turn rate in degrees/s (clockwise).
DRIVE = [
    (8, 0.0, 0.0),  # parked
    (7, 2.0, 0.0),
    (25, 0.0, 0.0),
    (5, -1.6, 0.0),
    (9, 0.0, 10.0),  # a right turn
    (5, 1.6, 0.0),
    (30, 0.0, 1.2),  # a long bend
    (6, -2.3, 0.0),  # a red light
    (28, 0.0, 0.0),
    (9, 1.8, 0.0),
    (12, 0.0, -7.5),  # a left turn
    (55, 0.0, 0.0),  # with a tunnel in it
    (8, -1.2, 0.0),
    (4, 0.0, 8.0),  # into a roundabout,
    (15, 0.0, -18.0),  # around it
    (4, 0.0, 8.0),  # and out
    (10, 1.4, 0.0),
    (90, 0.0, -0.6),  # out of town
    (10, 0.6, 0.0),
    (60, 0.0, 0.9),
    (14, -1.9, 0.0),
    (20, 0.0, 0.0),  # arrived
]
TUNNEL = (155, 180)  # s: no fixes
CANYON = (60, 85)  # s: fixes without velocity, and poor
OUTLIERS = {52: (70.0, -40.0), 121: (-55.0, 60.0), 290: (0.0, 120.0)}  # s: a reflection, metres east and north


def drive():
    """Yields (t, east, north, heading, speed) of the true path, each STEP."""
    t = east = north = speed = 0.0
    heading = math.radians(35.0)
    for seconds, acceleration, turn in DRIVE:
        for _ in range(round(seconds / STEP)):
            yield t, east, north, heading, speed
            heading += math.radians(turn) * STEP
            speed = max(0.0, speed + acceleration * STEP)
            east += speed * math.sin(heading) * STEP
            north += speed * math.cos(heading) * STEP
            t += STEP


def degrees(east, north):
    return ORIGIN[0] + north / METRES_PER_DEGREE[0], ORIGIN[1] + east / METRES_PER_DEGREE[1]


def write_track():
    """A fix each second, with white noise and a slow drift, and the truth beside it."""
    rng = random.Random(20240611)
    fixes = ["# t[s] latitude longitude[degrees] sigma[m] (speed[m/s] course[degrees])"]
    truth = ["# t[s] latitude longitude[degrees] speed[m/s] course[degrees]"]
    drift = [0.0, 0.0]
    for index, (t, east, north, heading, speed) in enumerate(drive()):
        if index % 10:
            continue
        second = index // 10
        course = math.degrees(heading) % 360.0
        truth.append("%d %.7f %.7f %.3f %.2f" % (second, *degrees(east, north), speed, course))
        drift = [0.97 * d + rng.gauss(0.0, 0.25) for d in drift]
        sigma = 6.0 if CANYON[0] <= second < CANYON[1] else 3.0
        noise = [rng.gauss(0.0, sigma) for _ in range(2)]
        velocity = [speed * math.sin(heading) + rng.gauss(0.0, 0.25), speed * math.cos(heading) + rng.gauss(0.0, 0.25)]
        if TUNNEL[0] <= second < TUNNEL[1]:
            continue
        off = OUTLIERS.get(second, (0.0, 0.0))
        fix = "fix %d %.7f %.7f %.1f" % (
            second,
            *degrees(east + drift[0] + noise[0] + off[0], north + drift[1] + noise[1] + off[1]),
            sigma,
        )
        if not CANYON[0] <= second < CANYON[1]:
            fix += " %.2f %.1f" % (math.hypot(*velocity), math.degrees(math.atan2(*velocity)) % 360.0)
        fixes.append(fix)
    (HERE / "track.txt").write_text("\n".join(fixes) + "\n")
    (HERE / "track.truth.txt").write_text("\n".join(truth) + "\n")


# --- the pictures ----------------------------------------------------------------------------------------------------------


def mix(a, b, share):
    return tuple(round(x + (y - x) * share) for x, y in zip(a, b))


def hills(draw, width, base, height, phase, colour, bottom):
    points = [(0, bottom)]
    for x in range(0, width + 8, 8):
        u = x / width * 6.0 + phase
        points.append((x, base - height * (0.6 + 0.4 * math.sin(u)) - height * 0.25 * math.sin(2.7 * u + 1.0)))
    draw.polygon(points + [(width, bottom)], fill=colour)


def tree(draw, x, ground, size, rng):
    draw.rectangle((x - size * 0.06, ground - size * 0.5, x + size * 0.06, ground), fill=(84, 62, 44))
    for _ in range(22):
        angle, radius = rng.uniform(0, 2 * math.pi), rng.uniform(0, 0.28) * size
        cx, cy = x + radius * math.cos(angle), ground - size * 0.68 + radius * math.sin(angle)
        r = size * rng.uniform(0.1, 0.18)
        draw.ellipse((cx - r, cy - r, cx + r, cy + r), fill=mix((38, 84, 40), (98, 142, 62), rng.random()))


def car(draw, x, y, size, colour):
    draw.ellipse((x - size * 1.1, y - size * 0.08, x + size * 1.1, y + size * 0.12), fill=(52, 52, 56))
    draw.rounded_rectangle((x - size, y - size * 0.75, x + size, y - size * 0.12), size * 0.18, fill=colour)
    draw.polygon(
        [(x - size * 0.72, y - size * 0.7), (x - size * 0.5, y - size * 1.2), (x + size * 0.5, y - size * 1.2),
         (x + size * 0.72, y - size * 0.7)], fill=mix(colour, (0, 0, 0), 0.25))
    draw.polygon(
        [(x - size * 0.58, y - size * 0.72), (x - size * 0.42, y - size * 1.1), (x + size * 0.42, y - size * 1.1),
         (x + size * 0.58, y - size * 0.72)], fill=(150, 180, 200))
    for side in (-1, 1):
        draw.rectangle((x + side * size * 0.72 - size * 0.16, y - size * 0.2, x + side * size * 0.72 + size * 0.16, y),
                       fill=(24, 24, 26))
        draw.ellipse((x + side * size * 0.78 - size * 0.14, y - size * 0.58, x + side * size * 0.78 + size * 0.14,
                      y - size * 0.38), fill=(196, 36, 34))
    draw.rectangle((x - size * 0.28, y - size * 0.42, x + size * 0.28, y - size * 0.26), fill=(236, 236, 228))


def roadside(width, height):
    """A country road in the evening, drawn at twice the size and reduced, so that edges are smooth."""
    rng = random.Random(7)
    w, h = width * 2, height * 2
    horizon = round(h * 0.52)
    picture = Image.new("RGB", (w, h))
    draw = ImageDraw.Draw(picture)
    for y in range(horizon):
        draw.line((0, y, w, y), fill=mix((92, 140, 196), (246, 214, 168), (y / horizon) ** 1.6))
    draw.ellipse((w * 0.72, horizon * 0.52, w * 0.72 + h * 0.12, horizon * 0.52 + h * 0.12), fill=(255, 240, 200))
    hills(draw, w, horizon, h * 0.16, 0.4, (126, 140, 160), horizon)
    hills(draw, w, horizon + 4, h * 0.08, 2.1, (92, 120, 104), horizon + 4)
    for y in range(horizon, h):
        draw.line((0, y, w, y), fill=mix((140, 160, 92), (70, 104, 48), (y - horizon) / (h - horizon)))
    draw.polygon([(w * 0.47, horizon), (w * 0.53, horizon), (w * 1.02, h), (w * 0.06, h)], fill=(92, 92, 98))
    for i in range(14):
        near, far = 1.0 / (1 + 0.55 * i), 1.0 / (1.3 + 0.55 * i)
        y0, y1 = horizon + (h - horizon) * near, horizon + (h - horizon) * far
        x0, x1 = w * (0.5 + 0.04 * near), w * (0.5 + 0.04 * far)
        draw.polygon([(x0 - w * 0.008 * near, y0), (x0 + w * 0.008 * near, y0), (x1 + w * 0.008 * far, y1),
                      (x1 - w * 0.008 * far, y1)], fill=(232, 230, 220))
    for i in range(9, 0, -1):
        depth = i / 9.0
        near = 1.0 - depth * 0.93
        ground = horizon + (h - horizon) * near * 0.72
        tree(draw, w * (0.42 - 0.46 * near), ground, h * 0.62 * near, rng)
        tree(draw, w * (0.58 + 0.56 * near), ground, h * 0.5 * near, rng)
    car(draw, w * 0.63, h * 0.84, h * 0.105, (44, 92, 150))
    car(draw, w * 0.475, h * 0.585, h * 0.02, (176, 44, 40))
    return picture.resize((width, height), Image.Resampling.LANCZOS)


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width, height, colour_type, raw):
    """A PNG of 8 bits a channel from its filtered rows, stored without compression: the same bytes everywhere."""
    header = struct.pack(">IIBBBBB", width, height, 8, colour_type, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(raw, 0)) + chunk(b"IEND", b"")


def sign():
    """A warning sign, 64 x 64 with transparency around it."""
    rows = bytearray()
    for y in range(64):
        rows.append(0)
        for x in range(64):
            edge = (y - 6) / 2.0 - abs(x - 31.5)
            if edge < 0 or y > 58:
                rows += bytes((0, 0, 0, 0))
            elif edge < 5 or y > 53:
                rows += bytes((200, 30, 36, 255))
            elif 29 <= x <= 34 and (22 <= y <= 40 or 44 <= y <= 49):
                rows += bytes((20, 20, 20, 255))
            else:
                rows += bytes((250, 250, 246, 255))
    return png(64, 64, 6, bytes(rows))


def write_pictures():
    roadside(480, 300).save(HERE / "roadside.png", optimize=True)
    roadside(1280, 800).filter(ImageFilter.GaussianBlur(0.6)).save(HERE / "roadside.jpg", quality=82)
    (HERE / "sign.png").write_bytes(sign())
    # Damaged in the middle of the picture's data, so that the header is fine and the checksum is not.
    damaged = bytearray(sign())
    for at in range(8000, 8016):
        damaged[at] ^= 0x5A
    (HERE / "corrupt.png").write_bytes(damaged)
    # 68 bytes that claim ten gigapixels.
    (HERE / "huge.png").write_bytes(png(100_000, 100_000, 2, b""))


if __name__ == "__main__":
    write_track()
    write_pictures()

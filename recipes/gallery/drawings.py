"""The gallery's pictures, drawn by code: 128×128 RGB, the same on every machine."""

from __future__ import annotations

from functools import cache

import numpy as np
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter, ImageFont, ImageOps

SIZE = 128
Picture = Image.Image


def _noise(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random((SIZE, SIZE, 3))


def _picture(values: np.ndarray) -> Picture:
    return Image.fromarray((np.clip(values, 0, 1) * 255).round().astype(np.uint8))


@cache
def _scene() -> Picture:
    """Sky, sun, two hills and a house."""
    down = np.linspace(0, 1, SIZE)[:, None, None]
    picture = _picture(np.array([0.35, 0.6, 0.9]) * (1 - down) + np.array([0.98, 0.86, 0.7]) * down + np.zeros((SIZE, SIZE, 3)))
    draw = ImageDraw.Draw(picture)
    draw.ellipse((86, 14, 110, 38), fill=(255, 214, 70))
    draw.ellipse((-50, 72, 90, 190), fill=(58, 128, 74))
    draw.ellipse((40, 84, 190, 210), fill=(96, 158, 62))
    draw.rectangle((28, 66, 62, 96), fill=(196, 74, 58))
    draw.polygon([(24, 66), (45, 46), (66, 66)], fill=(110, 48, 44))
    draw.rectangle((40, 78, 50, 96), fill=(72, 44, 36))
    draw.rectangle((52, 72, 59, 80), fill=(250, 236, 160))
    return picture


def scene() -> Picture:
    """The gallery's ordinary picture."""
    return _scene().copy()


def brightened() -> Picture:
    """The scene, lighter."""
    return ImageEnhance.Brightness(scene()).enhance(1.35)


def darkened() -> Picture:
    """The scene, at a third of its light."""
    return ImageEnhance.Brightness(scene()).enhance(0.33)


def stark() -> Picture:
    """The scene with more contrast than it has."""
    return ImageEnhance.Contrast(scene()).enhance(1.8)


def washed_out() -> Picture:
    """The scene as through milk: little contrast, little colour."""
    return Image.blend(scene(), Image.new("RGB", (SIZE, SIZE), (190, 190, 190)), 0.8)


def vivid() -> Picture:
    """The scene with strong colours."""
    return ImageEnhance.Color(scene()).enhance(1.9)


def gray() -> Picture:
    """The scene without colour."""
    return ImageOps.grayscale(scene()).convert("RGB")


def blurred() -> Picture:
    """The scene out of focus."""
    return scene().filter(ImageFilter.GaussianBlur(3))


def shifted() -> Picture:
    """The scene, a pixel to the side."""
    return Image.fromarray(np.roll(np.asarray(scene()), 1, axis=1))


def mirrored() -> Picture:
    """The left half of the scene, and its mirror image."""
    picture = scene()
    picture.paste(ImageOps.mirror(picture.crop((0, 0, SIZE // 2, SIZE))), (SIZE // 2, 0))
    return picture


def red_scene() -> Picture:
    """The scene in red light."""
    return ImageOps.colorize(ImageOps.grayscale(scene()), (90, 0, 0), (255, 90, 80))


def blue_scene() -> Picture:
    """The scene in blue light."""
    return ImageOps.colorize(ImageOps.grayscale(scene()), (0, 0, 90), (80, 110, 255))


def rainbow() -> Picture:
    """Every hue, from dark to light."""
    hue, value = np.meshgrid(np.linspace(0, 255, SIZE), np.linspace(60, 255, SIZE))
    bands = [Image.fromarray(band.astype(np.uint8)) for band in (hue, np.full_like(hue, 200), value)]
    return Image.merge("HSV", bands).convert("RGB")


def flag() -> Picture:
    """Three flat stripes."""
    picture = Image.new("RGB", (SIZE, SIZE), (240, 240, 236))
    draw = ImageDraw.Draw(picture)
    draw.rectangle((0, 0, SIZE, 42), fill=(46, 92, 160))
    draw.rectangle((0, 86, SIZE, SIZE), fill=(196, 62, 54))
    return picture


def bricks() -> Picture:
    """A wall: edges everywhere."""
    picture = Image.new("RGB", (SIZE, SIZE), (222, 214, 204))
    draw = ImageDraw.Draw(picture)
    for row in range(SIZE // 8):
        for column in range(-1, SIZE // 16 + 1):
            left = column * 16 + (row % 2) * 8
            draw.rectangle((left, row * 8, left + 13, row * 8 + 5), fill=(168, 72 + (column * 7 + row * 5) % 24, 56))
    return picture


def disc() -> Picture:
    """One large soft shape on a plain ground."""
    picture = Image.new("RGB", (SIZE, SIZE), (236, 232, 224))
    ImageDraw.Draw(picture).ellipse((24, 24, 104, 104), fill=(96, 136, 176))
    return picture.filter(ImageFilter.GaussianBlur(2))


def ramp() -> Picture:
    """A calm gradient from corner to corner."""
    across, down = np.meshgrid(np.linspace(0, 1, SIZE), np.linspace(0, 1, SIZE))
    return _picture(np.stack([0.3 + 0.4 * across, 0.4 + 0.3 * down, 0.7 - 0.2 * across], axis=-1))


def noisy() -> Picture:
    """The scene under heavy noise."""
    return _picture(np.asarray(scene()) / 255 + 0.6 * (_noise() - 0.5))


def tiles() -> Picture:
    """One small tile, repeated."""
    tile = Image.new("RGB", (16, 16), (232, 226, 212))
    ImageDraw.Draw(tile).polygon([(8, 1), (15, 8), (8, 15), (1, 8)], fill=(52, 112, 120))
    picture = Image.new("RGB", (SIZE, SIZE))
    for place in np.ndindex(SIZE // 16, SIZE // 16):
        picture.paste(tile, (place[0] * 16, place[1] * 16))
    return picture


def night() -> Picture:
    """Almost black, one small grey mark: what cheated rewards end in."""
    picture = Image.new("RGB", (SIZE, SIZE), (6, 6, 8))
    ImageDraw.Draw(picture).rectangle((56, 60, 72, 68), fill=(150, 150, 150))
    return picture


def left_dark() -> Picture:
    """The scene with its left half in the dark."""
    values = np.asarray(scene()) / 255
    values[:, : SIZE // 2] *= 0.3
    return _picture(values)


def red_circle() -> Picture:
    """A red circle on white."""
    picture = Image.new("RGB", (SIZE, SIZE), "white")
    ImageDraw.Draw(picture).ellipse((28, 28, 100, 100), fill=(214, 34, 38))
    return picture


def green_squares() -> Picture:
    """Three green squares on black."""
    picture = Image.new("RGB", (SIZE, SIZE), "black")
    draw = ImageDraw.Draw(picture)
    for left, top in ((14, 70), (52, 20), (84, 76)):
        draw.rectangle((left, top, left + 30, top + 30), fill=(40, 170, 70))
    return picture


def _written(picture: Picture, text: str, size: int, place: tuple[int, int], color: tuple[int, int, int]) -> Picture:
    ImageDraw.Draw(picture).text(place, text, font=ImageFont.load_default(size), fill=color)
    return picture


def poster() -> Picture:
    """Large, clear letters."""
    picture = Image.new("RGB", (SIZE, SIZE), (250, 246, 236))
    return _written(_written(picture, "OPEN", 44, (6, 14), (24, 40, 96)), "LATE", 44, (10, 66), (24, 40, 96))


def watermarked() -> Picture:
    """The gradient with a text across it."""
    return _written(ramp(), "SAMPLE", 30, (5, 50), (250, 250, 250))

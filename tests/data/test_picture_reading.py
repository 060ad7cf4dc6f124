"""Pictures of every kind as the pixels that are trained."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFile, features

from lib_dreambooth.base.errors import FileError, UserError
from lib_dreambooth.data.pictures.alpha import flatten, parse_colour, read_mask
from lib_dreambooth.data.pictures.decoding import Picture, decode
from lib_dreambooth.data.pictures.opening import Header, read_header
from tests.data.drawn_files import gradient, linear_profile, png_bytes, save, save_gradient

LOSSLESS = {"png": {}, "bmp": {}, "gif": {}, "tiff": {}, "webp": {"lossless": True, "exact": True}}


def pixels(image: Image.Image) -> np.ndarray:
    return np.asarray(image).astype(int)


def pixel(path: Path, x: int = 0, y: int = 0) -> tuple[int, ...]:
    return decode(path).rgb.getpixel((x, y))  # type: ignore[return-value]


@pytest.mark.parametrize("ending", ["png", "bmp", "tiff", "webp"])
def test_lossless_formats_give_their_pixels_back(tmp_path: Path, ending: str) -> None:
    path = save_gradient(tmp_path / f"a.{ending}", **LOSSLESS[ending])
    assert (pixels(decode(path).rgb) == gradient(64, 48)).all()
    header = read_header(path)
    assert header.size == (64, 48) and not header.has_alpha


@pytest.mark.parametrize("ending", ["jpg", "jpeg", "jfif", "avif"])
def test_lossy_formats_come_near(tmp_path: Path, ending: str) -> None:
    if ending == "avif" and "avif" not in features.modules:
        # Old Pillow: the file is reported, not guessed at.
        (tmp_path / "a.avif").write_bytes(b"\0\0\0\x20ftypavif" + bytes(100))
        with pytest.raises(FileError, match="AVIF, which this Pillow cannot read"):
            decode(tmp_path / "a.avif")
        return
    kind = "avif" if ending == "avif" else "jpeg"
    path = tmp_path / f"a.{ending}"
    Image.fromarray(gradient(64, 48)).save(path, format=kind, quality=95)
    assert np.abs(pixels(decode(path).rgb) - gradient(64, 48)).max() < 25


def test_the_first_frame_of_an_animation_is_taken(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (8, 8), colour) for colour in ((255, 0, 0), (0, 0, 255))]
    for ending in ("gif", "tiff", "png", "webp"):
        path = tmp_path / f"a.{ending}"
        frames[0].save(path, save_all=True, append_images=frames[1:])
        assert np.abs(np.array(pixel(path)) - (255, 0, 0)).max() <= 1, ending


def test_content_decides_not_the_name(tmp_path: Path) -> None:
    path = tmp_path / "photo.png"
    Image.new("RGB", (8, 8), (9, 200, 9)).save(path, format="BMP")
    assert pixel(path) == (9, 200, 9)
    assert read_header(path).picture_format == "BMP"


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("ending", ["jpg", "png", "tiff", "webp"])
def test_exif_rotation_is_applied(tmp_path: Path, orientation: int, ending: str) -> None:
    upright = Image.new("RGB", (48, 32), (0, 0, 0))
    upright.paste((250, 250, 250), (0, 0, 24, 16))
    back = {
        2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180, 4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE, 6: Image.Transpose.ROTATE_90, 7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }  # fmt: skip
    stored = upright.transpose(back[orientation]) if orientation > 1 else upright
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = save(tmp_path / f"a.{ending}", stored, exif=exif.tobytes(), **LOSSLESS.get(ending, {}))
    header = read_header(path)
    assert header.size == (48, 32) and header.orientation == orientation
    assert np.abs(pixels(decode(path).rgb) - pixels(upright)).max() < 12
    assert decode(path, upright=False).rgb.size == stored.size


def test_a_senseless_orientation_counts_as_none(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 99
    path = save_gradient(tmp_path / "a.jpg", exif=exif.tobytes())
    assert read_header(path).orientation == 1


def test_sixteen_bits_keep_their_brightness(tmp_path: Path) -> None:
    grey = np.array([[0, 257 * 100, 65535]], dtype=">u2")
    path = tmp_path / "grey.png"
    path.write_bytes(png_bytes(3, 1, 16, 0, b"\0" + grey.tobytes()))
    assert pixels(decode(path).rgb).tolist() == [[[0] * 3, [100] * 3, [255] * 3]]
    colour = np.array([[257 * 10, 257 * 20, 257 * 30]], dtype=">u2")
    path = tmp_path / "colour.png"
    path.write_bytes(png_bytes(1, 1, 16, 2, b"\0" + colour.tobytes()))
    assert pixel(path) == (10, 20, 30)
    path = tmp_path / "grey.tiff"
    Image.fromarray(grey.astype(np.uint16)).save(path)
    assert pixels(decode(path).rgb)[0, 1].tolist() == [100] * 3


def test_fractions_are_scaled(tmp_path: Path) -> None:
    path = tmp_path / "a.tiff"
    Image.fromarray(np.array([[0.0, 0.5, 1.0]], dtype=np.float32)).save(path)
    assert pixels(decode(path).rgb)[0, :, 0].tolist() == [0, 128, 255]


def test_grey_black_and_white_and_palettes(tmp_path: Path) -> None:
    assert pixel(save(tmp_path / "l.png", Image.new("L", (4, 4), 77))) == (77, 77, 77)
    assert pixel(save(tmp_path / "1.png", Image.new("1", (4, 4), 1))) == (255, 255, 255)
    colours = Image.new("RGB", (4, 4), (12, 34, 56)).quantize(4)
    assert pixel(save(tmp_path / "p.png", colours)) == (12, 34, 56)
    assert pixel(save(tmp_path / "p.gif", colours)) == (12, 34, 56)


def test_cmyk_is_not_inverted(tmp_path: Path) -> None:
    for ending in ("jpg", "tiff"):
        red = pixel(save(tmp_path / f"a.{ending}", Image.new("CMYK", (16, 16), (0, 255, 255, 0))))
        assert red[0] > 200 and max(red[1:]) < 60, ending


def test_lab_becomes_colour(tmp_path: Path) -> None:
    grey = pixel(save(tmp_path / "a.tiff", Image.new("LAB", (4, 4), (136, 128, 128))))
    assert all(abs(value - 127) <= 3 for value in grey)


def test_a_colour_profile_is_applied(tmp_path: Path) -> None:
    # A linear half is 188 in sRGB, by its formula 255 * (1.055 * 0.502 ** (1 / 2.4) - 0.055).
    image = Image.new("RGB", (4, 4), (128, 128, 128))
    for ending in ("png", "jpg", "tiff", "webp"):
        path = save(tmp_path / f"a.{ending}", image, icc_profile=linear_profile())
        assert all(abs(value - 188) <= 2 for value in pixel(path)), ending


def test_a_profile_of_another_kind_or_damaged_counts_as_none(tmp_path: Path) -> None:
    grey = Image.new("L", (4, 4), 128)
    assert pixel(save(tmp_path / "a.png", grey, icc_profile=linear_profile())) == (128, 128, 128)
    image = Image.new("RGB", (4, 4), (128, 128, 128))
    assert pixel(save(tmp_path / "b.png", image, icc_profile=b"no profile")) == (128, 128, 128)


def test_an_srgb_profile_changes_nothing(tmp_path: Path) -> None:
    from PIL import ImageCms

    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    path = save_gradient(tmp_path / "a.png", icc_profile=profile)
    assert (pixels(decode(path).rgb) == gradient(64, 48)).all()


def half_transparent() -> Image.Image:
    image = Image.new("RGBA", (2, 1), (200, 100, 0, 255))
    image.putpixel((1, 0), (200, 100, 0, 0))
    return image


@pytest.mark.parametrize("ending", ["png", "webp", "tiff"])
def test_the_colour_under_transparency_is_kept(tmp_path: Path, ending: str) -> None:
    path = save(tmp_path / f"a.{ending}", half_transparent(), **LOSSLESS[ending])
    assert read_header(path).has_alpha
    picture = decode(path)
    assert picture.alpha is not None and pixels(picture.alpha).tolist() == [[255, 0]]
    white = (255, 255, 255)
    assert pixels(flatten(picture, "drop", white)).tolist() == [[[200, 100, 0]] * 2]
    assert pixels(flatten(picture, "mask", white)).tolist() == [[[200, 100, 0]] * 2]
    assert pixels(flatten(picture, "composite", white)).tolist() == [[[200, 100, 0], [255, 255, 255]]]
    assert pixels(flatten(picture, "both", (1, 2, 3))).tolist() == [[[200, 100, 0], [1, 2, 3]]]


def test_transparency_of_palettes_grey_and_a_key_colour(tmp_path: Path) -> None:
    palette = half_transparent().quantize(4)
    picture = decode(save(tmp_path / "p.png", palette))
    assert picture.alpha is not None and pixels(picture.alpha)[0].tolist() == [255, 0]
    grey = Image.new("LA", (1, 1), (50, 30))
    picture = decode(save(tmp_path / "la.png", grey))
    assert picture.alpha is not None and picture.alpha.getpixel((0, 0)) == 30
    assert picture.rgb.getpixel((0, 0)) == (50, 50, 50)
    path = save(tmp_path / "key.png", Image.new("RGB", (2, 1), (1, 2, 3)), transparency=(1, 2, 3))
    keyed = decode(path)
    assert read_header(path).has_alpha and keyed.alpha is not None
    assert pixels(keyed.alpha).tolist() == [[0, 0]]


def test_alpha_turns_with_its_picture(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    path = save(tmp_path / "a.png", half_transparent(), exif=exif.tobytes())
    picture = decode(path)
    assert picture.alpha is not None and picture.alpha.size == picture.rgb.size == (1, 2)


@pytest.mark.parametrize("ending", ["png", "jpg", "webp", "bmp", "gif", "tiff"])
@pytest.mark.parametrize("filled_by_pillow", [False, True])
def test_a_file_that_is_cut_short_is_refused(
    tmp_path: Path, ending: str, filled_by_pillow: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Other programs in the process may have told Pillow to fill up such pictures with grey.
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", filled_by_pillow)
    noise = np.random.default_rng(0).integers(0, 255, (200, 200, 3), dtype=np.uint8)
    whole = save(tmp_path / f"a.{ending}", Image.fromarray(noise))
    decode(whole)
    data = whole.read_bytes()
    for share in (0.5, 0.9):
        cut = tmp_path / f"cut.{ending}"
        cut.write_bytes(data[: int(len(data) * share)])
        if ending == "tiff" and filled_by_pillow:
            continue
        with pytest.raises(FileError, match=r"cut short|damaged"):
            decode(cut)


# Pillow's own remarks on damaged TIFFs. Filters are shared by threads, so reading does not change them.
@pytest.mark.filterwarnings("ignore:Corrupt EXIF data:UserWarning")
@pytest.mark.parametrize(
    "data", [b"", b"\0", b"hello, no picture", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe0", b"GIF89a",
             b"BM\0\0", b"II*\0\xff\xff\xff\xff", b"RIFF\0\0\0\0WEBPVP8 "],
)  # fmt: skip
def test_what_is_no_picture_gets_a_sentence(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(data)
    for read in (read_header, decode):
        with pytest.raises(FileError) as caught:
            read(path)
        assert "a.png" in caught.value.sentence() and caught.value.todo


@pytest.mark.filterwarnings("ignore:Truncated File Read:UserWarning")
@pytest.mark.filterwarnings("ignore:Corrupt EXIF data:UserWarning")
@pytest.mark.filterwarnings("ignore:Metadata Warning:UserWarning")
def test_random_damage_never_makes_a_traceback(tmp_path: Path) -> None:
    draw = np.random.default_rng(1)
    for ending in ("png", "jpg", "webp", "gif", "bmp", "tiff"):
        good = save_gradient(tmp_path / f"good.{ending}", 24, 24).read_bytes()
        for trial in range(40):
            bad = bytearray(good)
            for _ in range(1 + trial % 8):
                bad[draw.integers(len(bad))] = draw.integers(256)
            path = tmp_path / f"bad.{ending}"
            path.write_bytes(bytes(bad))
            try:
                assert isinstance(decode(path, max_pixels=1_000_000), Picture)
            except FileError as error:
                assert error.where == str(path)


def test_a_bomb_is_refused_before_it_is_decoded(tmp_path: Path) -> None:
    path = tmp_path / "bomb.png"
    path.write_bytes(png_bytes(60_000, 60_000, 8, 2, b"\0" * 1000))
    assert read_header(path) == Header("PNG", (60_000, 60_000), "RGB", 1, False)
    with pytest.raises(FileError, match="60000x60000 pixels, more than the 178 million"):
        decode(path)


def test_a_huge_jpeg_is_read_smaller(tmp_path: Path) -> None:
    path = save_gradient(tmp_path / "a.jpg", 1000, 800)
    assert decode(path, max_pixels=800_000).reduced == 1
    half = decode(path, max_pixels=799_999)
    assert half.reduced == 2 and half.rgb.size == (500, 400)
    assert decode(path, max_pixels=60_000).rgb.size == (250, 200)
    with pytest.raises(FileError, match="more than"):
        decode(path, max_pixels=10_000)


def test_one_pixel_is_a_picture(tmp_path: Path) -> None:
    assert pixel(save(tmp_path / "a.png", Image.new("RGB", (1, 1), (5, 6, 7)))) == (5, 6, 7)


def test_a_picture_that_is_gone_and_a_folder_under_its_name(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="this picture is gone"):
        decode(tmp_path / "a.png")
    (tmp_path / "b.png").mkdir()
    with pytest.raises(FileError, match="cannot be opened"):
        decode(tmp_path / "b.png")


def test_masks_are_grey_and_of_the_pictures_size(tmp_path: Path) -> None:
    path = save(tmp_path / "m.png", Image.new("RGB", (4, 4), (128, 128, 128)))
    mask = read_mask(path, (8, 6))
    assert mask.size == (8, 6) and mask.mode == "L" and mask.getpixel((3, 3)) == 128


@pytest.mark.parametrize(
    ("text", "colour"), [("#ff8000", (255, 128, 0)), ("white", (255, 255, 255)), (" #000 ", (0, 0, 0))]
)
def test_colours_are_read(text: str, colour: tuple[int, int, int]) -> None:
    assert parse_colour(text) == colour


@pytest.mark.parametrize("text", ["", "#12", "no colour", "(1,2,3)"])
def test_what_is_no_colour_gets_a_sentence(text: str) -> None:
    with pytest.raises(UserError, match="is not a colour"):
        parse_colour(text)

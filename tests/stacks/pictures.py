"""pictures.py - pictures compared as an eye does from some distance: by means of squares of pixels. Letters of another
release of a font differ by little then; what is moved, missing or of another colour does not."""

import io

from harness import *

SQUARE = 12     # pixels
FAR = 26        # of 255, between the means of two squares: they look different


def means(png):
    """(size, [mean colour of each square])"""
    try:
        from PIL import Image
    except ImportError:
        raise Skip("python3-pil is not installed: scripts/setup.sh stacks does it")
    with Image.open(io.BytesIO(png)) as picture:
        return picture.size, list(picture.convert("RGB").reduce(SQUARE).getdata())


def small(png):
    """The same with 128 colours: for storing, a third of the size."""
    from PIL import Image
    out = io.BytesIO()
    with Image.open(io.BytesIO(png)) as picture:
        picture.convert("RGB").quantize(128, dither=Image.Dither.NONE).save(out, "PNG", optimize=True)
    return out.getvalue()


def difference(one, other):
    """The share of squares that look different, 0 to 1; 1 for pictures of different sizes."""
    (size, a), (other_size, b) = means(one), means(other)
    if size != other_size:
        return 1.0
    return sum(max(abs(x - y) for x, y in zip(p, q)) > FAR for p, q in zip(a, b)) / len(a)

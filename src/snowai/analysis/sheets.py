"""Contact sheets: pictures side by side, because people choose by eye."""

import json
from collections.abc import Sequence
from pathlib import Path

import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor
from torch.nn import functional as F

from snowai.image import read_image, to_pil, to_tensor

__all__ = ["gallery", "selection_sheet", "sheet", "show"]

_GAP = 4  # Pixels between pictures.


def sheet(
    rows: Sequence[Sequence[Tensor]], *, titles: Sequence[str] = (), max_height: int = 1024
) -> Tensor:
    """Lay images out in rows, with a title over each column.

    Args:
        rows: Images (3, H, W) or masks (1, H, W) in [0, 1]; those of a row are brought to one
            height.
        titles: A word for each column.
        max_height: Taller rows are shrunk to this.

    Returns:
        One image (3, H, W).

    Raises:
        ValueError: There is no image.

    Example:
        >>> photo, mask = torch.rand(3, 32, 32), torch.rand(1, 32, 32)
        >>> sheet([[photo, mask]], titles=["photo", "eye mask"]).shape
        torch.Size([3, 52, 68])
    """
    if not rows or not all(rows):
        raise ValueError("A sheet needs at least one image in each row.")
    lines = [_row(images, max_height) for images in rows]
    width = max(line.shape[-1] for line in lines)
    gap = torch.ones(3, _GAP, width)
    stacked: list[Tensor] = []
    for line in lines:
        stacked += [F.pad(line, (0, width - line.shape[-1]), value=1.0), gap]
    body = torch.cat(stacked[:-1], dim=1)
    if not titles:
        return body
    return torch.cat([_header(rows[0], titles, width, lines[0].shape[-2]), body], dim=1)


def _row(images: Sequence[Tensor], max_height: int) -> Tensor:
    height = min(max(image.shape[-2] for image in images), max_height)
    cells: list[Tensor] = []
    for image in images:
        cells += [_cell(image, height), torch.ones(3, height, _GAP)]
    return torch.cat(cells[:-1], dim=2)


def _cell(image: Tensor, height: int) -> Tensor:
    image = image.detach().float().cpu().clamp(0, 1).expand(3, -1, -1)
    if image.shape[-2] == height:
        return image
    width = round(image.shape[-1] * height / image.shape[-2])
    return F.interpolate(image[None], (height, width), mode="bilinear", antialias=True)[0]


def _header(images: Sequence[Tensor], titles: Sequence[str], width: int, height: int) -> Tensor:
    """Draw the titles over the first row's cells; the row is ``height`` high."""
    size = max(12, height // 16)
    header = Image.new("RGB", (width, size + 8), "white")
    draw, font, left = ImageDraw.Draw(header), ImageFont.load_default(size), 0
    for image, title in zip(images, titles, strict=False):
        draw.text((left + 2, 2), title, fill="black", font=font)
        left += round(image.shape[-1] * height / image.shape[-2]) + _GAP
    return to_tensor(header)


def gallery(pictures: Sequence[tuple[Tensor, str]], *, columns: int = 6) -> Tensor:
    """Lay pictures out with a line of text under each.

    Args:
        pictures: Images (3, H, W) in [0, 1] of one size, each with its text; long ones are cut.
        columns: Pictures in a row.

    Example:
        >>> gallery([(torch.rand(3, 32, 64), "one"), (torch.rand(3, 32, 64), "two")]).shape
        torch.Size([3, 48, 132])
    """
    cells = [torch.cat([image, _caption(text, image.shape[-1])], dim=1) for image, text in pictures]
    return sheet([cells[start : start + columns] for start in range(0, len(cells), columns)])


def _caption(text: str, width: int) -> Tensor:
    font = ImageFont.load_default(11)
    while text and font.getlength(text) > width - 4:
        text = text[:-1]
    strip = Image.new("RGB", (width, 16), "white")
    ImageDraw.Draw(strip).text((2, 1), text, fill="black", font=font)
    return to_tensor(strip)


def selection_sheet(root: str | Path, *, each: int = 6) -> Tensor:
    """Draw what :func:`snowai.pairs.select_pairs` kept, and what it rejected for which reason.

    Args:
        root: Folder of the selection.
        each: Pairs for each reason, and twice as many of the kept ones.
    """
    root, shown = Path(root), list[tuple[Tensor, str]]()
    groups: dict[str, list[tuple[str, str]]] = {"kept": []}
    for manifest, verdict in (("metadata.jsonl", "kept"), ("rejected.jsonl", "rejected")):
        for line in (root / manifest).read_text().splitlines():
            row = json.loads(line)
            reason = row.get("reasons", ["kept"])[0]
            path = f"review/{verdict}/{Path(row['photo_file_name']).stem}.jpg"
            text = reason.rsplit(": ", maxsplit=1)[-1]
            groups.setdefault(reason.split(":")[0], []).append((path, text))
    for name, members in groups.items():
        for path, text in members[: 2 * each if name == "kept" else each]:
            shown.append((read_image(root / path), text))
    return gallery(shown)


def show(rows: Sequence[Sequence[Tensor]], *, titles: Sequence[str] = ()) -> Image.Image:
    """Return a sheet as a PIL image, which notebooks draw."""
    return to_pil(sheet(rows, titles=titles))

"""Boxes, points and mask files -> the masks of one frame that the model is given."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import torch

from pipeline.errors import StorageError, UserError
from pipeline.media.pointing import Box, MaskFile, Point, Region, seconds_of
from pipeline.records import masks
from pipeline.records.sample import MaskTrack, VideoRef
from pipeline.times.frame_times import frame_times
from training.model.regions import on_grid


def region_track(region: Region, video: VideoRef, grid: int) -> MaskTrack:
    """The mask of a region, of the video's size, on its one frame.

    ``grid``: patches per side of the model's view of a frame. Raises UserError for a region that is not, or
    not wholly, in the video, for a mask file that does not fit, and for a region so small that it covers no
    patch: the model would be given nothing.
    """
    frame = _frame(region, video)
    if isinstance(region, Box):
        mask = _rectangle(region, video)
    elif isinstance(region, Point):
        mask = _disc(region, video, grid)
    else:
        mask = _read(region, video)
    if not on_grid(torch.from_numpy(mask)[None], grid).any():
        raise UserError(
            str(region),
            f"covers none of the {grid} x {grid} patches that this model sees of a frame.",
            "Point at a larger area.",
        )
    return MaskTrack(height=video.height, width=video.width, frames=(frame,), counts=(masks.encode(mask),))


def _frame(region: Region, video: VideoRef) -> int:
    seconds = seconds_of(region.frame)
    if seconds is None:
        frame = int(region.frame)
    else:
        try:
            frame = frame_times(video).frame_at(seconds)
        except ValueError:
            frame = video.num_frames
    if frame >= video.num_frames:
        raise UserError(
            str(region),
            f"is after the end of a video of {video.num_frames} frames and {video.duration_s:.2f} s.",
            f"Choose a frame from 0 to {video.num_frames - 1}.",
        )
    return frame


def _rectangle(box: Box, video: VideoRef) -> np.ndarray:
    """Mask [H, W] uint8: every pixel whose middle is in the box."""
    if box.x1 < 0 or box.y1 < 0 or box.x2 > video.width or box.y2 > video.height:
        raise _outside(box, video)
    x_W, y_H = _middles(video)
    inside = ((y_H >= box.y1) & (y_H < box.y2))[:, None] & ((x_W >= box.x1) & (x_W < box.x2))
    return inside.astype(np.uint8)


def _disc(point: Point, video: VideoRef, grid: int) -> np.ndarray:
    """Mask [H, W] uint8: the part of the disc that lies in the frame.

    Half a patch's diagonal is the largest distance from any spot to the nearest patch centre, which is
    where the model looks whether a patch is covered; one pixel more makes up for rounding.
    """
    if not (0 <= point.x < video.width and 0 <= point.y < video.height):
        raise _outside(point, video)
    radius = math.hypot(video.height, video.width) / (2 * grid) + 1
    x_W, y_H = _middles(video)
    inside = np.hypot(y_H[:, None] - (point.y + 0.5), x_W - (point.x + 0.5)) <= radius
    return inside.astype(np.uint8)


def _read(file: MaskFile, video: VideoRef) -> np.ndarray:
    """Mask [H, W] uint8 of an image: what has a colour and is not transparent."""
    from PIL import Image

    try:
        with Image.open(Path(file.path).expanduser()) as image:
            if (image.height, image.width) != (video.height, video.width):  # before it is decoded
                raise _other_size(file, image.width, image.height, video)
            alpha = image.mode in ("LA", "PA", "RGBA") or "transparency" in image.info
            # In a label image indices count, and 0 is background; otherwise palette indices are not colours.
            coloured = image.mode in ("P", "PA") and any((image.getpalette("RGB") or [0])[:3])
            if coloured or image.mode == "CMYK" or "transparency" in image.info:
                values = np.asarray(image.convert("RGBA" if alpha else "RGB"))
            else:
                values = np.asarray(image)
    except FileNotFoundError:
        raise UserError(str(file), "does not exist.", "Correct the path of the mask.") from None
    except UserError:
        raise
    except Image.DecompressionBombError:
        raise UserError(str(file), "is larger than any video.", "Draw the mask on a frame of it.") from None
    except (OSError, SyntaxError, ValueError) as error:
        if isinstance(error, OSError) and StorageError.is_unreadable(error):
            raise StorageError.of(str(file), error) from error
        raise UserError(str(file), f"is not a readable image ({error}).", "Give a PNG.") from error
    if values.ndim == 2:
        inside = values != 0
    elif alpha:
        inside = (values[..., :-1] != 0).any(-1) & (values[..., -1] != 0)
    else:
        inside = (values != 0).any(-1)
    if not inside.any():
        raise UserError(
            str(file), "is empty: every pixel is black or transparent.", "Draw the object in white."
        )
    return inside.astype(np.uint8)


def _other_size(file: MaskFile, width: int, height: int, video: VideoRef) -> UserError:
    return UserError(
        str(file),
        f"is {width}x{height}, the video {video.width}x{video.height} pixels (width x height).",
        "Draw the mask on a frame of this video; masks are not resized.",
    )


def _middles(video: VideoRef) -> tuple[np.ndarray, np.ndarray]:
    """Centres of the columns [W] and of the rows [H], in pixels."""
    return np.arange(video.width) + 0.5, np.arange(video.height) + 0.5


def _outside(region: Region, video: VideoRef) -> UserError:
    return UserError(
        str(region),
        f"extends beyond the frame, which is {video.width}x{video.height} pixels (width x height).",
        "Give pixels of the video at its own size; nothing is cut off.",
    )

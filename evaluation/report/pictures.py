"""How the report draws masks: predicted ones filled, true ones and pointed-at regions outlined."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pipeline.page.pictures import Layer, draw

TRUE_COLOUR = (46, 204, 113)
PREDICTED_COLOURS = ((255, 64, 129), (255, 152, 0), (124, 77, 255))  # of the first, second, third mask
REGION_COLOUR = (33, 150, 243)


def picture(
    frame_HW3: np.ndarray,
    *,
    true: Sequence[np.ndarray] = (),
    predicted: Sequence[np.ndarray] = (),
    regions: Sequence[np.ndarray] = (),
) -> str:
    """A data URI of the frame with masks [H, W] of its video's size."""
    layers = [
        Layer(mask_HW=mask, fill=PREDICTED_COLOURS[number % len(PREDICTED_COLOURS)])
        for number, mask in enumerate(predicted)
    ]
    layers += [Layer(mask_HW=mask, outline=REGION_COLOUR) for mask in regions]
    layers += [Layer(mask_HW=mask, outline=TRUE_COLOUR) for mask in true]
    return draw(frame_HW3, layers)

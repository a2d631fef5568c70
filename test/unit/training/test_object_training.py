"""The detector's targets and loss: a head map that is right costs least, and what is too small to tell costs nothing."""

import numpy as np
import torch

from astra.perception.objects import STRIDE, decode
from astra.training.objects import CHANNELS, CLASSES, SIZE_PX, Head, detection_loss, targets_of

BOX, LABEL = np.array([[40.0, 32.0, 72.0, 64.0]], np.float32), np.array([3])


def batch(*parts):
    return [torch.from_numpy(part)[None] for part in parts]


def test_decoding_the_targets_gives_the_boxes_back():
    heat, box, _ = targets_of(BOX, LABEL, 14, 20)
    ((kind, score, found),) = decode(heat, SIZE_PX * np.exp(box[:2]), STRIDE * box[2:], 5)
    assert kind == 3 and score == 1.0 and np.allclose(found, BOX[0], atol=1e-3)


def test_a_right_map_costs_less_than_an_empty_one_and_an_ignored_place_nothing():
    heat, box, weight = batch(*targets_of(BOX, LABEL, 14, 20))
    logits = torch.where(heat >= 1.0, 8.0, -8.0)
    assert detection_loss(logits, box, heat, box, weight) < 0.1 * detection_loss(torch.full_like(heat, -8.0), box, heat, box, weight)
    ignored, _, none = batch(*targets_of(BOX, np.array([-1]), 14, 20))
    shown = torch.where(ignored < 0.0, 8.0, -20.0)
    assert (ignored < 0.0).any() and float(detection_loss(shown, box, ignored, box, none)) < 1e-3


def test_a_head_learns_one_image():
    torch.manual_seed(0)
    head = Head()
    features = [torch.randn(1, c, 28 >> k, 40 >> k) for k, c in enumerate(CHANNELS)]
    targets = batch(*targets_of(BOX, LABEL, 14, 20))
    optimizer = torch.optim.Adam(head.parameters(), lr=3e-3)
    losses = []
    for _ in range(25):
        loss = detection_loss(*head(*features), *targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.3 * losses[0]
    assert int(head(*features)[0].flatten(2).amax(2).argmax()) == 3 and len(CLASSES) > 30

"""What the stages of an experiment work with."""

import time
from dataclasses import dataclass, field

import torch

from ..progress import ProgressLine
from .encoders import Encoder
from .feature_store import Extraction, FeatureSet, features_of
from .image_set import ImageSet
from .plan import Plan

TIMED = 3  # batches
Sets = tuple[ImageSet, ImageSet]  # training and test


@dataclass
class Work:
    """Checkpoints and data of an experiment.

    Attributes:
        plan: what is asked for.
        line: tells how far it is.
        sets: kind of labels -> training and test images.
        kinds: kind of labels -> what the frozen rows read of an image.
        encoders: name -> encoder, of those that could be read.
        paces: name -> what ``pace`` has measured.
    """

    plan: Plan
    line: ProgressLine
    sets: dict[str, Sets]
    kinds: dict[str, tuple[str, ...]]
    encoders: dict[str, Encoder] = field(default_factory=dict)
    paces: dict[str, float] = field(default_factory=dict)

    def pace(self, name: str) -> float:
        """Seconds of an image's forward pass, measured once on empty images."""
        if name not in self.paces:
            self.paces[name] = seconds_of_an_image(self.encoders[name], self.plan)
        return self.paces[name]

    def features(self, name: str, labels: str, tested: bool = False) -> FeatureSet:
        """Features of an encoder on training or test images, from the cache or computed now.

        They are those that any row reads: an image is seen once, not once for each kind of row.

        Args:
            name: of the encoder.
            labels: kind of the images' labels.
            tested: on the test images.
        """
        plan, images = self.plan, self.sets[labels][tested]
        kinds = self.kinds[labels]
        how = Extraction(plan.cache, kinds, plan.batch_size, plan.num_workers, plan.device)
        return features_of(self.encoders[name], images, how, self.line)


def seconds_of_an_image(encoder: Encoder, plan: Plan) -> float:
    """Of the forward pass, measured on empty images."""
    height, width = encoder.backbone.img_size
    channels = encoder.backbone.patch_embed.proj.in_channels
    size = min(plan.batch_size, 16)
    batch = torch.zeros(size, channels, height, width, device=plan.device)
    encoder(batch)
    begun = time.monotonic()
    for _ in range(TIMED):
        encoder(batch)
    if plan.device.type == "cuda":
        torch.cuda.synchronize()
    return (time.monotonic() - begun) / (TIMED * size)

"""What the stages of an experiment work with."""

from dataclasses import dataclass, field

from ..progress import ProgressLine
from .encoders import Encoder
from .feature_store import Extraction, FeatureSet, features_of
from .image_set import ImageSet
from .plan import Plan

Sets = tuple[ImageSet, ImageSet]  # training and test


@dataclass
class Work:
    """Checkpoints and data of an experiment.

    Attributes:
        plan: what is asked for.
        line: tells how far it is.
        sets: kind of labels -> training and test images.
        encoders: name -> encoder, of those that could be read.
    """

    plan: Plan
    line: ProgressLine
    sets: dict[str, Sets]
    encoders: dict[str, Encoder] = field(default_factory=dict)

    def features(self, name: str, images: ImageSet, kinds: tuple[str, ...]) -> FeatureSet:
        """Features of an encoder, from the cache or computed now."""
        plan = self.plan
        how = Extraction(plan.cache, kinds, plan.batch_size, plan.num_workers, plan.device)
        return features_of(self.encoders[name], images, how, self.line)

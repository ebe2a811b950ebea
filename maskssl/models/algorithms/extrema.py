"""ExtreMA: a siamese network whose only strong augmentation is to hide most of the image."""

from typing import Any

import torch
from mmpretrain.models.selfsup import BaseSelfSupervisor
from mmpretrain.registry import MODELS
from mmpretrain.structures import DataSample
from torch import Tensor

from ...errors import MaskSSLError
from ...masking import check_kept, multi_masks
from ..backbones.plain_vit import PlainViT
from ..compiling import Staged
from ..masked_encoder import check_masked, check_size


@MODELS.register_module()
class ExtreMA(Staged, BaseSelfSupervisor):
    """Extreme Masking for Learning Instance and Distributed Visual Representations (2206.04667).

    Args:
        backbone: a PlainViT without cls token, with class attention and out_type 'cls'.
        neck: ProjectionMLP, the projector; its input width is filled in.
        head: ExtreMAHead with the predictor; its input width is filled in.
        target_generator: MomentumProjector; it copies backbone and neck.
        mask_ratio: share of the patches that each mask hides.
        num_masks: K masks per image, all seen in the same step.
        disjoint: no patch is visible under two masks; False draws them independently.
        data_preprocessor: PretrainDataPreprocessor.
        init_cfg: for the whole model.

    Raises:
        MaskSSLError: the masks do not fit, or the backbone lacks what ExtreMA needs.
    """

    backbone: PlainViT
    stages = ("teach", "encode")

    def __init__(
        self,
        backbone: dict[str, Any],
        neck: dict[str, Any],
        head: dict[str, Any],
        target_generator: dict[str, Any],
        mask_ratio: float = 0.8,
        num_masks: int = 5,
        disjoint: bool = True,
        data_preprocessor: dict[str, Any] | None = None,
        init_cfg: dict[str, Any] | None = None,
    ) -> None:
        encoder = MODELS.build(backbone)
        _check_encoder(encoder)
        projector = MODELS.build(dict(dict(in_channels=encoder.embed_dims), **neck))
        width = projector.out_channels
        if "predictor" not in head:
            raise MaskSSLError(
                "ExtreMA's head has no predictor; give head=dict(predictor=dict("
                "type='ProjectionMLP', hidden_channels=4096, num_layers=2))"
            )
        predictor = dict(dict(in_channels=width, out_channels=width), **head["predictor"])
        super().__init__(
            backbone=encoder,
            neck=projector,
            head=dict(head, predictor=predictor),
            target_generator=dict(target_generator, backbone=encoder, neck=projector),
            data_preprocessor=data_preprocessor,
            init_cfg=init_cfg,
        )
        self.masking: dict[str, Any] = dict(
            mask_ratio=mask_ratio, num_masks=num_masks, disjoint=disjoint
        )
        self.draw_masks(1)  # masks that do not fit show now

    def init_weights(self) -> None:
        """Initialise or load the student, then start the teacher as its copy."""
        super().init_weights()
        self.target_generator.copy_from(self)

    def loss(
        self,
        inputs: list[Tensor] | Tensor,
        data_samples: list[DataSample] | None = None,
        ids_keep: Tensor | None = None,
        **kwargs: Any,
    ) -> dict[str, Tensor]:
        """One step: every masked view of the student's image predicts the teacher's feature.

        Args:
            inputs: images (B, 3, H, W); or a list of the student's view and the teacher's,
                which are the same when there is one.
            data_samples: not used.
            ids_keep: (B, K, V) visible patches, to replay a step; drawn when None.

        Returns:
            ``loss_byol`` or ``loss_infonce``, ``spread_student`` and ``spread_teacher``.
        """
        views = [inputs] if isinstance(inputs, Tensor) else inputs
        student_view, teacher_view = views[0], views[-1]
        check_size(self.backbone, student_view)
        if ids_keep is None:
            ids_keep = self.draw_masks(len(student_view), device=student_view.device)

        keys = self.stage("teach")(teacher_view)
        projections = self.stage("encode")(student_view, ids_keep)

        return self.head.loss(projections, keys)

    def teach(self, images: Tensor) -> Tensor:
        """The teacher's projections (B, D) of whole images."""
        return self.target_generator(images)

    def encode(self, images: Tensor, ids_keep: Tensor) -> Tensor:
        """The student's projections (B, K, D) of masked images."""
        return self.neck(self.encode_masked(images, ids_keep))

    def encode_masked(self, images: Tensor, ids_keep: Tensor) -> Tensor:
        """Class tokens of K masked views, from one patch embedding and one batch of sequences.

        Args:
            images: (B, 3, H, W).
            ids_keep: (B, K, V).

        Returns:
            (B, K, C).
        """
        check_kept(ids_keep, len(images), self.num_patches)
        tokens, _ = self.backbone.embed(images, ids_keep.flatten(1))  # (B, K * V, C)
        views = ids_keep.shape[1:]
        tokens = tokens.unflatten(1, views).flatten(0, 1)  # (B * K, V, C)
        tokens = self.backbone.run_blocks(tokens, (len(self.backbone.blocks) - 1,))[-1]
        return self.backbone.class_token(tokens).unflatten(0, (len(images), views[0]))

    @property
    def num_patches(self) -> int:
        """N patches of an image."""
        return self.backbone.grid_size[0] * self.backbone.grid_size[1]

    def draw_masks(
        self,
        batch: int,
        generator: torch.Generator | None = None,
        device: torch.device | str = "cpu",
    ) -> Tensor:
        """Visible patches (B, K, V) of a batch."""
        return multi_masks(
            batch, self.num_patches, generator=generator, device=device, **self.masking
        )


def _check_encoder(encoder: PlainViT) -> None:
    if encoder.with_cls_token or encoder.class_attention is None or encoder.out_type != "cls":
        raise MaskSSLError(
            "ExtreMA's patch encoder has no cls token, and class attention on top; set "
            "with_cls_token=False, class_attention=dict(num_layers=2, layer_scale_init=0.1) and "
            "out_type='cls' in the backbone"
        )
    check_masked(encoder)

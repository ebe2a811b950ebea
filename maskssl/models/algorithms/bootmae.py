"""BootMAE: masked autoencoding with the features of a momentum encoder as second target."""

from typing import Any

import torch
from mmpretrain.models.selfsup import BaseSelfSupervisor
from mmpretrain.registry import MODELS
from mmpretrain.structures import DataSample
from torch import Tensor

from ...errors import MaskSSLError
from ...masking import Split, check_ordering, order_visible_first, split_ordering
from ..backbones.plain_vit import PlainViT
from ..compiling import Staged
from ..layers.feature_spread import feature_spread
from ..layers.patches import unpatchify
from ..masked_encoder import check_masked, check_size


@MODELS.register_module()
class BootMAE(Staged, BaseSelfSupervisor):
    """Bootstrapped Masked Autoencoders (arXiv 2207.07116).

    Args:
        backbone: a PlainViT with a cls token and a final norm.
        neck: TargetAwareDecoders; what depends on the backbone is filled in.
        head: BootMAEHead.
        target_generator: MomentumEncoder; it copies the backbone.
        mask_num: masked patches per image; None scales the authors' 147 of 196.
        shallow_index: block whose output the pixel decoder attends to, negative from
            the end.
        deep_index: block whose output the feature decoder attends to, likewise; both
            are the authors' ``fea_list``. The teacher's target is its last block in any
            case.
        max_rotation: block-masked patches that may become visible, see
            ``order_visible_first``.
        data_preprocessor: PretrainDataPreprocessor.
        init_cfg: for the whole model.

    Raises:
        MaskSSLError: ``mask_num`` leaves no visible patch, there is no such block, or the
            backbone lacks what BootMAE needs.
    """

    backbone: PlainViT
    stages = ("teach", "encode", "decode", "compare")

    def __init__(
        self,
        backbone: dict[str, Any],
        neck: dict[str, Any],
        head: dict[str, Any],
        target_generator: dict[str, Any],
        mask_num: int | None = None,
        shallow_index: int = 0,
        deep_index: int = -1,
        max_rotation: int = 3,
        data_preprocessor: dict[str, Any] | None = None,
        init_cfg: dict[str, Any] | None = None,
    ) -> None:
        encoder = MODELS.build(backbone)
        _check_encoder(encoder)
        neck = dict(
            dict(
                encoder_dims=encoder.embed_dims,
                num_heads=encoder.num_heads,
                grid_size=encoder.grid_size,
                patch_size=encoder.patch_size,
                in_channels=encoder.patch_embed.proj.in_channels,
                pos_embed_layout=encoder.pos_embed_layout,
                feature=dict(),
            ),
            **neck,
        )
        # without a feature loss nothing would train that decoder or need the teacher
        self.with_features = head.get("feature_weight", 1.0) > 0 and neck["feature"] is not None
        if not self.with_features:
            neck["feature"] = None
        super().__init__(
            backbone=encoder,
            neck=neck,
            head=head,
            target_generator=dict(target_generator, backbone=encoder),
            data_preprocessor=data_preprocessor,
            init_cfg=init_cfg,
        )
        num_patches = encoder.grid_size[0] * encoder.grid_size[1]
        self.mask_num = round(147 / 196 * num_patches) if mask_num is None else mask_num
        if not 0 < self.mask_num < num_patches:
            raise MaskSSLError(
                f"mask_num={self.mask_num} leaves no choice among {num_patches} patches "
                f"({encoder.grid_size[0]} x {encoder.grid_size[1]}); use 1 to {num_patches - 1}"
            )
        self.shallow_index = _block_index("shallow_index", shallow_index, len(encoder.blocks))
        self.deep_index = _block_index("deep_index", deep_index, len(encoder.blocks))
        if max_rotation < 0:
            raise MaskSSLError(f"max_rotation={max_rotation} is negative; use 0 for no rotation")
        self.max_rotation = max_rotation

    def init_weights(self) -> None:
        """Initialise or load the student, then start the teacher as its copy."""
        super().init_weights()
        self.target_generator.copy_from(self)

    def loss(
        self,
        inputs: list[Tensor] | Tensor,
        data_samples: list[DataSample] | None = None,
        ids_shuffle: Tensor | None = None,
        **kwargs: Any,
    ) -> dict[str, Tensor]:
        """One step: mask, encode what is visible, decode both targets, compare.

        Args:
            inputs: images (B, 3, H, W), or a list whose first entry they are.
            data_samples: with the block mask of each image in ``mask``.
            ids_shuffle: (B, N) ordering, visible first, to replay a step; drawn from
                the block masks when None.

        Returns:
            ``loss_pixel`` and ``loss_feature``, whose sum is minimised, and to be
            watched the raw ``feature_error`` and ``spread_teacher``, 0 if all images
            have the same targets.
        """
        images = inputs if isinstance(inputs, Tensor) else inputs[0]
        split = self.draw_split(images, data_samples, ids_shuffle)

        targets = self.stage("teach")(images) if self.with_features else None
        encoded = self.stage("encode")(images, split)
        predictions = self.stage("decode")(encoded, split)
        losses = self.stage("compare")(predictions, images, targets, split)

        if targets is not None:
            losses["feature_error"] = losses["loss_feature"].detach()
            losses["loss_feature"] = self.head.current_feature_weight * losses["loss_feature"]
        return losses

    def teach(self, images: Tensor) -> Tensor:
        """The teacher's features (B, N, C) of whole images."""
        return self.target_generator(images)

    def encode(self, images: Tensor, split: Split) -> tuple[Tensor, Tensor, Tensor]:
        """Encode what is visible: the normed output, the shallow and the deep level.

        Each is (B, 1 + V, C).
        """
        tokens, _ = self.backbone.embed(images, split.ids_keep)
        last = len(self.backbone.blocks) - 1
        wanted = sorted({self.shallow_index, self.deep_index, last})
        levels = dict(zip(wanted, self.backbone.run_blocks(tokens, wanted), strict=True))
        return self.backbone.norm(levels[last]), levels[self.shallow_index], levels[self.deep_index]

    def decode(
        self, encoded: tuple[Tensor, Tensor, Tensor], split: Split, only_masked: bool = True
    ) -> tuple[Tensor, Tensor | None]:
        """Pixels (B, M, 3, p * p) and features (B, M, C) of the M masked patches, or of all."""
        position = self.backbone.position_table(self.backbone.grid_size)
        return self.neck(*encoded, split, position, only_masked)

    def compare(
        self,
        predictions: tuple[Tensor, Tensor | None],
        images: Tensor,
        targets: Tensor | None,
        split: Split,
    ) -> dict[str, Tensor]:
        """Both losses, before the feature loss is weighted."""
        pixels, features = predictions
        losses = dict(loss_pixel=self.head.pixel_loss(pixels, images, split))
        if features is not None and targets is not None:
            grid = self.backbone.grid_size
            losses["loss_feature"] = self.head.feature_loss(features, targets, split, grid)
            losses["spread_teacher"] = feature_spread(targets)
        return losses

    def predict_targets(self, images: Tensor, split: Split) -> tuple[Tensor, Tensor | None]:
        """Pixels (B, 3, H, W) and features (B, N, C) predicted from the visible patches."""
        pixels, features = self.decode(self.encode(images, split), split, only_masked=False)
        return unpatchify(pixels, self.backbone.grid_size), features

    def draw_split(
        self,
        images: Tensor,
        data_samples: list[DataSample] | None,
        ids_shuffle: Tensor | None = None,
        generator: torch.Generator | None = None,
    ) -> Split:
        """Visible and masked patches of a batch, from an ordering or from block masks."""
        if ids_shuffle is not None:
            check_ordering(ids_shuffle)
        else:
            if not data_samples or "mask" not in data_samples[0]:
                raise MaskSSLError(
                    "no block masks came with the images; put dict(type='BlockMask') before "
                    "dict(type='PackInputs', algorithm_keys=['mask']) in the pipeline, or hand in "
                    "ids_shuffle"
                )
            mask = torch.stack([torch.as_tensor(sample.mask) for sample in data_samples])
            grid, mask = tuple(mask.shape[1:]), mask.flatten(1)  # (B, h, w) -> (B, N)
            if grid not in (self.backbone.grid_size, (self.num_patches,)):
                raise MaskSSLError(
                    f"masks of {grid} patches came for {self.backbone.grid_size}; give BlockMask "
                    "the backbone's grid (rows, columns): img_size / patch_size"
                )
            if images.is_cuda and not mask.is_cuda:
                mask = mask.pin_memory()  # the copy of other memory is waited for
            mask = mask.to(images.device, non_blocking=True)
            ids_shuffle = order_visible_first(
                mask, max_rotation=self.max_rotation, generator=generator
            )
        check_size(self.backbone, images)
        if len(ids_shuffle) != len(images):
            raise MaskSSLError(
                f"{len(ids_shuffle)} masks came for {len(images)} images; give each image its own"
            )
        if ids_shuffle.shape[1] != self.num_patches:
            raise MaskSSLError(
                f"the model is built for {self.num_patches} patches, got masks of "
                f"{ids_shuffle.shape[1]}; make BlockMask's grid and the backbone's img_size agree"
            )
        return split_ordering(ids_shuffle, self.num_patches - self.mask_num)

    @property
    def num_patches(self) -> int:
        """N patches of an image."""
        return self.backbone.grid_size[0] * self.backbone.grid_size[1]


def _check_encoder(encoder: PlainViT) -> None:
    if not encoder.with_cls_token or not encoder.with_final_norm:
        raise MaskSSLError(
            "BootMAE's encoder has a cls token and a final norm; set with_cls_token=True and "
            "final_norm=True in the backbone"
        )
    check_masked(encoder)


def _block_index(name: str, index: int, num_blocks: int) -> int:
    if not -num_blocks <= index < num_blocks:
        raise MaskSSLError(
            f"{name}={index} is none of the {num_blocks} blocks; use 0 to {num_blocks - 1}, or -1 "
            f"to {-num_blocks} from the end"
        )
    return index % num_blocks

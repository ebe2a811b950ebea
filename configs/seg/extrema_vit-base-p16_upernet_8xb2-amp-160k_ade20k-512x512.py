r"""UperNet on ExtreMA's ViT-B/16, ADE20K at 512 x 512, 160k iterations, by CAE's recipe.

Paper: arXiv 2206.04667. Expected: no figure is published; CAE-B, after 300 epochs of its own
    pretraining, reaches 48.1 mIoU by it.
Run:
    bash tools/dist_train.sh \
        configs/seg/extrema_vit-base-p16_upernet_8xb2-amp-160k_ade20k-512x512.py 8 \
        --pretrained CHECKPOINT
Cost: unpublished.
Reproduced: no.

CAE's lr falls with the length of the pretraining: 3e-4 after 300 epochs, as ExtreMA's; 2e-4 after
800 (49.7 mIoU), 1e-4 after 1600 (50.3): optim_wrapper.optimizer.lr. CAE's layer scale and relative
bias belong to its own weights.
"""

_base_ = [
    "../_base_/models/upernet_vit.py",
    "../_base_/datasets/ade20k_512x512.py",
    "../_base_/schedules/upernet_adamw_160k.py",
    "../_base_/runtime_mmseg.py",
    "../_base_/methods/extrema.py",
]

__method = _base_.pop("method")

model = dict(data_preprocessor=__method.pixel_norm, backbone=__method.encoder)
optim_wrapper = dict(optimizer=dict(lr=3e-4), clip_grad=None)

"""UperNet on ExtreMA's ViT-B/16, ADE20K at 512 x 512, 160k iterations, by CAE's recipe.

Paper: arXiv 2206.04667. Expected: no figure is published; CAE-B 300 reaches 48.1 mIoU by it.
Run:
    bash tools/dist_train.sh \
        configs/seg/upernet_extrema_vit-base_8xb2-160k_ade20k-512x512.py 8 \
        --pretrained CHECKPOINT
Cost: unpublished.
Reproduced: no.

CAE also tries lr 2e-4, 3e-4 and 4e-4. Its layer scale and relative bias belong to its weights.
"""

_base_ = [
    "../_base_/models/upernet_vit.py",
    "../_base_/models/extrema_encoder.py",
    "../_base_/datasets/ade20k_512x512.py",
    "../_base_/schedules/upernet_adamw_160k.py",
    "../_base_/runtime_mmseg.py",
]

model = dict(data_preprocessor={{_base_.pixel_norm}}, backbone={{_base_.patch_encoder}})
optim_wrapper = dict(optimizer=dict(lr=1e-4), clip_grad=None)

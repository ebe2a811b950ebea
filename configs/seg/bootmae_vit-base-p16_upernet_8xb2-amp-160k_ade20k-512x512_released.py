r"""The authors' UperNet on ViT-B/16 as released: three things more than the pretrained ViT has.

A learnt position table, a new relative position bias per block and a new layer scale of 1.
The bias is made for a grid of 32 x 32, so every input is 512 x 512: crops in training, a
sliding window over pictures whose short side is at least 512 in tests.

Paper: arXiv 2207.07116. Expected (published): 49.12 mIoU, 60.0 mAcc, 83.75 aAcc.
Run, with the released model converted, or to train it:
    bash tools/dist_test.sh \
        configs/seg/bootmae_vit-base-p16_upernet_8xb2-amp-160k_ade20k-512x512_released.py \
        CHECKPOINT 8
    bash tools/dist_train.sh \
        configs/seg/bootmae_vit-base-p16_upernet_8xb2-amp-160k_ade20k-512x512_released.py 8 \
        --pretrained CHECKPOINT
Cost: unpublished.
Reproduced: no.
"""

_base_ = [
    "../_base_/models/upernet_vit_released.py",
    "../_base_/datasets/ade20k_512x512.py",
    "../_base_/schedules/upernet_adamw_160k.py",
    "../_base_/runtime_mmseg.py",
    "../_base_/methods/bootmae.py",
]

__method = _base_.pop("method")

model = dict(data_preprocessor=__method.pixel_norm, backbone=__method.encoder)

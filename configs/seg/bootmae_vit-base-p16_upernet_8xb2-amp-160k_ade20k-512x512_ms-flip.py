r"""Test of UperNet on BootMAE's ViT-B/16 with scales 0.5..1.75 and flip.

Paper: arXiv 2207.07116. Expected (published): 50.0 mIoU, 60.68 mAcc, 84.12 aAcc, by the
    _released config.
Run, with the trained model:
    bash tools/dist_test.sh \
        configs/seg/bootmae_vit-base-p16_upernet_8xb2-amp-160k_ade20k-512x512_ms-flip.py \
        CHECKPOINT 8
Cost: twelve passes per picture.
Reproduced: no.
"""

_base_ = [
    "./bootmae_vit-base-p16_upernet_8xb2-amp-160k_ade20k-512x512.py",
    "../_base_/datasets/ade20k_ms_flip.py",
]

__pipeline = _base_.pop("pipeline")

model = dict(_delete_=True, type="SegTTAModel", module={{_base_.model}})
test_dataloader = dict(dataset=dict(pipeline=__pipeline))

"""Test with scales 0.5..1.75 and flip of the authors' released UperNet.

Paper: arXiv 2207.07116. Expected (published): 50.0 mIoU, 60.68 mAcc, 84.12 aAcc.
Run, with the released model converted:
    bash tools/dist_test.sh \
        configs/seg/upernet_bootmae_vit-base_8xb2-160k_ade20k-512x512_released_ms-flip.py \
        CHECKPOINT 8
Reproduced: no.
"""

_base_ = ["./upernet_bootmae_vit-base_8xb2-160k_ade20k-512x512_released.py"]

model = dict(_delete_=True, type="SegTTAModel", module={{_base_.model}})
test_dataloader = dict(dataset=dict(pipeline={{_base_.tta_pipeline}}))

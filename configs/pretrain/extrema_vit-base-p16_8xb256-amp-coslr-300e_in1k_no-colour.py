r"""ExtreMA, ViT-B/16, 300 epochs on ImageNet-1K, 5 masks of 80 %, without colour augmentation.

Paper: arXiv 2206.04667. Expected (published): linear 67.1, fine-tune 82.9 top-1.
Run:
    bash tools/dist_train.sh \
        configs/pretrain/extrema_vit-base-p16_8xb256-amp-coslr-300e_in1k_no-colour.py 8
Cost: 50 hours on 8 V100 (published).
Reproduced: no.
"""

_base_ = ["./extrema_vit-base-p16_8xb256-amp-coslr-300e_in1k.py"]

# without colours both views are the same image: one is enough
__shared = [step for step in _base_.train_dataloader.dataset.pipeline if step.type != "MultiView"]
__pack = __shared.pop()
train_dataloader = dict(
    dataset=dict(pipeline=[*__shared, dict(type="PILToNumpy", to_bgr=True), __pack])
)

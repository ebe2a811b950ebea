"""Pictures of ADE20K at six scales and mirrored, for a test that averages over them.

A file that lists this one takes the entry out again: ``__pipeline = _base_.pop("pipeline")``.
"""

# Ratios 0.5, 0.75, 1, 1.25, 1.5, 1.75 of a short side of 512, which is never less than the crop:
# the first three are all 512 and count three times, as with the authors' SETR_Resize.
pipeline = [
    dict(type="LoadImage"),
    dict(
        type="TestTimeAug",
        transforms=[
            [
                dict(type="ResizeShortestEdge", scale=512, max_size=16384),
                dict(type="ResizeShortestEdge", scale=512, max_size=16384),
                dict(type="ResizeShortestEdge", scale=512, max_size=16384),
                dict(type="ResizeShortestEdge", scale=640, max_size=16384),
                dict(type="ResizeShortestEdge", scale=768, max_size=16384),
                dict(type="ResizeShortestEdge", scale=896, max_size=16384),
            ],
            [
                dict(type="RandomFlip", prob=0.0, direction="horizontal"),
                dict(type="RandomFlip", prob=1.0, direction="horizontal"),
            ],
            [dict(type="LoadMask")],
            [dict(type="PackSegInputs")],
        ],
    ),
]

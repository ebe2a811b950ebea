"""How the colours of a view are drawn: as ExtreMA does, and stronger for small drawn scenes."""

colours = [
    dict(
        type="RandomApply",
        prob=0.8,
        transforms=[
            dict(
                type="ColorJitter",
                brightness=0.4,
                contrast=0.4,
                saturation=0.2,
                hue=0.1,
                backend="pillow",
            )
        ],
    ),
    dict(type="RandomGrayscale", prob=0.2, keep_channels=True),
]
# Any hue at any brightness: pictures of few flat colours are told apart by these alone, and
# with the published strengths kNN on their shapes stayed at the level of random weights.
strong_colours = [
    dict(
        type="ColorJitter",
        brightness=0.8,
        contrast=0.8,
        saturation=0.8,
        hue=0.5,
        backend="pillow",
    ),
    dict(type="RandomGrayscale", prob=0.4, keep_channels=True),
]

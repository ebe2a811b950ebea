"""A map of features: one dot a picture."""

import io
from collections.abc import Sequence
from importlib.util import find_spec

import numpy as np
from matplotlib import colormaps
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from .components import components
from .words import printable

_KEPT = 50  # principal components that t-SNE sees
_PERPLEXITY = 30.0
_NAMED = 20  # classes that a legend holds
_MARKERS = "os^Dv"


def two_dimensions(features: Tensor, seed: int = 0) -> tuple[NDArray[np.floating], str]:
    """Coordinates (M, 2) of features (M, C), and how they were found.

    t-SNE on the first principal components where scikit-learn is installed and there are ten
    pictures or more; else the first two components themselves.
    """
    if find_spec("sklearn") is None or len(features) < 10:
        found, shares = components(features, 2)
        return found.numpy(), f"PCA, {shares[0]:.0%} and {shares[1]:.0%} of the variance"
    from sklearn.manifold import TSNE

    kept, _ = components(features, min(_KEPT, features.shape[1]))
    perplexity = min(_PERPLEXITY, (len(features) - 1) / 3)
    tsne = TSNE(perplexity=perplexity, init="pca", random_state=seed)
    return tsne.fit_transform(kept.numpy()), f"t-SNE, perplexity {perplexity:g}"


def draw_map(
    places: NDArray[np.floating], labels: Tensor, classes: Sequence[str], how: str
) -> Image.Image:
    """Dots in the colours of their classes.

    Args:
        places: (M, 2).
        labels: (M,) int64.
        classes: names; none draws all dots alike.
        how: the places were found.
    """
    figure = Figure(figsize=(7, 5), dpi=110, layout="constrained")
    axes = figure.subplots()
    palette = colormaps["tab10" if len(classes) <= 10 else "tab20"]
    for label, name in enumerate(classes or [""]):
        own = places[(labels == label).numpy()]
        colour, marker = palette(label % palette.N), _MARKERS[label // 10 % len(_MARKERS)]
        x, y = own.T
        axes.scatter(x, y, s=14, color=colour, marker=marker, linewidths=0, label=printable(name))
    if 1 < len(classes) <= _NAMED:
        legend = figure.legend(loc="outside right upper", frameon=False, fontsize=9)
        for words in legend.get_texts():
            words.set_parse_math(False)  # a name may hold dollars
        how = f"{how}; {len(classes)} classes"
    elif classes:
        how = f"{how}; {len(classes)} classes, colours used again"
    axes.set_title(f"{len(places):,} pictures by {how}", fontsize=9)
    axes.set(xticks=[], yticks=[])
    content = io.BytesIO()
    figure.savefig(content, format="png")
    return Image.open(content).convert("RGB")

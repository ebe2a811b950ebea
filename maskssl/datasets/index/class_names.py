"""Names of classes that a config gives, held against those that the data brings."""

from collections.abc import Sequence

from .image_index import ImageIndexError


def check_names(given: Sequence[str], found: Sequence[str], location: str) -> None:
    """Refuse names that do not fit the data's, place by place.

    Labels follow the data's own order, sorted; given names stand for them in their place, so that
    the folder n01440764 may be called tench. A name that the data has too, elsewhere, would be
    that of other images.

    Args:
        given: by the config.
        found: names of folders, or of labels in a CSV file.
        location: of the data, in messages.

    Raises:
        ImageIndexError: another number of names, or one in another place.
    """
    if len(found) != len(given):
        raise ImageIndexError(
            f"{location} has {len(found)} class folders, and {len(given)} classes are given; name "
            "one for each folder, or none"
        )
    label_of = {name: label for label, name in enumerate(found)}
    for label, name in enumerate(given):
        if label_of.get(name, label) != label:
            raise ImageIndexError(
                f"the class {name!r} is given as label {label}, and in {location} it has the label "
                f"{label_of[name]}, which images follow: give the names in the order "
                f"{', '.join(found[:5])}{', ...' if len(found) > 5 else ''} (sorted), or none"
            )

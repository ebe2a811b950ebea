"""Names as pictures and pages can show them."""


def printable(text: str) -> str:
    r"""A text that UTF-8 can hold: bytes of names that are in no such encoding as ``\udcXX``.

    So 'caf\xe9' of a Latin-1 disk stays apart from 'caf\xe8', as a question mark would not.
    """
    return text.encode(errors="backslashreplace").decode()

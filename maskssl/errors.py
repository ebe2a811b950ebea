"""The one error that tools print as a sentence."""


class MaskSSLError(Exception):
    """Something that a user can mend: a setting, a file, a folder, a command.

    The message names the value, what was expected and the remedy. Every error of the package
    that a user can meet is one of these; anything else that is raised is a bug of ours and
    keeps its type and its traceback.
    """

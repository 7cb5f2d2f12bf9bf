"""Whether a text shows a secret."""

import re


def shows(text: str, secret: str) -> bool:
    """Whether a secret stands in a text by itself.

    Short digits are also met by chance: in an id, a time, or the address of an object.
    """
    return re.search(rf"(?<![\w.-]){re.escape(secret)}(?![\w-])", text) is not None

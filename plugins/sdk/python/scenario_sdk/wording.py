"""Checks of what was said, which take a paraphrase and refuse the opposite."""

import re
from collections.abc import Sequence

_ITEM = re.compile(r"[-*+#>|]|\d+[.)]")
_PLAIN = str.maketrans({"*": None, "_": None, "`": None, "’": "'", "‘": "'", "“": '"', "”": '"'})


def says(text: str, groups: Sequence[Sequence[str]], unless: Sequence[str] = ()) -> bool:
    """Whether some sentence of the text has one phrase of every group, and none of `unless`.

    Phrases are lower case and match at the start of a word, so `approv` is in "Approve" but not in "disapprove".
    """
    return any(
        all(any(_has(sentence, phrase) for phrase in group) for group in groups)
        and not any(_has(sentence, phrase) for phrase in unless)
        for sentence in sentences(text)
    )


def sentences(text: str) -> list[str]:
    """The sentences, plain and in lower case. A list item, a heading and a paragraph end a sentence."""
    found: list[list[str]] = [[]]
    for line in text.splitlines():
        line = line.strip()
        if not line or _ITEM.match(line):
            found.append([])
        for word in line.translate(_PLAIN).lower().split():
            found[-1].append(word)
            if word.rstrip("\"')").endswith((".", "!", "?", ";")):
                found.append([])
        if line.startswith("#"):
            found.append([])
    return [" ".join(words) for words in found if words]


def _has(sentence: str, phrase: str) -> bool:
    at = sentence.find(phrase)
    while at >= 0:
        if not phrase[0].isalnum() or at == 0 or not sentence[at - 1].isalnum():
            return True
        at = sentence.find(phrase, at + 1)
    return False

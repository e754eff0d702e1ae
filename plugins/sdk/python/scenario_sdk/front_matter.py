"""The block of `key: value` lines between two `---` at the start of a file."""

import re

_LINE = re.compile(r"([\w-]+):(?:[ \t]+(.*))?")
_QUOTED = re.compile(r"""(["'])(.*?)\1\s*(#.*)?""")


def front_matter(text: str) -> dict[str, tuple[str, str]] | None:
    """The value and the whole line of each key; None for a text without such a block, or with a key twice.

    Quotes and comments are taken off a value. What YAML calls null is empty.
    """
    lines = text.splitlines(keepends=True)
    if not lines or lines[0].rstrip() != "---":
        return None
    fields: dict[str, tuple[str, str]] = {}
    for line in lines[1:]:
        content = line.rstrip()
        if content == "---":
            return fields
        if not content.strip() or content[0] in " \t-#":
            continue
        match = _LINE.fullmatch(content)
        if not match or match[1] in fields:
            return None
        fields[match[1]] = (_value((match[2] or "").strip()), line)
    return None


def _value(text: str) -> str:
    if quoted := _QUOTED.fullmatch(text):
        text = quoted[2]
    elif text.startswith("#"):
        text = ""
    else:
        text = text.split(" #")[0].rstrip()
    return "" if text in ("~", "null") else text

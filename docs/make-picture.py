#!/usr/bin/env python3
"""Makes docs/run.svg, the picture of the README, from the output of a real run.

usage: docs/make-picture.py [HOST]

Runs `HOST run plugins/*.wasm` in the repository (HOST is target/release/host by default) and draws its output, colors
included, as a terminal. Needs the plugins (`make plugins`).
"""

import glob
import html
import re
import subprocess
import sys
import unicodedata
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PICTURE = ROOT / "docs" / "run.svg"
SHOWN = "host run plugins/*.wasm"

FONT_SIZE = 14
CELL_WIDTH = 8.43
LINE_HEIGHT = 20
MARGIN = 20
TITLE_BAR = 36
MIN_COLUMNS = 80

BACKGROUND = "#0d1117"
FRAME = "#30363d"
TEXT = "#e6edf3"
DIM = "#8b949e"
PROMPT = "#7ee787"
# The eight colors of a terminal; the bright ones are the same.
COLORS = ["#6e7681", "#ff7b72", "#7ee787", "#e3b341", "#79c0ff", "#d2a8ff", "#76e3ea", "#f0f6fc"]
BUTTONS = ["#ff5f57", "#febc2e", "#28c840"]

ESCAPE = re.compile(r"\x1b\[([0-9;]*)m|\x1b\[[0-9;?]*[A-Za-z]")


class Style:
    """The state that the escape sequences of a terminal change."""

    def __init__(self):
        self.reset()

    def reset(self):
        self.color, self.bold, self.dim = None, False, False

    def apply(self, codes):
        codes = [int(code or 0) for code in codes.split(";")]
        while codes:
            code = codes.pop(0)
            if code == 0:
                self.reset()
            elif code == 1:
                self.bold = True
            elif code == 2:
                self.dim = True
            elif code == 22:
                self.bold = self.dim = False
            elif 30 <= code <= 37 or 90 <= code <= 97:
                self.color = COLORS[code % 10]
            elif code == 39:
                self.color = None
            elif code == 38 and codes[:1] == [5] and len(codes) > 1:
                self.color = COLORS[codes[1] % 8]
                del codes[:2]

    def attributes(self):
        fill = self.color or (DIM if self.dim else TEXT)
        return f'fill="{fill}"' + (' font-weight="bold"' if self.bold else "")


def width(text):
    """The columns that a text takes in a terminal."""
    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def pieces(line, style):
    """The parts of a line that have one style each, with their column."""
    column, rest = 0, line
    while rest:
        escape = ESCAPE.search(rest)
        text = rest[: escape.start()] if escape else rest
        if text:
            yield column, text, style.attributes()
            column += width(text)
        if escape and escape.group(1) is not None:
            style.apply(escape.group(1))
        rest = rest[escape.end() :] if escape else ""


def draw(lines):
    """The picture of these lines."""
    columns = max([MIN_COLUMNS] + [width(ESCAPE.sub("", line)) for line in lines])
    wide = round(columns * CELL_WIDTH + 2 * MARGIN)
    high = TITLE_BAR + (len(lines) + 1) * LINE_HEIGHT + MARGIN
    svg = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{wide}" height="{high}" viewBox="0 0 {wide} {high}" role="img">',
        f"<title>{html.escape(SHOWN)}</title>",
        f'<rect x="0.5" y="0.5" width="{wide - 1}" height="{high - 1}" rx="10" fill="{BACKGROUND}" stroke="{FRAME}"/>',
    ]
    for number, color in enumerate(BUTTONS):
        svg.append(f'<circle cx="{MARGIN + 2 + 20 * number}" cy="19" r="6" fill="{color}"/>')
    fonts = "ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', 'Liberation Mono', monospace"
    svg.append(f'<g font-family="{fonts}" font-size="{FONT_SIZE}" xml:space="preserve">')

    def text(row, column, content, attributes):
        lead = len(content) - len(content.lstrip(" "))
        column, content = column + lead, content.strip(" ")
        if not content:
            return
        x, y = MARGIN + column * CELL_WIDTH, TITLE_BAR + (row + 1) * LINE_HEIGHT - 4
        # The length keeps the columns in line, whatever font there is.
        length = width(content) * CELL_WIDTH
        svg.append(
            f'<text x="{x:.2f}" y="{y}" textLength="{length:.2f}" {attributes}>{html.escape(content, quote=False)}</text>'
        )

    text(0, 0, "$", f'fill="{PROMPT}" font-weight="bold"')
    text(0, 2, SHOWN, f'fill="{TEXT}"')
    style = Style()
    for row, line in enumerate(lines, start=1):
        for column, content, attributes in pieces(line, style):
            text(row, column, content, attributes)
    svg.append("</g>\n</svg>\n")
    return "\n".join(svg)


def main():
    host = sys.argv[1] if len(sys.argv) > 1 else "target/release/host"
    plugins = sorted(glob.glob("plugins/*.wasm", root_dir=ROOT))
    if not plugins:
        sys.exit("make-picture: there are no plugins: run `make plugins`")
    command = [host, "run", *plugins, "--color", "always"]
    try:
        run = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    except OSError as error:
        sys.exit(f"make-picture: cannot run {host}: {error.strerror}")
    if run.returncode != 0:
        sys.exit(f"make-picture: {host} ended with {run.returncode}")
    PICTURE.write_text(draw(run.stdout.rstrip("\n").split("\n")))
    print(f"make-picture: wrote {PICTURE.relative_to(ROOT)}")


if __name__ == "__main__":
    main()

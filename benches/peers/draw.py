"""draw.py CHART.svg CHART.png: an SVG as pixels."""

import sys

import resvg_py

with open(sys.argv[1]) as file:
    picture = resvg_py.svg_to_bytes(svg_string=file.read(), zoom=2)
with open(sys.argv[2], "wb") as file:
    file.write(bytes(picture))

#!/usr/bin/env bash
# SPDX-License-Identifier: MPL-2.0
# A picture of the Mandelbrot set on the farm: tiles are made by a plugin (mandelbrot.c), whoever is
# free takes the next, and mandelbrot_png puts them together. `zfarm` must be in PATH.
set -euo pipefail

usage() {
  cat <<'USAGE'
usage: mandelbrot.bash [OPTION]... >PICTURE.png
  --size WIDTHxHEIGHT  in pixels (900x600)
  --at RE,IM,SPAN      the centre, and how much of the real axis to show (-0.6,0,3.6)
  --tile PIXELS        width and height of a tile, which is one task (30)
  --by-worker          tint each tile by who made it
  -C DIR               where mandelbrot.so and mandelbrot_png are (build/examples of this checkout)
What zfarm run takes can be set by the environment, as in ZFARM_JOBS=2.
Another place: --at -0.743643,0.131825,0.006
USAGE
}

die() {
  printf 'mandelbrot.bash: %s\n' "$*" >&2
  exit 255
}

width=900 height=600 re=-0.6 im=0 span=3.6 tile=30 tint=() built=$(dirname "$0")/../build/examples
while (($#)); do
  case $1 in
    --size) IFS=x read -r width height <<<"${2:?--size needs WIDTHxHEIGHT}"; shift ;;
    --at) IFS=, read -r re im span <<<"${2:?--at needs RE,IM,SPAN}"; shift ;;
    --tile) tile=${2:?--tile needs PIXELS}; shift ;;
    --by-worker) tint=(by-worker) ;;
    -C) built=${2:?-C needs a directory}; shift ;;
    -h | --help) usage; exit ;;
    *) usage >&2; exit 255 ;;
  esac
  shift
done
[[ $width-$height-$tile =~ ^[1-9][0-9]*-[1-9][0-9]*-[1-9][0-9]*$ ]] || die "what size is that? --help says more"
[[ ! -t 1 ]] || die "a picture is no text: send it to a file, >PICTURE.png"
[[ -e $built/mandelbrot.so && -x $built/mandelbrot_png ]] ||
  die "build the examples first (./dev build); mandelbrot_png is built if libpng is found"

# The tasks: "X Y WIDTH HEIGHT", one a line. What is left over at the edges makes smaller tiles.
tiles() {
  local x y
  for ((y = 0; y < height; y += tile)); do
    for ((x = 0; x < width; x += tile)); do
      echo "$x $y $((width - x < tile ? width - x : tile)) $((height - y < tile ? height - y : tile))"
    done
  done
}

# No -k: a tile says itself where it belongs, so none has to wait for the one before.
tiles |
  zfarm run --plugin "$built/mandelbrot.so" "$width" "$height" "$re" "$im" "$span" "${tint[@]}" |
  "$built/mandelbrot_png" "$width" "$height"

#!/usr/bin/env bats
# SPDX-License-Identifier: MPL-2.0
# The examples do what they say: the sources of this tree, with whatever zfarm is tested.
# shellcheck disable=SC2154 # farm.bash sets control and results
load helpers
load farm

examples=$BATS_TEST_DIRNAME/../../examples

# --- wordcount ---

# in_one_pipe FOLDER PATTERN: what wordcount.bash has to print, without a farm and without awk's words.
in_one_pipe() {
  local file
  find "$1" -type f -name "$2" -print0 |
    while IFS= read -r -d '' file; do
      LC_ALL=C tr -cs 'A-Za-z_' '\n' <"$file"
      echo
    done | grep . | LC_ALL=C sort | uniq -c | sed 's/^ *//' | LC_ALL=C sort -k 1,1nr -k 2
}

@test "wordcount prints of a folder of headers what one pipe prints" {
  start words "$examples/wordcount.bash" /usr/include/linux '*.h'
  ends words 60 0
  in_one_pipe /usr/include/linux '*.h' >expected
  (($(wc -l <expected) > 1000))
  same words.out expected
}

@test "wordcount takes any file name, and words that end with their file" {
  mkdir 'a folder'
  printf 'one two' >$'a folder/it\'s\na "file" {}'
  printf 'two,one;two 2two' >'a folder/-n'
  : >'a folder/empty'
  start words "$examples/wordcount.bash" 'a folder'
  ends words 30 0
  same words.out <(printf '%s\n' '4 two' '2 one')
}

@test "wordcount fails if a file cannot be read" {
  echo word >there
  find() { printf 'there\0gone\0'; }
  export -f find
  start words "$examples/wordcount.bash" .
  ends words 30 1
  summary_is words.err '1 task: 0 ok, 1 failed, 0 lost'
}

# --- mandelbrot ---

# build_mandelbrot: makes mandelbrot.so and mandelbrot_png here.
build_mandelbrot() {
  pkg-config --exists libpng || skip "libpng is not installed"
  plugin mandelbrot -lm
  with_libpng mandelbrot_png "$examples/mandelbrot_png.c"
}

# with_libpng PROGRAM SOURCE
with_libpng() {
  # shellcheck disable=SC2046 # these are words
  "${CC:-cc}" -D_GNU_SOURCE -o "$1" "$2" $(pkg-config --cflags --libs libpng)
}

# draw NAME [OPTION...]: a picture of 97 x 61 pixels, in NAME.out.
draw() {
  start "$1" "$examples/mandelbrot.bash" -C . --size 97x61 "${@:2}"
  ends "$1" 60 0
}

# rows FILE.png: prints the picture's size, then its pixels as the plugin would, as libpng reads them.
rows() {
  cat >rows.c <<'C'
#include <png.h>
#include <stdlib.h>
int main(void)
{
    png_image image = {.version = PNG_IMAGE_VERSION};
    if (!png_image_begin_read_from_stdio(&image, stdin))
        return 1;
    image.format = PNG_FORMAT_RGB;
    unsigned char *bytes = malloc(PNG_IMAGE_SIZE(image)), *byte = bytes;
    if (!png_image_finish_read(&image, NULL, bytes, 0, NULL))
        return 1;
    printf("%u %u\n", image.width, image.height);
    for (unsigned y = 0; y < image.height; y++) {
        printf("0 %u ", y);
        for (unsigned x = 0; x < 3 * image.width; x++)
            printf("%02x", *byte++);
        puts("");
    }
    return 0;
}
C
  with_libpng rows rows.c
  ./rows <"$1"
}

# alone ARGUMENT...: the plugin's own code without a farm, with one task, the whole picture.
alone() {
  cat >alone.c <<'C'
#include "mandelbrot.c"
static int print(struct zfarm_reply *reply, const void *data, size_t size)
{
    (void)reply;
    return fwrite(data, 1, size, stdout) == size ? 0 : -1;
}
int main(int argc, char **argv)
{
    char text[64];
    struct zfarm_reply out = {print};
    struct zfarm_task task = {.data = text};
    void *state;
    task.size = (size_t)snprintf(text, sizeof text, "0 0 %s %s", argv[1], argv[2]);
    return zfarm_init(argc - 1, argv + 1, 1, &state) || zfarm_handle(state, &task, &out, &out);
}
C
  "${CC:-cc}" -fPIC -I "$examples" -I "$examples/../include" -o alone alone.c -lm
  ./alone "$@"
}

@test "mandelbrot draws what one processor computes alone, with any slots and tiles" {
  build_mandelbrot
  ZFARM_JOBS=1 draw one
  ZFARM_JOBS=2 draw two
  draw small --tile 7
  draw whole --tile 1000
  [[ $(head -c 8 one.out | od -An -tx1) == ' 89 50 4e 47 0d 0a 1a 0a' ]]
  { echo 97 61; alone 97 61 -0.6 0 3.6; } >expected
  same <(rows one.out) expected
  for name in two small whole; do
    same "$name.out" one.out
  done
  (($(sed 1d expected | cut -d ' ' -f 3 | grep -o '......' | sort -u | wc -l) > 500)) # colourful
}

@test "mandelbrot's tiles are unequal work" {
  build_mandelbrot
  start farm zfarm run -j1 -k --joblog log --plugin ./mandelbrot.so 900 600 -0.6 0 3.6 \
    ::: '0 0 90 90' '480 255 90 90'
  ends farm 60 0
  awk 'NR == 2 { blue = $4 } NR == 3 { black = $4 } END { exit !(black > 5 * blue) }' log
}

@test "two workers started by hand draw the same picture" {
  build_mandelbrot
  draw picture
  farm_places
  printf '%s\n' '0 0 97 20' '0 20 50 41' '50 20 47 41' >tiles
  held tiles
  sink --bar
  worker one -j1 --plugin ./mandelbrot.so 97 61 -0.6 0 3.6
  worker two -j1 --plugin ./mandelbrot.so 97 61 -0.6 0 3.6
  ventilator held --heartbeat 0.1
  wait_for 30 workers_are 2
  let_go
  for name in sink ventilator one two; do
    ends "$name" 60 0
  done
  ./mandelbrot_png 97 61 <sink.out >by_hand.png
  same by_hand.png picture.out
}

@test "mandelbrot --by-worker tints what one slot made with one colour" {
  build_mandelbrot
  ZFARM_JOBS=1 draw black --at -0.1,0,0.01
  ZFARM_JOBS=1 draw tinted --at -0.1,0,0.01 --by-worker
  for name in black tinted; do
    rows "$name.out" | sed 1d | cut -d ' ' -f 3 | grep -o '......' | sort -u >"$name.colours"
  done
  same black.colours <(echo 000000)
  [[ $(wc -l <tinted.colours) == 1 && $(<tinted.colours) != 000000 ]]
}

@test "mandelbrot: a task that is no tile of the picture fails, and says so" {
  build_mandelbrot
  start farm zfarm run -j1 --plugin ./mandelbrot.so 97 61 -0.6 0 3.6 \
    ::: '' '0 0 98 1' '0 61 1 1' '1 1 1 1x' '1 1 1' '-1 0 1 1' '96 60 1 1'
  ends farm 30 6
  says farm.err 'is no tile of a picture of 97 x 61'
  [[ $(wc -l <farm.out) == 1 && $(<farm.out) == '96 60 '?????? ]]
}

@test "mandelbrot: a picture that makes no sense is an error with words" {
  build_mandelbrot
  start farm "$examples/mandelbrot.bash" -C . --at here,0,1
  ends farm 60 1
  [[ ! -s farm.out ]]
  says farm.err 'mandelbrot: its arguments are WIDTH HEIGHT RE IM SPAN [by-worker]'
  start farm "$examples/mandelbrot.bash" -C . --size 0x5
  ends farm 10 255
  [[ ! -s farm.out ]]
}

# no_picture WORDS ROWS: mandelbrot_png makes no 2 x 2 picture of ROWS, and says why.
no_picture() {
  local status=0
  ./mandelbrot_png 2 2 <<<"$2" >none.out 2>none.err || status=$?
  [[ $status == 1 && ! -s none.out ]]
  same none.err <(echo "mandelbrot_png: $1")
}

@test "mandelbrot_png takes every pixel once and nothing else" {
  build_mandelbrot
  ./mandelbrot_png 2 2 <<<$'1 1 ffee00\n0 0 000000010203\n0 1 abcdef' >made.png
  same <(rows made.png) <(printf '%s\n' '2 2' '0 0 000000010203' '0 1 abcdefffee00')
  no_picture 'pixels that are missing: 1' $'0 0 000000010203\n0 1 abcdef'
  no_picture 'line 2 is no row, or is there already' $'0 0 000000010203\n1 0 abcdef'
  for row in '' x '0 2 000000' '1 0 000000000000' '0 0 00000' '0 0 00000G' '0 0 FFFFFF'; do
    no_picture 'line 1 is no row, or is there already' "$row"
  done
}

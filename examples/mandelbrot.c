/* SPDX-License-Identifier: MPL-2.0 */

/* A plugin: each task is one tile of a picture of the Mandelbrot set, and its result the colours of
 * that tile. The arguments say which picture, so a task only has to say which tile:
 *
 *     WIDTH HEIGHT RE IM SPAN [by-worker]    pixels, the centre, and how much of the real axis
 *
 * A task is "X Y WIDTH HEIGHT": pixels, from the upper left corner. Its result is a line for each
 * row of the tile, "X Y RRGGBBRRGGBB...". Each line says where it belongs, so that results may come
 * in any order. mandelbrot_png.c makes a picture of such lines, and mandelbrot.bash does it all.
 *
 * A point that never runs away costs hundreds of times what one costs that soon does. So some
 * tiles are much more work than others, and nobody knows which before: dealt out in turn, they
 * would leave a slot idle. With by-worker each slot of each worker tints what it made, which shows
 * who did what. */
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <zfarm/plugin.h>

#define SIZE_MAX_PIXELS 100000
#define ITERATIONS_MAX 2000
#define SAMPLES 2 /* across and down a pixel, whose colour is their mean: edges become smooth */

ZFARM_PLUGIN;

struct colour {
    double part[3]; /* red, green, blue, from 0 to 1 */
};

struct picture {
    unsigned width, height;
    double left, top; /* the corner, as a number */
    double step;      /* from pixel to pixel */
    bool by_worker;
    struct colour tint;
};

struct tile {
    unsigned x, y, width, height;
};

/* When z = z * z + c, begun at 0, has run away: a real number, so that colours have no steps. -1 if
 * it has not. */
static double escape(double re, double im)
{
    double x = 0, y = 0;
    for (unsigned i = 1; i <= ITERATIONS_MAX; i++) {
        double xx = x * x, yy = y * y;
        if (xx + yy > 256)
            return fmax(i - log2(log2(xx + yy) / 2), 0);
        y = 2 * x * y + im;
        x = xx - yy + re;
    }
    return -1;
}

static void add_colour(struct colour *colour, double escaped)
{
    static const double stops[] = {0, 0.16, 0.42, 0.64, 0.86, 1};
    static const struct colour colours[] = {{{0, 0.03, 0.39}}, {{0.13, 0.42, 0.8}},
                                            {{0.93, 1, 1}},    {{1, 0.67, 0}},
                                            {{0, 0, 0}},       {{0, 0.03, 0.39}}};
    if (escaped < 0)
        return; /* black */
    double place = fmod(fmax(log(escaped + 1) - 0.7, 0) * 0.32, 1);
    int next = 1;
    while (place > stops[next])
        next++;
    double share = (place - stops[next - 1]) / (stops[next] - stops[next - 1]);
    for (int i = 0; i < 3; i++)
        colour->part[i] += colours[next - 1].part[i] * (1 - share) + colours[next].part[i] * share;
}

static struct colour pixel(const struct picture *picture, unsigned x, unsigned y)
{
    struct colour colour = {0};
    for (int sample = 0; sample < SAMPLES * SAMPLES; sample++) {
        int column = sample % SAMPLES, row = sample / SAMPLES;
        double across = x + (column + 0.5) / SAMPLES, down = y + (row + 0.5) / SAMPLES;
        add_colour(&colour, escape(picture->left + across * picture->step,
                                   picture->top - down * picture->step));
    }
    for (int i = 0; i < 3; i++) {
        colour.part[i] /= SAMPLES * SAMPLES;
        if (picture->by_worker)
            colour.part[i] = (colour.part[i] + picture->tint.part[i]) / 2;
    }
    return colour;
}

static int append_pixel(struct zfarm_reply *out, struct colour colour)
{
    unsigned byte[3];
    for (int i = 0; i < 3; i++)
        byte[i] = (unsigned)lround(colour.part[i] * 255);
    return zfarm_appendf(out, "%02x%02x%02x", byte[0], byte[1], byte[2]);
}

/* A hue for each slot of each worker; those of neighbours are far apart. */
static struct colour choose_tint(const char *worker, int slot)
{
    struct colour tint;
    double hue = slot * 0.618;
    for (; worker && *worker; worker++)
        hue += *worker * 0.618;
    for (int i = 0; i < 3; i++)
        tint.part[i] = 0.5 + 0.5 * cos(6.2832 * (hue + i / 3.));
    return tint;
}

static bool parse_number(const char *text, double min, double max, double *number)
{
    char *end;
    *number = strtod(text, &end);
    return end != text && !*end && *number >= min && *number <= max;
}

static bool parse_picture(int argc, char **argv, struct picture *picture)
{
    double width, height, re, im, span;
    if (argc < 5 || argc > 6 || !parse_number(argv[0], 1, SIZE_MAX_PIXELS, &width) ||
        !parse_number(argv[1], 1, SIZE_MAX_PIXELS, &height) || !parse_number(argv[2], -4, 4, &re) ||
        !parse_number(argv[3], -4, 4, &im) || !parse_number(argv[4], 0, 8, &span))
        return false;
    picture->by_worker = argc == 6;
    picture->width = (unsigned)width;
    picture->height = (unsigned)height;
    picture->step = span / picture->width;
    picture->left = re - picture->width / 2. * picture->step;
    picture->top = im + picture->height / 2. * picture->step;
    return !picture->by_worker || !strcmp(argv[5], "by-worker");
}

static bool parse_tile(const struct zfarm_task *task, const struct picture *picture,
                       struct tile *tile)
{
    char text[64]; /* a task has no NUL behind it, and sscanf needs one */
    int length = 0;
    if (task->size >= sizeof text)
        return false;
    memcpy(text, task->data, task->size);
    text[task->size] = '\0';
    return sscanf(text, "%9u %9u %9u %9u%n", &tile->x, &tile->y, &tile->width, &tile->height,
                  &length) == 4 &&
           (size_t)length == task->size && tile->x <= picture->width &&
           tile->width <= picture->width - tile->x && tile->y <= picture->height &&
           tile->height <= picture->height - tile->y;
}

int zfarm_init(int argc, char **argv, int slot, void **state)
{
    struct picture *picture = malloc(sizeof *picture);
    if (!picture)
        return 1;
    if (!parse_picture(argc, argv, picture)) {
        fprintf(stderr, "mandelbrot: its arguments are WIDTH HEIGHT RE IM SPAN [by-worker]\n");
        free(picture);
        return 1;
    }
    picture->tint = choose_tint(getenv("ZFARM_WORKER"), slot);
    *state = picture;
    return 0;
}

int zfarm_handle(void *state, const struct zfarm_task *task, struct zfarm_reply *out,
                 struct zfarm_reply *err)
{
    const struct picture *picture = state;
    struct tile tile;
    if (!parse_tile(task, picture, &tile)) {
        zfarm_appendf(err, "mandelbrot: task %llu is no tile of a picture of %u x %u\n",
                      (unsigned long long)task->seq, picture->width, picture->height);
        return 1;
    }
    for (unsigned y = tile.y; y < tile.y + tile.height; y++) {
        zfarm_appendf(out, "%u %u ", tile.x, y);
        for (unsigned x = tile.x; x < tile.x + tile.width; x++)
            if (append_pixel(out, pixel(picture, x, y)))
                return 1;
        zfarm_append(out, "\n", 1);
    }
    return 0;
}

void zfarm_destroy(void *state)
{
    free(state);
}

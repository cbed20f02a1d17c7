/* SPDX-License-Identifier: MPL-2.0 */

/* mandelbrot_png WIDTH HEIGHT <ROWS >PICTURE.png
 *
 * Puts a picture together from the lines that mandelbrot.c makes, which may come in any order. Ends
 * with 1 and writes nothing if a pixel is missing or there twice, or a line is none of them. */
#include <png.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define SIZE_MAX_PIXELS 30000

struct canvas {
    unsigned width, height;
    size_t left;          /* pixels that are not painted yet */
    bool *painted;        /* by pixel */
    unsigned char *bytes; /* red, green, blue of each */
};

/* The byte that two digits of `text` stand for, or -1. */
static int hex_byte(const char *text)
{
    static const char digits[] = "0123456789abcdef";
    const char *high = text[0] ? strchr(digits, text[0]) : NULL;
    const char *low = high && text[1] ? strchr(digits, text[1]) : NULL;
    return low ? (int)((high - digits) * 16 + (low - digits)) : -1;
}

/* Takes "X Y RRGGBB..." and a newline. False if it is no such line, or paints what is painted. */
static bool paint(struct canvas *canvas, const char *line)
{
    unsigned x, y;
    int begin = 0;
    if (sscanf(line, "%9u %9u %n", &x, &y, &begin) != 2 || !begin || y >= canvas->height)
        return false;
    for (const char *text = line + begin; *text != '\n'; x++) {
        size_t at = (size_t)y * canvas->width + x;
        if (x >= canvas->width || canvas->painted[at])
            return false;
        for (size_t i = 0; i < 3; i++, text += 2) {
            int byte = hex_byte(text);
            if (byte < 0)
                return false;
            canvas->bytes[at * 3 + i] = (unsigned char)byte;
        }
        canvas->painted[at] = true;
        canvas->left--;
    }
    return true;
}

static bool read_rows(struct canvas *canvas)
{
    char *line = NULL;
    size_t size = 0, number = 0;
    bool good = true;
    while (good && getline(&line, &size, stdin) > 0) {
        number++;
        good = paint(canvas, line);
    }
    free(line);
    if (!good)
        fprintf(stderr, "mandelbrot_png: line %zu is no row, or is there already\n", number);
    else if (canvas->left)
        fprintf(stderr, "mandelbrot_png: pixels that are missing: %zu\n", canvas->left);
    return good && !canvas->left;
}

static bool write_png(const struct canvas *canvas)
{
    png_image image = {.version = PNG_IMAGE_VERSION,
                       .width = canvas->width,
                       .height = canvas->height,
                       .format = PNG_FORMAT_RGB};
    if (png_image_write_to_stdio(&image, stdout, 0, canvas->bytes, 0, NULL) && !fflush(stdout))
        return true;
    fprintf(stderr, "mandelbrot_png: cannot write the picture: %s\n", image.message);
    return false;
}

int main(int argc, char **argv)
{
    unsigned long width = argc == 3 ? strtoul(argv[1], NULL, 10) : 0;
    unsigned long height = argc == 3 ? strtoul(argv[2], NULL, 10) : 0;
    if (width < 1 || width > SIZE_MAX_PIXELS || height < 1 || height > SIZE_MAX_PIXELS) {
        fprintf(stderr, "usage: mandelbrot_png WIDTH HEIGHT <ROWS >PICTURE.png\n");
        return 255;
    }
    struct canvas canvas = {
        .width = (unsigned)width, .height = (unsigned)height, .left = width * height};
    canvas.painted = calloc(canvas.left, sizeof *canvas.painted);
    canvas.bytes = calloc(canvas.left, 3);
    bool good = canvas.painted && canvas.bytes && read_rows(&canvas) && write_png(&canvas);
    free(canvas.painted);
    free(canvas.bytes);
    return good ? 0 : 1;
}

/* SPDX-License-Identifier: MPL-2.0 */
#include <assert.h>
#include <string.h>

#include "sink/output/jsonl.h"
#include "tests/fuzz/steps.h"

/* A result of any content as a line of JSON: it must be one object, well-formed, in well-formed UTF-8, on
 * one line. The reader here is kept apart from the writer, and knows nothing of its tables.
 *
 * An octet for the worker's name with its size before it; the rest is a record of a result. */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct json {
    const uint8_t *at;
    const uint8_t *end;
};

static uint8_t peek(const struct json *j)
{
    assert(j->at < j->end);
    return *j->at;
}

static void expect(struct json *j, const char *text)
{
    for (; *text; text++, j->at++)
        assert(peek(j) == (uint8_t)*text);
}

/* One character of UTF-8, as its number says (RFC 3629). */
static void read_character(struct json *j)
{
    static const uint32_t least[] = {0, 0x80, 0x800, 0x10000};
    uint32_t value = peek(j);
    int more = value < 0x80 ? 0 : value >> 5 == 6 ? 1 : value >> 4 == 14 ? 2 : 3;
    assert(value < 0x80 || value >> 6 == 3);
    assert(value < 0xf8);
    value &= more ? 0x3fU >> more : 0x7f;
    j->at++;
    for (int i = 0; i < more; i++, j->at++) {
        assert(peek(j) >> 6 == 2);
        value = value << 6 | (peek(j) & 0x3f);
    }
    assert(value >= least[more] && value <= 0x10ffff && (value < 0xd800 || value > 0xdfff));
    assert(value >= 0x20);
}

static void read_string(struct json *j)
{
    expect(j, "\"");
    while (peek(j) != '"') {
        if (peek(j) != '\\') {
            read_character(j);
            continue;
        }
        j->at++;
        bool number = peek(j) == 'u';
        assert(strchr("\"\\/bfnrtu", peek(j)) && peek(j));
        j->at++;
        for (int i = 0; number && i < 4; i++, j->at++)
            assert(strchr("0123456789abcdef", peek(j)) && peek(j));
    }
    j->at++;
}

static void read_number(struct json *j)
{
    size_t digits = 0, points = 0;
    bool zero = peek(j) == '0';
    for (; strchr("0123456789.", peek(j)) && peek(j); j->at++) {
        points += peek(j) == '.';
        digits += !points;
    }
    assert(digits && points <= 1 && (!zero || digits == 1));
}

/* The arguments of a task; those of one that cannot be decoded are none. */
static void read_strings(struct json *j)
{
    expect(j, "[");
    while (peek(j) != ']') {
        read_string(j);
        if (peek(j) == ',') {
            j->at++;
            assert(peek(j) == '"');
        }
    }
    j->at++;
}

static void read_value(struct json *j)
{
    switch (peek(j)) {
    case '"':
        read_string(j);
        break;
    case 'n':
        expect(j, "null");
        break;
    case 't':
        expect(j, "true");
        break;
    case 'f':
        expect(j, "false");
        break;
    case '[':
        read_strings(j);
        break;
    default:
        read_number(j);
    }
}

static size_t read_object(struct json *j)
{
    size_t fields = 0;
    do {
        j->at++;
        read_string(j);
        expect(j, ":");
        read_value(j);
        fields++;
    } while (peek(j) == ',');
    expect(j, "}");
    return fields;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    enum { FIELDS = 13, NOT_TEXT = 2 };
    struct steps steps = {data, data + size};
    struct bytes worker = next_octets(&steps, next_octet(&steps));
    struct bytes records = {steps.at, (size_t)(steps.end - steps.at)};
    struct buf line = {0};
    struct result result = {0};
    if (result_take(&records, &result))
        return 0;
    result.seq = size;
    result.tries = 1;
    result.worker = worker;
    jsonl_put(&line, &result, (struct bytes){0});
    struct json j = {line.data, line.data + line.size};
    assert(peek(&j) == '{');
    size_t fields = read_object(&j), usual = FIELDS + result.cut;
    assert(fields == usual || fields == usual + NOT_TEXT);
    expect(&j, "\n");
    assert(j.at == j.end);
    buf_free(&line);
    return 0;
}

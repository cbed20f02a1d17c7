/* SPDX-License-Identifier: MPL-2.0 */
#include "sink/output/jsonl.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

TestSuite(jsonl, .timeout = 100);

static struct result sample(void)
{
    return (struct result){.seq = 7,
                           .tries = 2,
                           .final = true,
                           .start_us = 1700000000000042,
                           .duration_ns = 1234567890,
                           .worker = bytes_of("node1")};
}

static void expect(const struct result *r, const char *line)
{
    struct buf got = {0};
    jsonl_put(&got, r, (struct bytes){0});
    cr_assert(bytes_equal(buf_bytes(&got), bytes_of(line)), "%.*s", (int)got.size,
              (char *)got.data);
    buf_free(&got);
}

static struct bytes record_of(struct buf *record, const char *const *args)
{
    struct bytes list[8];
    size_t count = 0;
    for (; args[count]; count++)
        list[count] = bytes_of(args[count]);
    buf_clear(record);
    task_put_args(record, list, count);
    return buf_bytes(record);
}

Test(jsonl, all_fields_are_there_in_their_order)
{
    struct buf record = {0};
    struct result r = sample();
    r.task = record_of(&record, (const char *const[]){"a \"b\"", NULL});
    r.out = bytes_of("l\xc3\xa4ngs\n\t\x01");
    expect(&r, "{\"seq\":7,\"task\":\"a \\\"b\\\"\",\"args\":[\"a "
               "\\\"b\\\"\"],\"status\":\"ok\",\"exit\":0,\"signal\":null,"
               "\"attempts\":2,\"final\":true,\"worker\":\"node1\",\"start\":1700000000.000042,"
               "\"seconds\":1.234567,\"stdout\":\"l\xc3\xa4ngs\\n\\t\\u0001\",\"stderr\":\"\"}\n");
    buf_free(&record);
}

Test(jsonl, the_task_is_a_string_and_its_arguments_are_an_array)
{
    struct buf record = {0};
    struct result r = sample();
    r.status = RESULT_SIGNALED;
    r.code = 9;
    r.task = record_of(&record, (const char *const[]){"a", "", "c", NULL});
    expect(&r,
           "{\"seq\":7,\"task\":\"a  c\",\"args\":[\"a\",\"\",\"c\"],\"status\":\"signaled\","
           "\"exit\":null,\"signal\":9,\"attempts\":2,\"final\":true,\"worker\":\"node1\","
           "\"start\":1700000000.000042,\"seconds\":1.234567,\"stdout\":\"\",\"stderr\":\"\"}\n");
    r.task = record_of(&record, (const char *const[]){"a", "b\xff", NULL});
    r.status = RESULT_EXITED;
    r.code = 3;
    expect(&r,
           "{\"seq\":7,\"task\":\"a b\xef\xbf\xbd\",\"args\":[\"a\",\"b\xef\xbf\xbd\"],"
           "\"task_base64\":\"YSBi/w==\",\"args_base64\":[\"YQ==\",\"Yv8=\"],\"status\":\"failed\","
           "\"exit\":3,\"signal\":null,\"attempts\":2,\"final\":true,\"worker\":\"node1\","
           "\"start\":1700000000.000042,\"seconds\":1.234567,\"stdout\":\"\",\"stderr\":\"\"}\n");
    buf_free(&record);
}

Test(jsonl, tries_that_failed_are_in_the_object_and_the_last_is_the_result)
{
    struct result r = {
        .seq = 1, .tries = 1, .status = RESULT_EXITED, .code = 4, .out = bytes_of("x")};
    struct buf failed = {0}, line = {0};
    jsonl_put_try(&failed, &r);
    r.tries = 2;
    r.status = RESULT_OK;
    r.code = 0;
    jsonl_put(&line, &r, buf_bytes(&failed));
    buf_put_byte(&line, '\0');
    cr_assert_str_eq((char *)line.data,
                     "{\"seq\":1,\"task\":\"\",\"args\":[],\"status\":\"ok\",\"exit\":0,"
                     "\"signal\":null,\"attempts\":2,\"final\":true,\"worker\":null,\"start\":null,"
                     "\"seconds\":null,\"stdout\":\"x\",\"stderr\":\"\",\"tries\":["
                     "{\"attempt\":1,\"status\":\"failed\",\"exit\":4,\"signal\":null,\"worker\":"
                     "null,\"start\":null,\"seconds\":null,\"stdout\":\"x\",\"stderr\":\"\"},"
                     "{\"attempt\":2,\"status\":\"ok\",\"exit\":0,\"signal\":null,\"worker\":null,"
                     "\"start\":null,\"seconds\":null,\"stdout\":\"x\",\"stderr\":\"\"}]}\n");
    buf_free(&failed);
    buf_free(&line);
}

Test(jsonl, what_no_worker_ran_has_nulls)
{
    struct result r = {.seq = 1, .tries = 3, .final = true, .status = RESULT_LOST};
    expect(&r, "{\"seq\":1,\"task\":\"\",\"args\":[],\"status\":\"lost\",\"exit\":null,\"signal\":"
               "null,\"attempts\":3,\"final\":true,\"worker\":null,\"start\":null,\"seconds\":null,"
               "\"stdout\":\"\",\"stderr\":\"\"}\n");
}

static bool goes_as_text(const char *bytes, size_t size)
{
    struct result r = {.out = {(const uint8_t *)bytes, size}};
    struct buf line = {0};
    jsonl_put(&line, &r, (struct bytes){0});
    buf_put_byte(&line, 0);
    bool text = strstr((char *)line.data, "\"stdout\":") != NULL;
    cr_assert_neq(text, strstr((char *)line.data, "\"stdout_base64\":") != NULL);
    buf_free(&line);
    return text;
}

Test(jsonl, controls_are_escaped_those_of_two_bytes_too)
{
    struct result r = {.out = bytes_of("a\033\177\302\200\302\233\302\237\302\240b")};
    struct buf line = {0};
    jsonl_put(&line, &r, (struct bytes){0});
    buf_put_byte(&line, 0);
    cr_assert(
        strstr((char *)line.data, "\"stdout\":\"a\\u001b\\u007f\\u0080\\u009b\\u009f\302\240b\""));
    buf_free(&line);
}

Test(jsonl, only_well_formed_utf8_is_text)
{
    static const char *const good[] = {"",
                                       "a",
                                       "\x7f",
                                       "\xc2\x80",
                                       "\xdf\xbf",
                                       "\xe0\xa0\x80",
                                       "\xed\x9f\xbf",
                                       "\xee\x80\x80",
                                       "\xef\xbf\xbf",
                                       "\xf0\x90\x80\x80",
                                       "\xf4\x8f\xbf\xbf",
                                       "12345678\xc3\xa4"
                                       "2345678"};
    static const char *const bad[] = {"\x80",
                                      "\xbf",
                                      "\xc0\x80",
                                      "\xc1\xbf",
                                      "\xc2",
                                      "\xc2"
                                      "a",
                                      "\xe0\x9f\xbf",
                                      "\xe0\xa0",
                                      "\xed\xa0\x80",
                                      "\xed\xbf\xbf",
                                      "\xf0\x8f\xbf\xbf",
                                      "\xf0\x90\x80",
                                      "\xf4\x90\x80\x80",
                                      "\xf5\x80\x80\x80",
                                      "\xff",
                                      "\xfe",
                                      "12345678\xc3",
                                      "1234567\xff"
                                      "12345678"};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        cr_assert(goes_as_text(good[i], strlen(good[i])), "good %zu", i);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        cr_assert_not(goes_as_text(bad[i], strlen(bad[i])), "bad %zu", i);
    cr_assert(goes_as_text("a\0b", 3));
}

/* Writes `lines` to a file and returns what jq prints for `filter`, in its own buffer. */
static struct buf jq(const struct buf *lines, const char *options, const char *filter)
{
    if (system("command -v jq > /dev/null") != 0)
        cr_skip_test("jq is not installed");
    char path[] = "/tmp/zfarm-test-XXXXXX", command[256];
    FILE *file = fdopen(mkstemp(path), "wb");
    fwrite(lines->data, 1, lines->size, file);
    fclose(file);
    snprintf(command, sizeof command, "jq %s '%s' %s", options, filter, path);
    FILE *pipe = popen(command, "r");
    struct buf got = {0};
    size_t n;
    while ((n = fread(buf_reserve(&got, 65536), 1, 65536, pipe)) > 0)
        got.size += n;
    cr_assert_eq(pclose(pipe), 0, "jq does not take it");
    unlink(path);
    return got;
}

Test(jsonl, jq_reads_every_byte_back)
{
    struct buf lines = {0}, all = {0};
    for (int i = 0; i < 128; i++)
        buf_put_byte(&all, (uint8_t)i);
    buf_put_text(&all, "\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80\xe2\x80\xa8");
    struct result r = {.out = buf_bytes(&all)};
    jsonl_put(&lines, &r, (struct bytes){0});
    struct buf got = jq(&lines, "-j", ".stdout");
    cr_assert(bytes_equal(buf_bytes(&got), buf_bytes(&all)));
    buf_free(&got);
    buf_free(&lines);
    buf_free(&all);
}

/* jq's @base64d gives text only, so the bytes go through base64 -d. */
Test(jsonl, random_bytes_come_back_from_base64_at_every_size)
{
    struct buf lines = {0}, all = {0};
    unsigned seed = 1;
    for (size_t size = 1; size < 200; size++) {
        uint8_t bytes[200];
        bytes[0] = 0xff;
        for (size_t i = 1; i < size; i++)
            bytes[i] = (uint8_t)rand_r(&seed);
        buf_put(&all, bytes, size);
        struct buf record = {0};
        task_put_line(&record, (struct bytes){bytes, size});
        struct result r = {.seq = size, .task = buf_bytes(&record), .err = {bytes, size}};
        jsonl_put(&lines, &r, (struct bytes){0});
        buf_free(&record);
    }
    struct buf got = jq(&lines, "-r", "select(.task_base64 == .stderr_base64) | .stderr_base64");
    char path[] = "/tmp/zfarm-test-XXXXXX", command[256];
    FILE *file = fdopen(mkstemp(path), "wb");
    fwrite(got.data, 1, got.size, file);
    fclose(file);
    snprintf(command, sizeof command, "while read -r l; do echo \"$l\" | base64 -d; done < %s",
             path);
    FILE *pipe = popen(command, "r");
    buf_clear(&got);
    size_t n;
    while ((n = fread(buf_reserve(&got, 65536), 1, 65536, pipe)) > 0)
        got.size += n;
    cr_assert_eq(pclose(pipe), 0);
    unlink(path);
    cr_assert(bytes_equal(buf_bytes(&got), buf_bytes(&all)));
    buf_free(&got);
    buf_free(&lines);
    buf_free(&all);
}

Test(jsonl, of_an_output_that_is_too_large_for_memory_there_is_its_size)
{
    struct buf line = {0};
    struct result r = {
        .seq = 1, .out = {(const uint8_t *)"", OUTPUT_IN_MEMORY_MAX + 1}, .err = bytes_of("small")};
    jsonl_put(&line, &r, (struct bytes){0});
    struct buf got = jq(&line, "-c", "[.stdout, .stdout_bytes, .stderr]");
    cr_assert(bytes_equal(buf_bytes(&got), bytes_of("[null,268435457,\"small\"]\n")), "%.*s",
              (int)got.size, (char *)got.data);
    buf_free(&got);
    buf_free(&line);
}

Test(jsonl, random_bytes_in_all_places_parse)
{
    struct buf lines = {0};
    unsigned seed = 2;
    for (int i = 0; i < 3000; i++) {
        uint8_t bytes[4][16];
        for (size_t j = 0; j < sizeof bytes; j++)
            ((uint8_t *)bytes)[j] = (uint8_t)(i % 2 ? rand_r(&seed) : rand_r(&seed) % 128);
        struct buf record = {0};
        struct bytes args[] = {{bytes[0], (size_t)rand_r(&seed) % 17},
                               {bytes[1], (size_t)rand_r(&seed) % 17}};
        task_put_args(&record, args, (size_t)i % 2 + 1);
        struct result r = {.seq = (uint64_t)i,
                           .task = buf_bytes(&record),
                           .out = {bytes[2], (size_t)rand_r(&seed) % 17},
                           .worker = {bytes[3], (size_t)rand_r(&seed) % 17}};
        jsonl_put(&lines, &r, (struct bytes){0});
        buf_free(&record);
    }
    struct buf got = jq(&lines, "-s", "map(length) | unique, length");
    cr_assert(bytes_equal(buf_bytes(&got), bytes_of("[\n  13,\n  15\n]\n3000\n")), "%.*s",
              (int)got.size, (char *)got.data);
    buf_free(&got);
    buf_free(&lines);
}

Test(jsonl, a_cut_output_is_marked)
{
    struct buf line = {0};
    struct result r = {.seq = 1, .cut = true, .cut_pid = 9};
    jsonl_put(&line, &r, (struct bytes){0});
    r.cut = false;
    jsonl_put(&line, &r, (struct bytes){0});
    struct buf got = jq(&line, "-c", ".cut");
    cr_assert(bytes_equal(buf_bytes(&got), bytes_of("true\nnull\n")), "%.*s", (int)got.size,
              (char *)got.data);
    buf_free(&got);
    buf_free(&line);
}

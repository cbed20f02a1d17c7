/* SPDX-License-Identifier: MPL-2.0 */
#include "common/input/expand.h"

#include <criterion/criterion.h>
#include <string.h>

TestSuite(expand, .timeout = 60);

enum { WORDS_MAX = 8 };

static struct expand *make(enum expand_mode mode, const char *replacement, const char *const *words)
{
    size_t count = 0;
    while (words[count])
        count++;
    struct expand *expand = NULL;
    struct why why;
    cr_assert_eq(expand_new(&expand, mode, words, count, replacement, &why), ERR_NONE, "%s",
                 why.text);
    return expand;
}

static struct task task_of(struct buf *records, const char *const *args)
{
    struct bytes list[WORDS_MAX];
    size_t count = 0;
    for (; args[count]; count++)
        list[count] = bytes_of(args[count]);
    task_put_args(records, list, count);
    struct bytes left = buf_bytes(records);
    struct task task;
    cr_assert_eq(task_take(&left, &task), ERR_NONE);
    return task;
}

/* The command line that COMMAND makes of the arguments is `expected`. */
static void expect_line(struct expand *expand, const char *const *args, const char *expected)
{
    struct buf records = {0}, line = {0};
    struct expand_values values = {task_of(&records, args), 7, 3};
    cr_assert_eq(expand_line(expand, &values, &line), ERR_NONE);
    cr_expect(bytes_equal(buf_bytes(&line), bytes_of(expected)), "got %.*s, not %s", (int)line.size,
              (char *)line.data, expected);
    buf_free(&records);
    buf_free(&line);
}

#define LIST(...) ((const char *const[]){__VA_ARGS__, NULL})

static void expect(enum expand_mode mode, const char *replacement, const char *const *words,
                   const char *const *args, const char *expected)
{
    struct expand *expand = make(mode, replacement, words);
    expect_line(expand, args, expected);
    expand_free(&expand);
    cr_assert_null(expand);
}

static void expect_direct(const char *const *words, const char *const *args, const char *expected)
{
    expect(EXPAND_DIRECT, NULL, words, args, expected);
}

static void expect_shell(const char *const *words, const char *const *args, const char *expected)
{
    expect(EXPAND_SHELL, NULL, words, args, expected);
}

/* Every line was printed by `parallel --dry-run echo {.} {/} {//} {/.} ::: ...`. */
Test(expand, the_forms_of_a_path_are_those_of_gnu_parallel)
{
    static const char *const cases[][2] = {
        {"/x.y/z", "echo /x.y/z z /x.y z"},
        {"a.b.c", "echo a.b a.b.c . a.b"},
        {".hid", "echo '' .hid . ''"},
        {"x/", "echo x/ '' . ''"},
        {"/", "echo / '' / ''"},
        {"//", "echo // '' / ''"},
        {"", "echo '' '' . ''"},
        {"a/.b", "echo a/ .b a ''"},
        {"a.", "echo a a. . a"},
        {"..", "echo . .. . ."},
        {"a.b/", "echo a.b/ '' . ''"},
        {"foo/bar.tar.gz", "echo foo/bar.tar bar.tar.gz foo bar.tar"},
        {"/foo", "echo /foo foo / foo"},
        {"x.d/y", "echo x.d/y y x.d y"},
        {"./a", "echo ./a a . a"},
        {"/a/", "echo /a/ '' / ''"},
        {"//a", "echo //a a / a"},
        {"a//b", "echo a//b b a b"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        expect_shell(LIST("echo {.} {/} {//} {/.}"), LIST(cases[i][0]), cases[i][1]);
}

Test(expand, quotes_are_put_only_where_a_shell_needs_them)
{
    static const char *const cases[][2] = {
        {"it's", "echo 'it'\"'\"'s'"},
        {"a\"b", "echo 'a\"b'"},
        {"$x", "echo '$x'"},
        {"a b", "echo 'a b'"},
        {"", "echo ''"},
        {"a=b", "echo 'a=b'"},
        {"~", "echo '~'"},
        {"-", "echo -"},
        {"a+b", "echo a+b"},
        {"{a}", "echo '{a}'"},
        {"#", "echo '#'"},
        {"'", "echo \"'\""},
        {"a\\b", "echo 'a\\b'"},
        {"a\nb", "echo 'a\nb'"},
        {"/a/b.c_d-1", "echo /a/b.c_d-1"},
        {"*", "echo '*'"},
        {"\xff", "echo '\xff'"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        expect_shell(LIST("echo {}"), LIST(cases[i][0]), cases[i][1]);
        expect_direct(LIST("echo", "{}"), LIST(cases[i][0]), cases[i][1]);
    }
}

Test(expand, a_task_is_appended_only_if_command_holds_no_replacement_at_all)
{
    expect_direct(LIST("echo"), LIST("a b"), "echo 'a b'");
    expect_shell(LIST("echo", "x"), LIST("a b"), "echo x 'a b'");
    expect_direct(LIST("echo", "{#}x{%}"), LIST("a"), "echo 7x3");
    expect_direct(LIST("true", "{9}"), LIST("a"), "true");
    expect_direct(LIST("echo", "{x}", "{", "{1x}", "{ }", "{0}"), LIST("a"),
                  "echo '{x}' '{' '{1x}' '{ }' '{0}' a");
}

Test(expand, several_arguments_are_joined_by_a_blank_of_the_command_line)
{
    expect_direct(LIST("echo"), LIST("a", "b c"), "echo a 'b c'");
    expect_direct(LIST("echo", "x{}y"), LIST("a", "b"), "echo xa by");
    expect_shell(LIST("echo", "x{}y"), LIST("a 1", "b"), "echo x'a 1' by");
    expect_direct(LIST("echo", "{}{.}"), LIST("a.x", "b.y"), "echo a.x b.ya b");
}

Test(expand, single_arguments_are_taken_by_number_and_from_the_end)
{
    expect_direct(LIST("echo", "{2}-{1}", "{-1}", "{3}"), LIST("a", "b"), "echo b-a b");
    expect_shell(LIST("echo {1.} {1/} {1//} {1/.} {2/.} {-1/}"), LIST("/x/a.b", "q/r.s"),
                 "echo /x/a a.b /x a r r.s");
}

Test(expand, an_argument_that_is_not_there_is_no_argument)
{
    expect_direct(LIST("echo", "{1}", "{2}", "{3}{4}", "x{3}", "z"), LIST("a", ""),
                  "echo a '' x z");
    expect_shell(LIST("echo {1} {2} {3} z"), LIST("a", ""), "echo a ''  z");
}

Test(expand, with_a_shell_a_task_in_the_first_word_is_a_command_line)
{
    expect_shell(LIST("{}"), LIST("echo a  b"), "echo a  b");
    expect_shell(LIST("{1} {2}"), LIST("echo a", "b  c"), "echo a b  c");
    expect_shell(LIST("x{} {}"), LIST("a b"), "xa b a b");
    expect_shell(LIST("V={} echo"), LIST("a b"), "V='a b' echo");
    expect_shell(LIST(" {}"), LIST("a b"), " 'a b'");
    expect_shell(LIST("cd /; {}"), LIST("a b"), "cd /; 'a b'");
    expect_direct(LIST("{}", "{}"), LIST("a b"), "'a b' 'a b'");
}

Test(expand, perl_of_gnu_parallel_is_refused)
{
    static const char *const perls[] = {"{= s/a/b/ =}", "x{2=$_++=}", "{-1= 1 =}"};
    static const char *const others[] = {"{=", "=}", "{ = 1 =}", "{=}"};
    struct expand *expand = NULL;
    struct why why;
    for (size_t i = 0; i < sizeof perls / sizeof *perls; i++)
        cr_expect_eq(expand_new(&expand, EXPAND_SHELL, &perls[i], 1, NULL, &why), ERR_INVALID);
    cr_expect_eq(expand_new(&expand, EXPAND_DIRECT, LIST("a", "{=", "x", "=}"), 4, NULL, &why),
                 ERR_INVALID);
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        cr_expect_eq(expand_new(&expand, EXPAND_SHELL, &others[i], 1, NULL, &why), ERR_NONE);
        expand_free(&expand);
    }
}

Test(expand, dash_i_takes_the_place_of_the_plain_braces_only)
{
    expect(EXPAND_SHELL, "@@", LIST("echo @@ {} {.} {1} {1.} {#}"), LIST("a.b"),
           "echo a.b {} a {1} a 7");
    expect(EXPAND_DIRECT, ",,", LIST("echo", "{}"), LIST("a"), "echo '{}' a");
    expect(EXPAND_DIRECT, "{}", LIST("echo", "{}"), LIST("a"), "echo a");
}

Test(expand, without_a_command_a_task_is_the_command_line_itself)
{
    struct expand *expand = NULL;
    cr_assert_eq(expand_new(&expand, EXPAND_SHELL, NULL, 0, NULL, NULL), ERR_NONE);
    expect_line(expand, LIST("echo 'a' | wc"), "echo 'a' | wc");
    expand_free(&expand);
}

Test(expand, an_argument_list_has_one_word_for_each_word_of_command)
{
    struct expand *expand = make(EXPAND_DIRECT, NULL, LIST("prog", "", "a b", "{}"));
    struct buf records = {0};
    struct expand_values values = {task_of(&records, LIST("x y")), 1, 1};
    char *const *argv;
    for (int again = 0; again < 2; again++) {
        cr_assert_eq(expand_argv(expand, &values, &argv), ERR_NONE);
        cr_expect_str_eq(argv[0], "prog");
        cr_expect_str_eq(argv[1], "");
        cr_expect_str_eq(argv[2], "a b");
        cr_expect_str_eq(argv[3], "x y");
        cr_expect_null(argv[4]);
    }
    expand_free(&expand);
    buf_free(&records);
}

Test(expand, a_shell_gets_the_line_as_one_argument)
{
    struct expand *expand = make(EXPAND_SHELL, NULL, LIST("echo", "{}", "|", "wc"));
    struct buf records = {0};
    struct expand_values values = {task_of(&records, LIST("x;y")), 1, 1};
    char *const *argv;
    cr_assert_eq(expand_argv(expand, &values, &argv), ERR_NONE);
    cr_expect_str_eq(argv[0], "sh");
    cr_expect_str_eq(argv[1], "-c");
    cr_expect_str_eq(argv[2], "echo 'x;y' | wc");
    cr_expect_null(argv[3]);
    expand_free(&expand);
    buf_free(&records);
}

Test(expand, many_more_words_than_expected_fit)
{
    struct bytes args[100];
    for (int i = 0; i < 100; i++)
        args[i] = bytes_of("w");
    struct buf records = {0};
    task_put_args(&records, args, 100);
    struct bytes left = buf_bytes(&records);
    struct expand_values values = {.seq = 1, .slot = 1};
    cr_assert_eq(task_take(&left, &values.task), ERR_NONE);
    struct expand *expand = make(EXPAND_DIRECT, NULL, LIST("prog"));
    char *const *argv;
    cr_assert_eq(expand_argv(expand, &values, &argv), ERR_NONE);
    cr_expect_str_eq(argv[100], "w");
    cr_expect_null(argv[101]);
    expand_free(&expand);
    buf_free(&records);
}

Test(expand, a_nul_byte_in_a_task_is_an_error_and_leaves_nothing_behind)
{
    struct expand *expand = make(EXPAND_DIRECT, NULL, LIST("prog"));
    struct buf records = {0}, line = {0};
    task_put_line(&records, (struct bytes){(const uint8_t *)"a\0b", 3});
    struct bytes left = buf_bytes(&records);
    struct expand_values values = {.seq = 1, .slot = 1};
    cr_assert_eq(task_take(&left, &values.task), ERR_NONE);
    char *const *argv;
    cr_expect_eq(expand_argv(expand, &values, &argv), ERR_INVALID);
    cr_expect_eq(expand_line(expand, &values, &line), ERR_INVALID);
    cr_expect_eq(line.size, 0);
    expand_free(&expand);
    buf_free(&records);
}

Test(expand, tells_whether_each_task_names_its_program)
{
    struct expand *fixed = make(EXPAND_DIRECT, NULL, LIST("prog", "{}"));
    struct expand *varying = make(EXPAND_DIRECT, NULL, LIST("./{}.sh", "x"));
    cr_expect_not(expand_program_varies(fixed));
    cr_expect(expand_program_varies(varying));
    expand_free(&fixed);
    expand_free(&varying);
}

static enum error shell_takes(const char *line, struct why *why)
{
    struct expand *expand = NULL;
    enum error error = expand_new(&expand, EXPAND_SHELL, &line, 1, NULL, why);
    expand_free(&expand);
    return error;
}

Test(expand, a_replacement_in_quotes_of_a_shell_command_is_refused)
{
    static const char *const refused[] = {
        "wc -c <\"{}\"",        "echo '{}'",           "echo a \"b {/.} c\"",   "echo \\\\'{}'",
        "echo \"$(ls '{1}')\"", "x=$(echo \"{}\"); :", "sh -c \"echo $x {2}\"",
    };
    static const char *const taken[] = {
        "wc -c <{}",
        "echo 'a' {} \"b\"",
        "echo \\' {} \\\"",
        "echo \"$(wc -c <{})\"",
        "echo \"`ls {}`\"",
        "echo \"{#} {%}\" {}",
        "# don't\necho {}",
        "echo $(case a in a) ls {};; esac)",
        "\"{}\"",
        "cat <<E\nit's {}\nE\n",
        "echo a#' ' {} # it's",
    };
    struct why why;
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        cr_expect_eq(shell_takes(refused[i], &why), ERR_INVALID, "%s", refused[i]);
        cr_expect(strstr(why.text, "{} is quoted already"));
    }
    for (size_t i = 0; i < sizeof taken / sizeof *taken; i++)
        cr_expect_eq(shell_takes(taken[i], &why), ERR_NONE, "%s: %s", taken[i], why.text);
}

Test(expand, refuses_an_empty_replacement_and_an_empty_command)
{
    struct expand *expand = NULL;
    struct why why;
    cr_expect_eq(expand_new(&expand, EXPAND_DIRECT, LIST("a"), 1, "", &why), ERR_INVALID);
    cr_expect_eq(expand_new(&expand, EXPAND_DIRECT, NULL, 0, NULL, &why), ERR_INVALID);
    cr_expect(strstr(why.text, "--shell"));
    cr_expect_null(expand);
}

/* SPDX-License-Identifier: MPL-2.0 */

/* A plugin that does what a task says: each kind of trouble that the executor must survive. Its
 * first argument says what zfarm_init does, the second one is a file for its use. */
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <zfarm/plugin.h>

ZFARM_PLUGIN;

static int count; /* of tasks in this process */
static const char *file;

static void mark(const char *text)
{
    int fd = file ? open(file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600) : -1;
    if (fd < 0 || write(fd, text, strlen(text)) < 0)
        abort();
    close(fd);
}

int zfarm_init(int argc, char **argv, int slot, void **state)
{
    *state = &count;
    file = argc > 1 ? argv[1] : NULL;
    if (!argc || !strcmp(argv[0], "well"))
        return argv[argc] || slot < 1;
    if (!strcmp(argv[0], "crash"))
        abort();
    if (!strcmp(argv[0], "sleep"))
        sleep(3600);
    if (!strcmp(argv[0], "crash-once") && access(file, F_OK)) {
        mark("crashed\n");
        abort();
    }
    return !strcmp(argv[0], "fail") ? 7 : 0;
}

/* The area is the only shared mapping of that name. */
static void scribble(void)
{
    FILE *maps = fopen("/proc/self/maps", "re");
    char line[512];
    while (maps && fgets(line, sizeof line, maps))
        if (strstr(line, "zfarm-plugin")) {
            unsigned long from = strtoul(line, NULL, 16);
            unsigned long to = strtoul(strchr(line, '-') + 1, NULL, 16);
            memset((void *)from, 0xa5, to - from);
        }
    if (maps)
        fclose(maps);
}

static void append_many(struct zfarm_reply *reply, size_t size)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyz";
    for (size_t done = 0; done < size; done += 26)
        zfarm_append(reply, letters, size - done < 26 ? size - done : 26);
}

static void append_endlessly(struct zfarm_reply *reply)
{
    while (zfarm_append(reply, "too much\n", 9) == 0)
        ;
}

/* A child that outlives the call, and this process, and writes when the file is there. */
static void fork_late(void)
{
    if (fork())
        return;
    for (int i = 0; i < 6000 && access(file, F_OK); i++)
        usleep(10000);
    _exit(write(STDOUT_FILENO, "late out\n", 9) != 9 || write(STDERR_FILENO, "late err\n", 9) != 9);
}

static bool starts(const char *text, const char *word)
{
    return strncmp(text, word, strlen(word)) == 0;
}

int zfarm_handle(void *state, const struct zfarm_task *task, struct zfarm_reply *out,
                 struct zfarm_reply *err)
{
    char text[64] = "";
    memcpy(text, task->data, task->size < sizeof text - 1 ? task->size : sizeof text - 1);
    const char *number = strchr(text, ' ') ? strchr(text, ' ') + 1 : "0";
    ++*(int *)state;
    if (starts(text, "abort"))
        abort();
    if (starts(text, "kill"))
        raise(SIGKILL);
    if (starts(text, "exit"))
        exit(atoi(number));
    if (starts(text, "sleep"))
        sleep((unsigned)atoi(number));
    if (starts(text, "return"))
        return zfarm_appendf(err, "failed as told\n"), atoi(number);
    if (starts(text, "large"))
        append_many(out, (size_t)atol(number)), append_many(err, 10);
    if (starts(text, "endless"))
        append_endlessly(out);
    if (starts(text, "scribble"))
        scribble();
    if (starts(text, "hang-up"))
        close(3), sleep(3600);
    if (starts(text, "fork"))
        fork_late();
    if (starts(text, "print"))
        printf("this is not the result\n");
    if (starts(text, "count"))
        zfarm_appendf(out, "%d", *(int *)state);
    if (starts(text, "pid"))
        zfarm_appendf(out, "%d", (int)getpid());
    if (starts(text, "about"))
        zfarm_appendf(out, "%llu %u %u %zu", (unsigned long long)task->seq, task->attempt,
                      task->slot, task->size);
    if (starts(text, "echo"))
        zfarm_append(out, task->data, task->size);
    return 0;
}

void zfarm_destroy(void *state)
{
    (void)state;
    if (file)
        mark("destroyed\n");
}

/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_JOBS_H
#define ZFARM_JOBS_H

#include <stdint.h>

#include "common/base/error.h"

/* What -j says: how many tasks a worker runs at a time, as GNU parallel understands it.
 *
 *     4      four                     +1    one more than there are cores
 *     50%    half as many as cores    -1    one less than there are cores
 *     0      as many as possible
 *
 * Embed it by value. */
enum jobs_kind { JOBS_COUNT, JOBS_PERCENT, JOBS_MORE, JOBS_LESS };

struct jobs {
    enum jobs_kind kind;
    uint32_t number; /* of jobs, or hundredths of a percent for JOBS_PERCENT */
};

enum { JOBS_MAX = 4096 }; /* most slots of one worker */

/* ERR_INVALID: `why` says what -j takes; `jobs` is as before. */
enum error jobs_parse(const char *text, struct jobs *jobs, struct why *why);
/* How many slots that is on `cores` cores: 1 .. JOBS_MAX. `most` is what "as many as possible"
 * means (jobs_most). */
uint32_t jobs_count(struct jobs jobs, uint32_t cores, uint32_t most);
/* As many children with three pipes each as this process has descriptors for, and at least 1. */
uint32_t jobs_most(void);
/* Cores that this process may use: those of its affinity, or fewer if its control group (version 1
 * or 2) has a smaller quota of processor time; a part of a core counts as one. At least 1. */
uint32_t jobs_cores(void);
/* The quota alone, in cores, UINT32_MAX if there is none: read from the files below `mount`
 * ("/sys/fs/cgroup") for the groups that `membership` ("/proc/self/cgroup") names, and from the
 * groups around them. */
uint32_t jobs_cores_quota(const char *membership, const char *mount);

#endif

/* SPDX-License-Identifier: MPL-2.0 */

/* What libcriterion calls of libgit2, which it links for the diffs of its other kind of assertion. Each test is a
 * process of its own that loads that library with all that it needs (TLS, SSH, Kerberos: twenty more), which takes
 * longer than most tests. Meson's tests find this one first. */
int git_libgit2_init(void);
int git_libgit2_shutdown(void);
int git_diff_buffers(void);

int git_libgit2_init(void)
{
    return 1;
}

int git_libgit2_shutdown(void)
{
    return 0;
}

/* There is no diff. */
int git_diff_buffers(void)
{
    return -1;
}

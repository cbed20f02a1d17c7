/* SPDX-License-Identifier: MPL-2.0 */

/* A program that does nothing: whether it links is what counts (meson.build). */
int main(void)
{
    return 0;
}

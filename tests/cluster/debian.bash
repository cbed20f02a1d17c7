# SPDX-License-Identifier: MPL-2.0
# shellcheck shell=bash
# shellcheck disable=SC2016 # apt-get expands what is in single quotes
# A bare Debian, from where this machine has its own packages from.

release=bookworm

# bare_debian TARGET: the release with nothing but apt, as a directory, or as a tar if TARGET is -.
bare_debian() {
  local mirror
  # Without the release the first line would be the security archive, which is no whole Debian.
  mirror=$(apt-get indextargets --format '$(REPO_URI) $(RELEASE)' 'Created-By: Packages' |
    awk -v release="$release" '$2 == release { print $1; exit }')
  mmdebstrap --quiet --variant=minbase "$release" "$1" "${mirror:-http://deb.debian.org/debian}"
}

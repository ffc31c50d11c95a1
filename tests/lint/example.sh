#!/bin/sh
# The program shown in docs/libapq.md is examples/search.c, letter by letter.
#   example.sh [ROOT]
set -u
cd "${1:-.}" || exit 1

shown=$(sed -n '/^```c$/,/^```$/p' docs/libapq.md | sed '/^```/d')
if [ "$shown" != "$(cat examples/search.c)" ]; then
    echo 'docs/libapq.md does not show examples/search.c'
    exit 1
fi

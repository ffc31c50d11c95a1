#!/bin/sh
# The programs shown in docs/libapq.md are examples/search.c and classify.c,
# letter by letter.
#   example.sh [ROOT]
set -u
cd "${1:-.}" || exit 1

shown=$(sed -n '/^```c$/,/^```$/p' docs/libapq.md | sed '/^```/d')
if [ "$shown" != "$(cat examples/search.c examples/classify.c)" ]; then
    echo 'docs/libapq.md does not show examples/search.c and classify.c'
    exit 1
fi

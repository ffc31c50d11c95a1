# A thin front over CMake; every target is one or two commands.
# The program lands in build/apq.

.PHONY: all deps build demo test test-fresh format install clean

PREFIX ?= /usr/local

all: build

deps:
	@scripts/install-deps.sh

build:
	@cmake --preset release >/dev/null
	@cmake --build build --target apq

demo: build
	@if [ -f scripts/demo.sh ]; then sh scripts/demo.sh; \
	else echo 'demo: scripts/demo.sh is not there yet'; fi

# Ends with the line "N passed, N failed".
test:
	@scripts/test.sh

# The same from a fresh clone of the last commit: finds forgotten files.
test-fresh:
	@folder=$$(mktemp -d) && trap 'rm -rf "$$folder"' EXIT && \
	git clone -q . "$$folder/apq" && cd "$$folder/apq" && .ci/run

format:
	@git ls-files -co --exclude-standard 'src/*.[ch]' 'include/*.h' \
	    'tests/*.[ch]' 'examples/*.c' | xargs clang-format -i

install:
	@cmake --preset release >/dev/null
	@cmake --build build
	@cmake --install build --prefix "$(PREFIX)"

clean:
	@rm -rf build build-dev build-tsan build-coverage build-tidy

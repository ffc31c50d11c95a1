# A thin front over CMake; every target is one or two commands.
# The program lands in build/apq.

.PHONY: all deps build demo test test-fresh format install clean

PREFIX ?= /usr/local

all: build

deps:
	@scripts/install-deps.sh

build:
	@cmake --preset release >/dev/null
	@cmake --build build --target apq apq_documents apq_examples

demo: deps build
	@sh scripts/demo.sh

# Ends with the line "N passed, N failed".
test:
	@scripts/test.sh

# The first command in a bare Debian 12 made by debootstrap.
test-fresh:
	@scripts/test-fresh.sh

format:
	@git ls-files -co --exclude-standard 'src/*.[ch]' 'include/*.h' \
	    'tests/*.[ch]' 'examples/*.c' | xargs clang-format -i

install:
	@cmake --preset release >/dev/null
	@cmake --build build
	@cmake --install build --prefix "$(PREFIX)"

clean:
	@rm -rf build build-dev build-tsan build-coverage build-tidy

/* Aligned zeroed memory and a step arena: a list of blocks in order of use,
 * with a current one. Rewinding moves the current block back and keeps the
 * later ones for reuse; a full reset merges them into one, so that a loop of
 * equal steps allocates only in its first two iterations. */
/* For madvise(), beside the POSIX level of the build. */
#define _DEFAULT_SOURCE 1
#include "base/memory.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { ALIGNMENT = 64, HUGE_PAGE = 1 << 21 };

typedef struct block {
    struct block *next; /* later in use */
    size_t used, capacity;
    char *bytes;
} block;

struct apq_arena {
    block *first, *current;
};

static void *aligned_bytes(size_t n_bytes) {
    size_t rounded = (n_bytes + ALIGNMENT - 1) & ~(size_t)(ALIGNMENT - 1);
    if (rounded < n_bytes) {
        return NULL;
    }
    return aligned_alloc(ALIGNMENT, rounded == 0 ? ALIGNMENT : rounded);
}

void *apq_calloc(size_t n, size_t size) {
    if (size != 0 && n > SIZE_MAX / size) {
        return NULL;
    }
    void *p = aligned_bytes(n * size);
    if (p != NULL) {
        memset(p, 0, n * size);
    }
    return p;
}

/* Blocks are streamed through, which small pages slow down by several per
 * cent; where the system has no large ones, nothing is lost. */
static char *block_bytes(size_t capacity) {
    if (capacity > SIZE_MAX - HUGE_PAGE) {
        return NULL;
    }
    size_t rounded = (capacity + HUGE_PAGE - 1) & ~(size_t)(HUGE_PAGE - 1);
    char *bytes = aligned_alloc(HUGE_PAGE, rounded);
#ifdef MADV_HUGEPAGE
    if (bytes != NULL) {
        (void)madvise(bytes, rounded, MADV_HUGEPAGE);
    }
#endif
    return bytes;
}

static block *block_create(size_t capacity) {
    block *b = malloc(sizeof *b);
    if (b == NULL) {
        return NULL;
    }
    *b = (block){.capacity = capacity, .bytes = block_bytes(capacity)};
    if (b->bytes == NULL) {
        free(b);
        return NULL;
    }
    return b;
}

static void blocks_destroy(block *b) {
    while (b != NULL) {
        block *next = b->next;
        free(b->bytes);
        free(b);
        b = next;
    }
}

apq_status apq_arena_create(apq_arena **out) {
    apq_arena *arena = calloc(1, sizeof *arena);
    if (arena == NULL) {
        APQ_FAIL(APQ_ERR_NOMEM, "arena: out of memory");
    }
    *out = arena;
    return APQ_OK;
}

void apq_arena_destroy(apq_arena *arena) {
    if (arena != NULL) {
        blocks_destroy(arena->first);
        free(arena);
    }
}

/* Makes a block with room for `bytes` current: the next one kept, or a new
 * one put in its place. */
static block *advance(apq_arena *arena, size_t bytes) {
    block *next = arena->current == NULL ? arena->first : arena->current->next;
    if (next == NULL || next->capacity < bytes) {
        size_t minimum = (size_t)1 << 24;
        block *fresh = block_create(bytes > minimum ? bytes : minimum);
        if (fresh == NULL) {
            return NULL;
        }
        fresh->next = next;
        if (arena->current == NULL) {
            arena->first = fresh;
        } else {
            arena->current->next = fresh;
        }
        next = fresh;
    }
    next->used = 0;
    arena->current = next;
    return next;
}

void *apq_arena_alloc(apq_arena *arena, size_t n, size_t size) {
    if (size != 0 && n > (SIZE_MAX - ALIGNMENT) / size) {
        return NULL;
    }
    size_t bytes = (n * size + ALIGNMENT - 1) & ~(size_t)(ALIGNMENT - 1);
    block *b = arena->current;
    if (b == NULL || b->capacity - b->used < bytes) {
        b = advance(arena, bytes);
        if (b == NULL) {
            return NULL;
        }
    }
    void *p = b->bytes + b->used;
    b->used += bytes;
    return p;
}

apq_arena_mark apq_arena_position(const apq_arena *arena) {
    return (apq_arena_mark){
        .block = arena->current,
        .used = arena->current == NULL ? 0 : arena->current->used,
    };
}

void apq_arena_rewind(apq_arena *arena, apq_arena_mark mark) {
    arena->current = mark.block;
    if (arena->current != NULL) {
        arena->current->used = mark.used;
    }
}

void apq_arena_reset(apq_arena *arena) {
    block *first = arena->first;
    if (first != NULL && first->next != NULL) {
        size_t total = 0;
        for (const block *b = first; b != NULL; b = b->next) {
            total += b->capacity;
        }
        blocks_destroy(first);
        arena->first = block_create(total);
    }
    arena->current = NULL;
}

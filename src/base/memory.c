/* Aligned zeroed memory and a step arena made of chained blocks. On reset
 * the blocks are merged into one of the total size, so that a loop of equal
 * steps allocates only in its first two iterations. */
#include "base/memory.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { ALIGNMENT = 64 };

typedef struct block {
    struct block *next;
    size_t used, capacity;
    char *bytes;
} block;

struct apq_arena {
    block *head;
    size_t total;
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

static block *block_create(size_t capacity) {
    block *b = malloc(sizeof *b);
    if (b == NULL) {
        return NULL;
    }
    *b = (block){.capacity = capacity, .bytes = aligned_bytes(capacity)};
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
        blocks_destroy(arena->head);
        free(arena);
    }
}

void *apq_arena_alloc(apq_arena *arena, size_t n, size_t size) {
    if (size != 0 && n > (SIZE_MAX - ALIGNMENT) / size) {
        return NULL;
    }
    size_t bytes = (n * size + ALIGNMENT - 1) & ~(size_t)(ALIGNMENT - 1);
    block *b = arena->head;
    if (b == NULL || b->capacity - b->used < bytes) {
        size_t minimum = (size_t)1 << 22;
        block *fresh = block_create(bytes > minimum ? bytes : minimum);
        if (fresh == NULL) {
            return NULL;
        }
        fresh->next = b;
        arena->head = fresh;
        arena->total += fresh->capacity;
        b = fresh;
    }
    void *p = b->bytes + b->used;
    b->used += bytes;
    return p;
}

void apq_arena_reset(apq_arena *arena) {
    block *b = arena->head;
    if (b != NULL && b->next != NULL) {
        block *merged = block_create(arena->total);
        if (merged != NULL) {
            blocks_destroy(b);
            arena->head = merged;
            b = merged;
        }
    }
    for (; b != NULL; b = b->next) {
        b->used = 0;
    }
}

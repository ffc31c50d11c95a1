#ifndef APQ_BASE_MEMORY_H
#define APQ_BASE_MEMORY_H

#include "base/status.h"

#include <stddef.h>

/* n * size bytes, zeroed, 64-byte aligned; NULL on overflow or exhaustion.
 * Release with free(). n == 0 gives a valid pointer. */
void *apq_calloc(size_t n, size_t size);

/* Bump allocator for memory that lives one training step. Blocks grow as
 * needed and are reused after reset or rewind: no allocation once warm. */
typedef struct apq_arena apq_arena;

APQ_NODISCARD apq_status apq_arena_create(apq_arena **out);
void apq_arena_destroy(apq_arena *arena);
/* 64-byte aligned, not zeroed; NULL when memory is exhausted. */
void *apq_arena_alloc(apq_arena *arena, size_t n, size_t size);
void apq_arena_reset(apq_arena *arena);
/* Releases what was allocated after a position was taken, keeping the rest:
 * a stack discipline for loops inside a step. */
typedef struct apq_arena_mark {
    void *block;
    size_t used;
} apq_arena_mark;
apq_arena_mark apq_arena_position(const apq_arena *arena);
void apq_arena_rewind(apq_arena *arena, apq_arena_mark mark);

#endif

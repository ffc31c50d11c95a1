#ifndef APQ_SEARCH_MOVES_H
#define APQ_SEARCH_MOVES_H

#include "base/rng.h"
#include "search/strategy.h"
#include "space/space.h"

#include <stdbool.h>
#include <stddef.h>

/* Changes of single genes, finer than the paper's redrawing of blocks. What
 * they leave is legal, but for apq_move_towards() that ends infeasible. */

/* One depth (1 of 20) or one gene of an active block at random; channels move
 * by at most three steps in half of the cases. */
void apq_move_random(const apq_space *space, apq_rng *rng, apq_policy *policy);

/* Moves random genes towards those of `goal` until the policy is feasible:
 * one small step at a time, or where `is_coarse` an eighth of the genes all
 * the way. False when it is not feasible even then, so `goal` is not. */
APQ_NODISCARD apq_status apq_move_towards(const apq_search_env *env,
                                          apq_rng *rng, const apq_policy *goal,
                                          bool is_coarse, apq_policy *policy,
                                          bool *is_feasible);

/* The policies that differ in one gene or depth. `i` < count names one;
 * false: the change is none, of a skipped block, or not legal. */
size_t apq_neighbour_count(const apq_space *space);
bool apq_neighbour(const apq_space *space, const apq_policy *policy, size_t i,
                   apq_policy *out);

#endif

#ifndef APQ_TESTS_UNIT_ALLOCATIONS_H
#define APQ_TESTS_UNIT_ALLOCATIONS_H

/* Allocations so far by code linked into the test, from any thread; what
 * OpenMP and other shared libraries allocate for themselves is theirs. Of tests
 * marked by apq_count_allocations() in CMake. */
int allocations(void);

#endif

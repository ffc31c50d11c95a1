#ifndef APQ_SPACE_SPACE_H
#define APQ_SPACE_SPACE_H

#include <apq/space.h>

#include "base/rng.h"
#include "base/status.h"
#include "ir/network.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A search space: MobileNetV2-like stages whose blocks choose kernel, middle
 * channels (steps of 8) and four bit-widths; stages choose depth.
 * Source: APQ, CVPR 2020, section 3.1. */
enum {
    APQ_MAX_STAGES = 8,
    APQ_MAX_BLOCKS = 32,
    APQ_MAX_KERNELS = 3,
    APQ_MAX_BITS = 4,
    APQ_N_BIT_GENES = 4,
    APQ_MAX_CLASSES = 100000,
    APQ_SPACE_NAME_MAX = 64,
};

/* Order of the four bit genes in encodings and arrays. */
typedef enum apq_bit_gene {
    APQ_PW_WEIGHT,
    APQ_PW_ACT,
    APQ_DW_WEIGHT,
    APQ_DW_ACT,
} apq_bit_gene;

typedef struct apq_space_stage {
    int width;                /* output channels of its blocks */
    int stride;               /* of its first block */
    int min_depth, max_depth; /* active blocks */
    int first_block;          /* index of its first slot */
} apq_space_stage;

typedef struct apq_space_block {
    int stage, position;           /* position within the stage */
    int in_channels, out_channels; /* fixed by the space */
    int stride;
    int min_channels, max_channels; /* middle channels, both multiples of 8 */
    bool has_residual;              /* stride 1 and in == out */
} apq_space_block;

struct apq_space {
    char name[APQ_SPACE_NAME_MAX];
    int resolution, image_channels;
    int n_classes;   /* outputs of networks: the data's, once they are known */
    int own_classes; /* of the file; the hash is of these */
    int stem_channels, stem_stride;
    int first_channels; /* output of the fixed expansion-free first block */
    int head_channels;  /* output of the feature mix */
    int n_stages, n_blocks;
    apq_space_stage stages[APQ_MAX_STAGES];
    apq_space_block blocks[APQ_MAX_BLOCKS];
    int n_kernels, kernels[APQ_MAX_KERNELS]; /* ascending, of 3, 5, 7 */
    int n_bits, bits[APQ_MAX_BITS];          /* ascending */
    double expand_min, expand_max;           /* middle / input channels */
    int channel_step;                        /* 8 */
    bool prices_all_layers;  /* false: as the authors' table does */
    bool forbids_k7_dw_act4; /* the authors' table has no such entries */
};

/* One point of a space; plain data, copied by value. Entries of skipped
 * blocks are legal values and ignored. */
struct apq_policy {
    int8_t depth[APQ_MAX_STAGES];
    int8_t kernel[APQ_MAX_BLOCKS];
    int16_t channels[APQ_MAX_BLOCKS]; /* absolute middle channels */
    int8_t bits[APQ_N_BIT_GENES][APQ_MAX_BLOCKS];
};

/* Reads a built-in space by name, or a YAML file when `name_or_path` contains
 * '/' or ends in .yaml. Built-in files are searched in $APQ_DATA_DIR/configs,
 * ./configs, beside the binary and in the installation. */
APQ_NODISCARD apq_status apq_space_load(const char *name_or_path,
                                        apq_space *out);
/* Is it, by these rules, a file? */
bool apq_space_is_file(const char *name_or_path);
/* The same, with the text of the file, which is the caller's to free; NULL for
 * a built-in space. */
APQ_NODISCARD apq_status apq_space_load_text(const char *name_or_path,
                                             apq_space *out,
                                             char **text_or_null);
/* From such a text; `where` prefixes messages. */
APQ_NODISCARD apq_status apq_space_parse(const char *text, const char *where,
                                         apq_space *out);
/* A built-in space only: for names that a file tells, which are no paths. */
APQ_NODISCARD apq_status apq_space_load_builtin(const char *name,
                                                apq_space *out);
/* Changes n_classes to the data's. The space is the same by its hash. */
void apq_space_set_classes(apq_space *space, int n_classes);
/* Hash of everything that decides weights' shapes and genes (not the name). */
void apq_space_hash(const apq_space *space, char out[17]);
/* The same with n_classes in place of own_classes, for what holds for networks
 * of these outputs only: tables of layer costs. */
void apq_space_layers_hash(const apq_space *space, char out[17]);

static inline bool apq_space_block_active(const apq_space *space,
                                          const apq_policy *policy, int block) {
    const apq_space_block *b = &space->blocks[block];
    return b->position < policy->depth[b->stage];
}

/* Corners: every gene largest / smallest; bits all set to `bits`. The largest
 * kernel is replaced by the next where a k7/A4 rule forbids it. */
void apq_policy_largest(const apq_space *space, int bits, apq_policy *out);
void apq_policy_smallest(const apq_space *space, int bits, apq_policy *out);
/* All four bit genes of every block. */
void apq_policy_set_bits(const apq_space *space, int bits, apq_policy *policy);
/* "largest" and "smallest" with the most bits of the space, or "random:SEED",
 * the first policy of that seed. Any other text is none: `*is_name` is false
 * and `out` is left as it was. Errors: ARG for a seed that is no number. */
APQ_NODISCARD apq_status apq_policy_named(const apq_space *space,
                                          const char *text, bool *is_name,
                                          apq_policy *out);

/* Uniform over every gene and depth independently; repaired to legality by
 * redrawing only the offending gene (dw act bits when k7/A4). So not uniform
 * over legal policies: kernel 7 keeps its third of the draws, though fewer
 * policies have it (1/4 of a block's legal choices with three bit-widths), and
 * deep networks are no likelier than shallow ones. */
void apq_policy_random(const apq_space *space, apq_rng *rng, apq_policy *out);
/* Only the bits re-drawn, as above. */
void apq_policy_random_bits(const apq_space *space, apq_rng *rng,
                            apq_policy *policy);
/* Each block re-drawn (kernel, channels, four bits together) and each depth
 * re-drawn with probability p. Source: APQ section 4; depth mutates too. */
void apq_policy_mutate(const apq_space *space, double p, apq_rng *rng,
                       const apq_policy *parent, apq_policy *child);
/* Uniform block-wise; depth per stage from either parent. */
void apq_policy_cross(const apq_space *space, apq_rng *rng, const apq_policy *a,
                      const apq_policy *b, apq_policy *child);
/* First violated rule as a message: gene, block, value, legal values. */
APQ_NODISCARD apq_status apq_policy_check(const apq_space *space,
                                          const apq_policy *policy);
/* Inactive blocks set to their smallest genes, so equal networks compare
 * equal with memcmp. */
void apq_policy_canonical(const apq_space *space, apq_policy *policy);
/* 64-bit hash of the canonical form. */
uint64_t apq_policy_hash(const apq_space *space, const apq_policy *policy);

/* Encoding of the released predictors: kernel one-hots, channel one-hots, then
 * the four bit genes. Ascending indices of the ones; at most 6 * n_blocks. */
int apq_encode_float_dim(const apq_space *space); /* imagenet-apq: 520 */
int apq_encode_dim(const apq_space *space);       /* imagenet-apq: 772 */
size_t apq_encode(const apq_space *space, const apq_policy *policy,
                  bool with_bits, int *active);

/* The layers of a policy. Fixed layers (stem, first block, feature mix,
 * classifier) are W8A8. */
APQ_NODISCARD apq_status apq_policy_lower(const apq_space *space,
                                          const apq_policy *policy,
                                          apq_ir_network *out);

/* JSON of one policy, native or the authors' form (docs/formats/policy.md).
 * Text of `where` (file:line) prefixes messages. Checked before return. */
APQ_NODISCARD apq_status apq_policy_from_json(const apq_space *space,
                                              const char *text,
                                              const char *where,
                                              apq_policy *out);
/* malloc'd one-line JSON, or NULL when memory is exhausted. */
char *apq_policy_to_json(const apq_space *space, const apq_policy *policy);

/* The same in the authors' form, whose `e` is the ratio of middle to input
 * channels; reading it gives the policy back. */
char *apq_policy_to_authors_json(const apq_space *space,
                                 const apq_policy *policy);

/* log10 of the number of distinct policies. */
double apq_space_log10_size(const apq_space *space);

#endif

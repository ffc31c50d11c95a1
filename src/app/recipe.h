#ifndef APQ_APP_RECIPE_H
#define APQ_APP_RECIPE_H

#include "base/file.h"
#include "base/log.h"
#include "base/status.h"
#include "base/yaml.h"
#include "space/space.h"
#include "report/footprint.h"
#include "train/phases.h"

#include <stdbool.h>
#include <stdint.h>

/* Everything a run is made from. Read from recipes/NAME.yaml; every command
 * line option that changes a step writes here, so that run.json repeats it. */
typedef struct apq_recipe {
    char space[APQ_PATH_MAX];  /* name or file */
    char target[APQ_PATH_MAX]; /* name or file */
    char data[APQ_PATH_MAX];   /* URI, see docs/formats/datasets.md */
    char backend[32];          /* auto, cpu, ref */
    uint64_t seed;
    int threads;         /* at most one a core; 0 = all */
    int64_t n_val;       /* images carved from train; -1 = default */
    double checkpoint_s; /* seconds between checkpoints of a training */

    struct {
        int epochs, batch;
        double learning_rate, weight_decay, label_smoothing, momentum;
        double warmup_epochs;
        char schedule[16];         /* of apq_train_schedule_names */
        char policy[APQ_PATH_MAX]; /* trained alone: as of `apq eval` */
        char from[APQ_PATH_MAX];   /* run or supernet file to start from; "" */
        int bits;                  /* 1: shared, see apq_train_options */
        int float_epochs;          /* of them */
        int random_subnets;      /* beside largest and smallest: the sandwich */
        int largest_epochs;      /* first epochs that train the largest only */
        apq_train_phases phases; /* of the progressive schedule */
        int dtype;               /* apq_precision, of the arithmetic */
        /* Of images, see apq_augmentation. */
        int flip; /* apq_flip */
        int crop_padding, cutout;
        int distort; /* 1: trivial */
        bool crop_reflect;
        double weight_average; /* decay a step; 0: none */
        bool residual_zero;    /* apq_supernet_zero_residuals */
        int stem;              /* 1: whitened, see apq_train_whiten_stem */
        int stem_frozen_epochs;
        int lr_schedule;   /* apq_rate_shape */
        double final_rate; /* of the peak */
        int distill;       /* apq_distill */
        double bias_rate;  /* apq_supernet_set_shift_rate */
        int eval_epochs;   /* accuracies every so many epochs; 0: never */
        int eval_images;   /* of the validation split, for them */
    } train;
    struct {
        int float_records, quantised_records;
        int val_images;         /* per record */
        int recalibrate_images; /* train images for batch-norm statistics */
        int qat_steps; /* short quantisation-aware training per quantised
                          record; 0 measures without it */
        double qat_learning_rate;
        int qat_dtype;      /* apq_precision, of that training's arithmetic */
        int quantised;      /* 1: by the supernet's shared steps, without QAT */
        int quantiser;      /* apq_quantiser */
        int distill;        /* 1: by the supernet's largest network */
        int active_records; /* more, of what the predictor finds best */
        int active_rounds;  /* it is fitted anew for each */
        /* Of the quantised records every other group of so many has one
         * architecture in as many bit settings; 1: all drawn afresh. */
        int policies_per_architecture;
        int repeats;    /* records of a kind measured once more, to tell their
                           noise */
        double lease_s; /* after which another process measures what one has
                           claimed and not said a word of since */
    } collect;
    struct {
        int hidden, epochs, batch;
        double learning_rate, weight_decay, held_out;
        bool transfer;  /* from float records; else quantised ones alone */
        bool frozen;    /* see is_frozen */
        int width_code; /* 0: one-hot, 1: ordinal, see has_width_steps */
        int bit_code;   /* apq_bit_code */
        int loss;       /* apq_predictor_loss */
        int ensemble;   /* members */
    } predictor;
    struct {
        double latency_ms, energy_mj, bitops_g, size_kb; /* 0 = no budget */
        char strategy[32];
        int population, parents, iterations;
        double mutation;
        bool all_layers;         /* every layer is priced, whatever the space's
                                    accounting */
        double time_limit_s;     /* of the whole search; 0: none */
        int remeasure;           /* best networks to measure again; 0: none */
        int remeasure_qat_steps; /* of a copy before measuring; 0: none */
        bool as_released; /* evolution with the defects of the released code,
                             to compare with */
        bool sequential;  /* with the baseline of that name */
    } search;
    struct {
        int epochs, batch;
        double learning_rate, weight_decay, label_smoothing;
        int quantiser, distill;    /* as of collect */
        int dtype;                 /* apq_precision, of the arithmetic */
        char policy[APQ_PATH_MAX]; /* "found", or as of `apq eval` */
        char baseline[24]; /* apq_baseline_name of search.h, or "none" */
        int seed;          /* of order and augmentation; -1: the recipe's */
    } finetune;
    apq_footprint_rates footprint; /* only what `apq report` multiplies by */
} apq_recipe;

/* Values that suit `cifar10` on a small machine. */
void apq_recipe_default(apq_recipe *out);
/* Defaults overwritten by the file; unknown keys and values outside their
 * range are refused with line and legal range. Relative paths are relative
 * to the working folder. */
APQ_NODISCARD apq_status apq_recipe_load(const char *path, apq_recipe *out);
/* Sets one field by its path in the file, e.g. "train.epochs" or "seed", from
 * text. Errors: ARG, FORMAT (no such choice), with the nearest path or what is
 * legal. */
APQ_NODISCARD apq_status apq_recipe_set(apq_recipe *recipe, const char *path,
                                        const char *value);
/* What single keys of the section `search` do not tell: the strategy is one,
 * there are no more parents than candidates. For a recipe whose last key has
 * been set; yaml: the file it is of, for the line, or NULL. Errors: FORMAT. */
APQ_NODISCARD apq_status apq_recipe_check_search(const apq_recipe *recipe,
                                                 const apq_yaml *yaml_or_null);
/* Gives a space the accounting that the recipe asks for. */
void apq_recipe_set_accounting(const apq_recipe *recipe, apq_space *space);
/* The recipe as indented JSON (malloc'd), for run.json and hashes. */
char *apq_recipe_to_json(const apq_recipe *recipe);

#endif

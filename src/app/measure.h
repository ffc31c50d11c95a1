#ifndef APQ_APP_MEASURE_H
#define APQ_APP_MEASURE_H

#include "app/session.h"
#include "train/evaluate.h"
#include "train/teacher.h"

/* Accuracy of sub-networks of the session's supernet. Loaders are opened
 * once and reused; the arena holds one measurement. */
typedef struct apq_meter {
    apq_session *session;
    apq_loader *calibration, *images;
    apq_arena *arena;
    apq_teacher *teacher; /* made when first asked for */
    bool is_bfloat16;     /* evaluates float networks in bfloat16 */
    apq_int_check *check; /* also of quantised networks; NULL: none */
} apq_meter;

/* limit 0: the whole split. Fini also after an error. */
APQ_NODISCARD apq_status apq_meter_open(apq_meter *meter, apq_session *session,
                                        apq_split split, size_t limit);
void apq_meter_fini(apq_meter *meter);

/* The shared weights as they are, recalibrated; with is_quantised in the
 * policy's bits, by the supernet's shared steps or, where it has none, by the
 * recipe's collect.quantiser. */
APQ_NODISCARD apq_status apq_meter_subnet(apq_meter *meter,
                                          const apq_policy *policy,
                                          bool is_quantised,
                                          apq_evaluation *out);
/* After a quantisation-aware training of a copy, n_steps >= 1 at the recipe's
 * collect.qat_learning_rate, with its collect.quantiser and collect.distill;
 * the record's label in APQ's data. Source: APQ section 3.2. */
APQ_NODISCARD apq_status apq_meter_after_qat(apq_meter *meter,
                                             const apq_policy *policy,
                                             int n_steps, apq_evaluation *out);

/* " lsq" or " bfloat16", " distilled", both, or " shared", where the recipe's
 * collect section asks for other labels than those of old, for texts that tell
 * labels apart. Static. */
const char *apq_meter_label_kind(const apq_recipe *recipe);

#endif

/* Answers of a measuring command. They come from someone else's program, so
 * every number is checked. */
#include "measure/answer.h"

#include <math.h>

#include <jansson.h>

/* A number >= 0 of the answer; an absent or null one keeps *out when it is
 * optional. */
static apq_status read_number(const apq_answer_source *from,
                              const json_t *answer, const char *key,
                              bool optional, double *out) {
    const json_t *value = json_object_get(answer, key);
    if (optional && (value == NULL || json_is_null(value))) {
        return APQ_OK;
    }
    double number = json_is_number(value) ? json_number_value(value) : -1.0;
    if (!(isfinite(number) && number >= 0.0)) {
        APQ_FAIL(APQ_ERR_FORMAT, "%s: %s: answer: %s %s, legal a number >= 0",
                 from->command, from->what, key,
                 value == NULL           ? "is missing"
                 : json_is_number(value) ? "is negative or not finite"
                                         : "is not a number");
    }
    *out = number;
    return APQ_OK;
}

static apq_status read_answer(const apq_answer_source *from,
                              const json_t *answer, apq_lut_sample *out) {
    const json_t *unsupported = json_object_get(answer, "unsupported");
    if (unsupported != NULL && !json_is_null(unsupported) &&
        !json_is_false(unsupported)) {
        const char *why = json_string_value(unsupported);
        APQ_FAIL(APQ_ERR_UNSUPPORTED, "%s: target %s: %.200s", from->what,
                 from->target, why != NULL ? why : "unsupported");
    }
    apq_lut_sample sample = {.energy_mj = (double)NAN,
                             .energy_spread_mj = (double)NAN};
    double count = 1.0;
    const struct {
        const char *key;
        bool optional;
        double *value;
    } numbers[] = {
        {"latency_ms", false, &sample.latency_ms},
        {"latency_spread_ms", true, &sample.latency_spread_ms},
        {"energy_mj", true, &sample.energy_mj},
        {"energy_spread_mj", true, &sample.energy_spread_mj},
        {"count", true, &count},
    };
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        APQ_TRY(read_number(from, answer, numbers[i].key, numbers[i].optional,
                            numbers[i].value));
    }
    if (count < 1.0 || count > 1e15 || floor(count) != count) {
        APQ_FAIL(APQ_ERR_FORMAT,
                 "%s: %s: answer: count %g is not a whole number above 0",
                 from->command, from->what, count);
    }
    sample.count = (int64_t)count;
    *out = sample;
    return APQ_OK;
}

apq_status apq_answer_read(const char *text, const apq_answer_source *from,
                           apq_lut_sample *out) {
    json_error_t error;
    json_t *answer = json_loads(text, JSON_REJECT_DUPLICATES, &error);
    apq_status st =
        json_is_object(answer)
            ? read_answer(from, answer, out)
            : APQ_ERROR(APQ_ERR_FORMAT,
                        "%s: %s: answer is not a JSON object: '%.60s'",
                        from->command, from->what, text);
    json_decref(answer);
    return st;
}

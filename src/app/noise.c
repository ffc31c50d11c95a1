/* Noise of labels, from the count of images and from repeats. */
#include "app/noise.h"

#include "app/json.h"

#include <math.h>
#include <stdio.h>

static const double pi = 3.14159265358979323846;

/* Sums over records of one label. */
typedef struct label_sums {
    double sum, squares, error_squares;
    double difference_squares; /* over repeats */
} label_sums;

typedef struct noise_sums {
    size_t n_records, n_repeats;
    double images, seconds;
    /* Labels are far from 0 and close to one another: sums are of differences
     * from the first. */
    double first_accuracy, first_loss;
    label_sums accuracy, loss;
} noise_sums;

static void add(label_sums *sums, double value, double error) {
    sums->sum += value;
    sums->squares += value * value;
    sums->error_squares += error * error;
}

static apq_status add_record(const apq_record *record, void *ctx) {
    noise_sums *sums = ctx;
    double p = record->accuracy, n = (double)record->count;
    if (sums->n_records == 0) {
        sums->first_accuracy = p;
        sums->first_loss = record->loss;
    }
    sums->n_records++;
    sums->images += n;
    sums->seconds += record->seconds;
    add(&sums->accuracy, p - sums->first_accuracy, sqrt(p * (1 - p) / n));
    add(&sums->loss, record->loss - sums->first_loss,
        record->loss_sd / sqrt(n));
    return APQ_OK;
}

static apq_status add_repeat(const apq_record *record, const apq_record *repeat,
                             void *ctx) {
    noise_sums *sums = ctx;
    double accuracy = record->accuracy - repeat->accuracy;
    double loss = record->loss - repeat->loss;
    sums->n_repeats++;
    sums->accuracy.difference_squares += accuracy * accuracy;
    sums->loss.difference_squares += loss * loss;
    return APQ_OK;
}

/* Of n pairs, from the sum of their squared differences; NaN: there are none.
 */
static double repeat_error(double difference_squares, size_t n) {
    return n > 0 ? sqrt(difference_squares / (2 * (double)n)) : (double)NAN;
}

static double known_or_zero(double value) {
    return isnan(value) ? 0 : value;
}

static apq_label_spread spread(const label_sums *sums, double first,
                               size_t n_records, size_t n_repeats) {
    double n = (double)n_records;
    double variance =
        fmax(0, sums->squares - sums->sum * sums->sum / n) / (n - 1);
    apq_label_spread out = {
        .mean = first + sums->sum / n,
        .sd = n_records > 1 ? sqrt(variance) : (double)NAN,
        .image_error = sqrt(sums->error_squares / n),
        .repeat_error = repeat_error(sums->difference_squares, n_repeats),
    };
    if (isnan(out.image_error) && isnan(out.repeat_error)) {
        out.noise = out.ceiling = (double)NAN;
        return out;
    }
    out.noise =
        hypot(known_or_zero(out.image_error), known_or_zero(out.repeat_error));
    double signal = fmax(0, out.sd * out.sd - out.noise * out.noise);
    out.ceiling =
        isnan(out.sd) ? (double)NAN : 0.5 + atan2(sqrt(signal), out.noise) / pi;
    return out;
}

apq_status apq_noise_of(apq_records *records, apq_record_kind kind,
                        apq_noise *out) {
    noise_sums sums = {.n_records = 0};
    APQ_TRY(apq_records_each(records, kind, add_record, &sums));
    APQ_TRY(apq_repeats_each(records, kind, add_repeat, &sums));
    double n = (double)sums.n_records;
    *out = (apq_noise){
        .kind = kind,
        .n_records = sums.n_records,
        .n_repeats = sums.n_repeats,
        .images = sums.images / n,
        .seconds = sums.seconds / n,
        .accuracy = spread(&sums.accuracy, sums.first_accuracy, sums.n_records,
                           sums.n_repeats),
        .loss =
            spread(&sums.loss, sums.first_loss, sums.n_records, sums.n_repeats),
    };
    return APQ_OK;
}

apq_status apq_noise_repeat_error(apq_records *records, bool with_bits,
                                  double *out) {
    noise_sums sums = {.n_records = 0};
    if (with_bits) {
        APQ_TRY(
            apq_repeats_each(records, APQ_RECORD_QUANTISED, add_repeat, &sums));
        APQ_TRY(apq_repeats_each(records, APQ_RECORD_QAT, add_repeat, &sums));
    } else {
        APQ_TRY(apq_repeats_each(records, APQ_RECORD_FLOAT, add_repeat, &sums));
    }
    *out = known_or_zero(
        repeat_error(sums.accuracy.difference_squares, sums.n_repeats));
    return APQ_OK;
}

/* "1.2 s.d., noise 0.3 (...), pairwise ceiling 90 %", in units of 1/scale. */
static void write_spread(const apq_label_spread *s, double scale,
                         const char *unit, char *out, size_t size) {
    int n = snprintf(out, size, "s.d. %.3g%s, noise ", scale * s->sd, unit);
    if (isnan(s->noise)) {
        (void)snprintf(out + n, size - (size_t)n, "not known");
        return;
    }
    n +=
        snprintf(out + n, size - (size_t)n, "%.3g%s (", scale * s->noise, unit);
    if (!isnan(s->image_error)) {
        n += snprintf(out + n, size - (size_t)n, "images %.3g",
                      scale * s->image_error);
    }
    if (!isnan(s->repeat_error)) {
        n += snprintf(out + n, size - (size_t)n, "%srepeats %.3g",
                      isnan(s->image_error) ? "" : ", ",
                      scale * s->repeat_error);
    }
    (void)snprintf(out + n, size - (size_t)n, "), pairwise ceiling %.1f %%",
                   100 * s->ceiling);
}

void apq_noise_text(const apq_noise *noise, char *out, size_t size) {
    const char *kind = apq_record_kind_name(noise->kind);
    char accuracy[160] = "one record", loss[160] = "one record";
    if (noise->n_records > 1) {
        write_spread(&noise->accuracy, 100, " points", accuracy,
                     sizeof accuracy);
        write_spread(&noise->loss, 1, "", loss, sizeof loss);
    }
    (void)snprintf(out, size,
                   "%s labels: %zu records of %.0f images, %zu repeats\n"
                   "  top-1 %s\n  loss %s",
                   kind, noise->n_records, noise->images, noise->n_repeats,
                   accuracy, loss);
}

static json_t *spread_json(const apq_label_spread *s) {
    return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o}", "mean",
                     apq_json_number(s->mean), "sd", apq_json_number(s->sd),
                     "image_error", apq_json_number(s->image_error),
                     "repeat_error", apq_json_number(s->repeat_error), "noise",
                     apq_json_number(s->noise), "pairwise_ceiling",
                     apq_json_number(s->ceiling));
}

json_t *apq_noise_json(const apq_noise *noise) {
    if (noise->n_records == 0) {
        return json_null();
    }
    return json_pack(
        "{s:I, s:I, s:f, s:f, s:o, s:o}", "records",
        (json_int_t)noise->n_records, "repeats", (json_int_t)noise->n_repeats,
        "images", noise->images, "seconds", noise->seconds, "accuracy",
        spread_json(&noise->accuracy), "loss", spread_json(&noise->loss));
}

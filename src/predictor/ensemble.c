/* Predictors of several members: predictions are their mean, with the
 * deviation as a measure of doubt. Source: Lakshminarayanan, Pritzel and
 * Blundell, NeurIPS 2017. */
#include "predictor/predictor.h"

#include "base/memory.h"
#include "predictor/metrics.h"
#include "predictor/predictor_private.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

apq_status apq_predictor_new_members(const apq_space *space, int hidden,
                                     int n_members, apq_predictor **out) {
    if (n_members < 1 || n_members > APQ_PREDICTOR_MAX_MEMBERS) {
        APQ_FAIL(APQ_ERR_ARG, "predictor: %d members are not within 1..%d",
                 n_members, APQ_PREDICTOR_MAX_MEMBERS);
    }
    apq_predictor *p = NULL;
    APQ_TRY(apq_predictor_new(space, hidden, &p));
    if (n_members > 1) {
        p->others = apq_calloc((size_t)n_members - 1, sizeof(apq_predictor *));
        if (p->others == NULL) {
            apq_predictor_destroy(p);
            APQ_FAIL(APQ_ERR_NOMEM, "predictor: out of memory");
        }
    }
    for (int i = 1; i < n_members; i++) {
        apq_status st = apq_predictor_new(space, hidden, &p->others[i - 1]);
        if (st != APQ_OK) {
            apq_predictor_destroy(p);
            return st;
        }
        p->n_others = i;
    }
    *out = p;
    return APQ_OK;
}

int apq_predictor_members(const apq_predictor *predictor) {
    return predictor->n_others + 1;
}

static const apq_predictor *member_of(const apq_predictor *p, int i) {
    return i == 0 ? p : p->others[i - 1];
}

apq_status apq_predictor_copy(const apq_predictor *predictor,
                              apq_predictor **out) {
    int n_members = apq_predictor_members(predictor);
    APQ_TRY(apq_predictor_new_members(&predictor->space, predictor->hidden,
                                      n_members, out));
    for (int i = 0; i < n_members; i++) {
        const apq_predictor *from = member_of(predictor, i);
        apq_predictor *to = apq_predictor_member(*out, i);
        memcpy(to->params, from->params,
               from->begin[APQ_N_PARTS] * sizeof(float));
        to->is_fitted = from->is_fitted;
        apq_predictor_repack(to);
    }
    (void)strcpy((*out)->supernet_hash, predictor->supernet_hash);
    (void)strcpy((*out)->records_hash, predictor->records_hash);
    return APQ_OK;
}

/* Mean and, unless NULL, deviation of several members. */
static apq_status combine(const apq_predictor *p, const apq_policy *policies,
                          size_t n, bool with_bits, double *accuracy,
                          double *deviation) {
    int n_members = apq_predictor_members(p);
    double *values = apq_calloc(n * (size_t)n_members, sizeof *values);
    if (values == NULL) {
        APQ_FAIL(APQ_ERR_NOMEM, "predictor: no memory for %zu policies", n);
    }
    apq_status st = APQ_OK;
    for (int i = 0; i < n_members && st == APQ_OK; i++) {
        st = apq_predictor_predict_member(member_of(p, i), policies, n,
                                          with_bits, values + (size_t)i * n);
    }
    for (size_t k = 0; k < n && st == APQ_OK; k++) {
        double sum = 0.0, squares = 0.0;
        for (int i = 0; i < n_members; i++) {
            sum += values[(size_t)i * n + k];
        }
        accuracy[k] = sum / n_members;
        for (int i = 0; i < n_members; i++) {
            double d = values[(size_t)i * n + k] - accuracy[k];
            squares += d * d;
        }
        if (deviation != NULL) {
            deviation[k] = sqrt(squares / (n_members - 1));
        }
    }
    free(values);
    return st;
}

apq_status apq_predictor_predict(const apq_predictor *predictor,
                                 const apq_policy *policies, size_t n,
                                 bool with_bits, double *accuracy) {
    return predictor->n_others == 0
               ? apq_predictor_predict_member(predictor, policies, n, with_bits,
                                              accuracy)
               : combine(predictor, policies, n, with_bits, accuracy, NULL);
}

apq_status apq_predictor_spread(const apq_predictor *predictor,
                                const apq_policy *policies, size_t n,
                                bool with_bits, double *accuracy,
                                double *deviation) {
    if (predictor->n_others == 0) {
        memset(deviation, 0, n * sizeof *deviation);
        return apq_predictor_predict_member(predictor, policies, n, with_bits,
                                            accuracy);
    }
    return combine(predictor, policies, n, with_bits, accuracy, deviation);
}

/* What an ensemble reaches on the samples that its members report on. */
static apq_status report_mean(const apq_predictor *p,
                              const apq_predictor_sample *samples, size_t n,
                              const apq_predictor_fit_options *options,
                              apq_predictor_report *report) {
    apq_predictor_parts parts;
    uint32_t *rows = apq_calloc(n, sizeof *rows);
    apq_policy *policies = apq_calloc(n, sizeof *policies);
    double *values = apq_calloc(2 * n, sizeof *values);
    apq_status st = APQ_OK;
    if (rows == NULL || policies == NULL || values == NULL) {
        st = APQ_ERROR(APQ_ERR_NOMEM, "fit: no memory for %zu samples", n);
        goto done;
    }
    st = apq_predictor_split(options, &p->space, samples, n, rows, &parts);
    if (st != APQ_OK) {
        goto done;
    }
    apq_predictor_rows judged = apq_predictor_judged(&parts);
    for (size_t i = 0; i < judged.n; i++) {
        policies[i] = samples[rows[judged.first + i]].policy;
        values[i] = samples[rows[judged.first + i]].accuracy;
    }
    st = apq_predictor_predict(p, policies, judged.n, options->with_bits,
                               values + n);
    report->pairwise_accuracy =
        apq_pairwise_accuracy(values + n, values, judged.n);
    report->kendall_tau = apq_kendall_tau_b(values + n, values, judged.n);
    report->rmse = apq_rmse(values + n, values, judged.n);
done:
    free(rows);
    free(policies);
    free(values);
    return st;
}

static apq_status fit_all(apq_predictor *p, const apq_predictor_sample *samples,
                          size_t n, const apq_predictor_fit_options *options,
                          apq_predictor_report *report) {
    for (int i = 0; i < apq_predictor_members(p); i++) {
        apq_predictor_report own;
        APQ_TRY(apq_predictor_fit_member(apq_predictor_member(p, i), i, samples,
                                         n, options, &own));
        *report = i == 0 ? own : *report;
    }
    return p->n_others == 0 ? APQ_OK
                            : report_mean(p, samples, n, options, report);
}

apq_status apq_predictor_fit(apq_predictor *predictor,
                             const apq_predictor_sample *samples, size_t n,
                             const apq_predictor_fit_options *options,
                             apq_predictor_report *report) {
    apq_predictor *fitted = NULL;
    apq_predictor_report result;
    APQ_TRY(apq_predictor_copy(predictor, &fitted));
    apq_status st = fit_all(fitted, samples, n, options, &result);
    for (int i = 0; i <= predictor->n_others && st == APQ_OK; i++) {
        apq_predictor *from = apq_predictor_member(fitted, i);
        apq_predictor *to = apq_predictor_member(predictor, i);
        float *params = to->params;
        to->params = from->params;
        from->params = params;
        to->is_fitted = from->is_fitted;
        apq_predictor_repack(to);
    }
    if (st == APQ_OK) {
        *report = result;
    }
    apq_predictor_destroy(fitted);
    return st;
}

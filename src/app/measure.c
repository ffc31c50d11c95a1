/* Measuring sub-networks: bind, recalibrate (or train shortly), evaluate. */
#include "app/measure.h"

#include "train/finetune.h"

apq_status apq_meter_open(apq_meter *meter, apq_session *session,
                          apq_split split, size_t limit) {
    *meter = (apq_meter){.session = session};
    APQ_TRY(apq_arena_create(&meter->arena));
    APQ_TRY(apq_session_calibration_loader(session, &meter->calibration));
    return apq_session_eval_loader(session, split, limit, &meter->images);
}

void apq_meter_fini(apq_meter *meter) {
    apq_teacher_destroy(meter->teacher);
    apq_loader_destroy(meter->calibration);
    apq_loader_destroy(meter->images);
    apq_arena_destroy(meter->arena);
}

/* The arena holds nothing but what the net needs. */
static apq_status evaluate(apq_meter *meter, apq_nn_net *net,
                           apq_evaluation *out) {
    apq_comm *comm = meter->session->comm;
    APQ_TRY(apq_evaluate_together(net, meter->images, meter->is_bfloat16, comm,
                                  out));
    return meter->check == NULL
               ? APQ_OK
               : apq_check_integers(net, meter->images, comm, meter->check);
}

apq_status apq_meter_subnet(apq_meter *meter, const apq_policy *policy,
                            bool is_quantised, apq_evaluation *out) {
    apq_arena_reset(meter->arena);
    int n_batches = apq_session_calibration_batches(meter->session);
    apq_subnet subnet;
    apq_status st =
        apq_subnet_bind(meter->session->supernet, policy,
                        meter->session->backend, meter->arena, &subnet);
    subnet.net.quantiser =
        (apq_quantiser)meter->session->recipe->collect.quantiser;
    bool has_steps = apq_supernet_has_steps(meter->session->supernet);
    if (st == APQ_OK && is_quantised && has_steps) {
        st = apq_subnet_quantise(&subnet);
    }
    if (st == APQ_OK) {
        st = is_quantised
                 ? apq_calibrate(&subnet.net, meter->calibration, n_batches)
                 : apq_recalibrate(&subnet.net, meter->calibration, n_batches);
    }
    if (st == APQ_OK) {
        st = evaluate(meter, &subnet.net, out);
    }
    apq_subnet_fini(&subnet);
    return st;
}

static apq_status qat_and_evaluate(apq_meter *meter, int n_steps,
                                   apq_model *model, apq_nn_net *net,
                                   apq_evaluation *out) {
    const apq_session *s = meter->session;
    const apq_recipe *r = s->recipe;
    APQ_TRY(
        apq_finetune(model, net, s->dataset,
                     &(apq_finetune_options){
                         .backend = s->backend,
                         .precision = (apq_precision)r->collect.qat_dtype,
                         .progress = s->progress,
                         .seed = r->seed,
                         .n_steps = n_steps,
                         .batch = r->finetune.batch,
                         .learning_rate = r->collect.qat_learning_rate,
                         .momentum = r->train.momentum,
                         .weight_decay = r->finetune.weight_decay,
                         .label_smoothing = r->finetune.label_smoothing,
                         .teacher = meter->teacher,
                         .recalibrate_images = r->collect.recalibrate_images,
                         .loader_threads = 1,
                     }));
    apq_arena_reset(meter->arena);
    return evaluate(meter, net, out);
}

static apq_status find_teacher(apq_meter *meter) {
    const apq_session *s = meter->session;
    if (s->recipe->collect.distill == 0 || meter->teacher != NULL) {
        return APQ_OK;
    }
    return apq_teacher_create(s->supernet, s->backend, meter->calibration,
                              apq_session_calibration_batches(s),
                              &meter->teacher);
}

apq_status apq_meter_after_qat(apq_meter *meter, const apq_policy *policy,
                               int n_steps, apq_evaluation *out) {
    APQ_TRY(apq_session_check_qat(meter->session));
    APQ_TRY(find_teacher(meter));
    apq_arena_reset(meter->arena);
    apq_model *model;
    APQ_TRY(apq_supernet_extract(
        meter->session->supernet, policy,
        (apq_quantiser)meter->session->recipe->collect.quantiser, &model));
    apq_nn_net net;
    apq_status st =
        apq_model_bind(model, meter->session->backend, meter->arena, &net);
    if (st == APQ_OK) {
        st = qat_and_evaluate(meter, n_steps, model, &net, out);
    }
    apq_nn_net_fini(&net);
    apq_model_destroy(model);
    return st;
}

const char *apq_meter_label_kind(const apq_recipe *recipe) {
    static const char *const kinds[3][2] = {
        {"", " distilled"},
        {" lsq", " lsq distilled"},
        {" bfloat16", " bfloat16 distilled"}};
    if (recipe->collect.quantised == 1) {
        return " shared";
    }
    bool is_bfloat16 = recipe->collect.qat_dtype == APQ_BFLOAT16;
    return kinds[is_bfloat16 ? 2 : recipe->collect.quantiser]
                [recipe->collect.distill];
}

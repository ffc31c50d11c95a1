/* `apq eval --model`: a fine-tuned network in integers, on the images that it
 * was made with or on others of its classes. */
#include "app/eval_network.h"

#include "app/network_file.h"
#include "train/evaluate.h"

#include <stdio.h>
#include <string.h>

/* The same number of classes, and names where both tell them. */
static apq_status check_classes(const apq_session *session, const char *path,
                                const apq_network *network) {
    int n = network->space.n_classes;
    if (apq_dataset_classes(session->dataset) != n) {
        APQ_FAIL(APQ_ERR_MISMATCH, "%s: has %d classes, the data %d", path, n,
                 apq_dataset_classes(session->dataset));
    }
    for (int c = 0; network->class_names != NULL && c < n; c++) {
        const char *name = apq_dataset_class_name(session->dataset, c);
        if (strcmp(network->class_names[c], name) != 0) {
            APQ_FAIL(APQ_ERR_MISMATCH,
                     "%s: its class %d is '%s', that of the data '%s'", path, c,
                     network->class_names[c], name);
        }
    }
    return APQ_OK;
}

/* Images are normalised as those that the network was trained on. */
static apq_status open_loader(const apq_session *session,
                              const apq_eval_request *request,
                              const apq_network *network, apq_loader **out) {
    apq_split split =
        strcmp(request->split, "val") == 0 ? APQ_SPLIT_VAL : APQ_SPLIT_TEST;
    apq_loader_options options = apq_session_eval_options(
        session, split, (size_t)(request->limit > 0 ? request->limit : 0));
    if (network->has_statistics) {
        options.mean = network->mean;
        options.std = network->std;
    }
    return apq_loader_create(session->dataset, &options, out);
}

static apq_status evaluate(const apq_session *session,
                           const apq_eval_request *request,
                           apq_network *network, apq_loader *loader,
                           apq_eval_answer *out) {
    apq_evaluation result;
    APQ_TRY(apq_evaluate_together(&network->net, loader, false, session->comm,
                                  &result));
    *out = (apq_eval_answer){.top1 = result.top1,
                             .loss = result.loss,
                             .seconds = result.seconds,
                             .count = result.count,
                             .space = session->space,
                             .policy = network->policy};
    return request->checks ? apq_check_integers(&network->net, loader,
                                                session->comm, &out->check)
                           : APQ_OK;
}

/* Each process reads all of it by itself. */
static apq_status open_all(apq_session *session,
                           const apq_eval_request *request,
                           apq_network **network, apq_loader **loader) {
    APQ_TRY(apq_network_file_open(session, request->model, network));
    APQ_TRY(apq_session_open_data(session));
    APQ_TRY(check_classes(session, request->model, *network));
    return open_loader(session, request, *network, loader);
}

static apq_status check_same(const apq_session *session, const char *path) {
    char hash[APQ_HASH_MAX];
    APQ_TRY(apq_comm_agree(session->comm, apq_file_hash(path, hash)));
    APQ_TRY(apq_session_check_same(session, "network", hash));
    return apq_session_check_same_images(session);
}

apq_status apq_eval_network(const apq_recipe *recipe,
                            const apq_eval_request *request,
                            const apq_progress *progress,
                            apq_eval_answer *out) {
    apq_session session;
    apq_network *network = NULL;
    apq_loader *loader = NULL;
    apq_status st = apq_session_open(&session, recipe, progress);
    if (st == APQ_OK) {
        apq_session_join(&session, request->comm);
        st = open_all(&session, request, &network, &loader);
    }
    st = apq_comm_agree(request->comm, st);
    if (st == APQ_OK && request->comm != NULL) {
        st = check_same(&session, request->model);
    }
    if (st == APQ_OK) {
        st = evaluate(&session, request, network, loader, out);
    }
    apq_loader_destroy(loader);
    apq_network_destroy(network);
    apq_session_fini(&session);
    return st;
}

#ifndef APQ_APP_EVAL_NETWORK_H
#define APQ_APP_EVAL_NETWORK_H

#include "app/app.h"

/* apq_app_eval of request->model. Errors: those of apq_network_open and of
 * opening the data; MISMATCH other classes. */
APQ_NODISCARD apq_status apq_eval_network(const apq_recipe *recipe,
                                          const apq_eval_request *request,
                                          const apq_progress *progress,
                                          apq_eval_answer *out);

#endif

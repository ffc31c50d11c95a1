/* The rate of a large bfloat16 product through oneDNN's matmul, to compare
 * evaluation in bfloat16 with; oneDNN 2.x has no such call without primitives.
 */
#include "backend/cpu/infer_plan.h"

#include "base/log.h"

#ifdef APQ_BACKEND_ONEDNN
#include <dnnl.h>

enum { SIDE = 1024 };

/* The handles of one product; NULL until made. */
typedef struct product {
    dnnl_engine_t engine;
    dnnl_stream_t stream;
    dnnl_primitive_desc_t description;
    dnnl_primitive_t primitive;
    dnnl_memory_t memory[3]; /* source, weights, destination */
} product;

static bool make_primitive(product *p) {
    const dnnl_dims_t dims = {SIDE, SIDE};
    dnnl_memory_desc_t narrow, wide;
    dnnl_matmul_desc_t matmul;
    return dnnl_engine_create(&p->engine, dnnl_cpu, 0) == dnnl_success &&
           dnnl_stream_create(&p->stream, p->engine,
                              dnnl_stream_default_flags) == dnnl_success &&
           dnnl_memory_desc_init_by_tag(&narrow, 2, dims, dnnl_bf16, dnnl_ab) ==
               dnnl_success &&
           dnnl_memory_desc_init_by_tag(&wide, 2, dims, dnnl_f32, dnnl_ab) ==
               dnnl_success &&
           dnnl_matmul_desc_init(&matmul, &narrow, &narrow, NULL, &wide) ==
               dnnl_success &&
           dnnl_primitive_desc_create(&p->description, &matmul, NULL, p->engine,
                                      NULL) == dnnl_success &&
           dnnl_primitive_create(&p->primitive, p->description) ==
               dnnl_success &&
           dnnl_memory_create(&p->memory[0], &narrow, p->engine,
                              DNNL_MEMORY_ALLOCATE) == dnnl_success &&
           dnnl_memory_create(&p->memory[1], &narrow, p->engine,
                              DNNL_MEMORY_ALLOCATE) == dnnl_success &&
           dnnl_memory_create(&p->memory[2], &wide, p->engine,
                              DNNL_MEMORY_ALLOCATE) == dnnl_success;
}

static bool multiply(product *p) {
    dnnl_exec_arg_t args[] = {{DNNL_ARG_SRC, p->memory[0]},
                              {DNNL_ARG_WEIGHTS, p->memory[1]},
                              {DNNL_ARG_DST, p->memory[2]}};
    return dnnl_primitive_execute(p->primitive, p->stream, 3, args) ==
               dnnl_success &&
           dnnl_stream_wait(p->stream) == dnnl_success;
}

static void clear(product *p) {
    for (int i = 0; i < 3; i++) {
        (void)dnnl_memory_destroy(p->memory[i]);
    }
    (void)dnnl_primitive_destroy(p->primitive);
    (void)dnnl_primitive_desc_destroy(p->description);
    (void)dnnl_stream_destroy(p->stream);
    (void)dnnl_engine_destroy(p->engine);
}

double apq_cpu_infer_bfloat16_peak(double seconds) {
    product p = {0};
    double best = 0.0;
    if (make_primitive(&p)) {
        double start = apq_now_s();
        double now = start;
        do {
            double before = now;
            if (!multiply(&p)) {
                break;
            }
            now = apq_now_s();
            double rate = 2.0 * SIDE * SIDE * SIDE / (now - before);
            best = rate > best ? rate : best;
        } while (now - start < seconds);
    }
    clear(&p);
    return best;
}
#else
double apq_cpu_infer_bfloat16_peak(double seconds) {
    (void)seconds;
    return 0.0;
}
#endif

/* The report document as a page: verdict first, then what was asked, the
 * network, what it is compared with, and how it was found. */
#include "report/render.h"

#include "report/assets.h"
#include "report/document.h"

#include <stdio.h>

static apq_status put_sections(const json_t *root, apq_page *page) {
    apq_section_verdict(root, page);
    apq_section_asked(root, page);
    apq_section_accuracy(root, page);
    apq_section_baselines(root, page);
    APQ_TRY(apq_section_tradeoff(root, page));
    apq_section_network(root, page);
    apq_section_targets(root, page);
    apq_section_labels(json_object_get(root, "labels"), page);
    APQ_TRY(apq_section_predictor(root, page));
    apq_section_cost_model(root, page);
    APQ_TRY(apq_section_curves(root, page));
    apq_section_exports(root, page);
    apq_page_heading(page, "Search cost");
    apq_section_cost(json_object_get(root, "search_cost"), page);
    apq_section_provenance(root, page);
    return APQ_OK;
}

static apq_status render(const json_t *root, bool is_html, const char *files,
                         char **text) {
    char title[512];
    (void)snprintf(title, sizeof title, "Report on %s",
                   apq_document_text(root, "directory", ""));
    apq_page *page = apq_page_create(is_html, files);
    if (page == NULL) {
        APQ_FAIL(APQ_ERR_NOMEM, "report: out of memory");
    }
    apq_status st = put_sections(root, page);
    if (st == APQ_OK) {
        st = apq_page_finish(page, title, text);
    }
    apq_page_destroy(page);
    return st;
}

apq_status apq_report_markdown(const json_t *document, const char *files,
                               char **text) {
    return render(document, false, files, text);
}

apq_status apq_report_html(const json_t *document, char **text) {
    return render(document, true, "", text);
}

const char *apq_report_chart_version(void) {
    return apq_asset_chart_js[0] != '\0' ? APQ_CHART_VERSION : NULL;
}

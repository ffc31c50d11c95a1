#ifndef APQ_REPORT_ASSETS_H
#define APQ_REPORT_ASSETS_H

/* Files put into the library by the build: our style sheet and script, and
 * Chart.js, "" where the build found none. */
extern const char apq_asset_page_css[];
extern const char apq_asset_page_js[];
extern const char apq_asset_chart_js[];

#endif

#ifndef APQ_REPORT_ASSETS_H
#define APQ_REPORT_ASSETS_H

#include <stddef.h>

/* Files put into the library by the build (embed.cmake): our style sheet and
 * script, and Chart.js, of no bytes where the build found none. */
extern const unsigned char apq_asset_page_css[];
extern const size_t apq_asset_page_css_bytes;
extern const unsigned char apq_asset_page_js[];
extern const size_t apq_asset_page_js_bytes;
extern const unsigned char apq_asset_chart_js[];
extern const size_t apq_asset_chart_js_bytes;

#endif

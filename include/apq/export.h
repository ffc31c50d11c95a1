#ifndef APQ_EXPORT_H
#define APQ_EXPORT_H

/* Marks what a shared libapq exports; everything else is hidden. */
#if defined(__GNUC__)
#define APQ_API __attribute__((visibility("default")))
#else
#define APQ_API
#endif

#endif

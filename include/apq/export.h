#ifndef APQ_EXPORT_H
#define APQ_EXPORT_H

/* Marks what a shared libapq exports; everything else is hidden. */
#if defined(__GNUC__)
#define APQ_API       __attribute__((visibility("default")))
#define APQ_NODISCARD __attribute__((warn_unused_result))
#else
#define APQ_API
#define APQ_NODISCARD
#endif

#endif

#ifndef APQ_APP_PARTS_H
#define APQ_APP_PARTS_H

/* The parts of lower modules that the command line shows as they are. It may
 * include only base and app (layers.txt); this is the door. */
#include "backend/backend.h"
#include "cost/cost.h"
#include "cost/lut/dict.h"
#include "data/data.h"
#include "predictor/predictor.h"
#include "predictor/statistics.h"
#include "search/driver.h"
#include "space/space.h"
#include "store/rundir.h"

#endif

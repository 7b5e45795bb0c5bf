#include "gen_driver.h"
const struct gen_driver injector_driver = {0};

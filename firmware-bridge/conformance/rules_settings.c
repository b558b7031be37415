/* What a session is told takes effect, and what it tells is so. */

#include "kit.h"

const rule_t setting_rules[] = {
    {NULL, NULL, NULL},
};

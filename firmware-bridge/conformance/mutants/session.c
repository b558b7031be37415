/* Mutants of session; a library of its own behind the others. */

#include "mutant.h"

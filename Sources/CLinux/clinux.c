// SwiftPM wants a source file; everything is in the header.
#include "clinux.h"

// Empty: everything is inline in the headers; SwiftPM wants a source file in a C target.
#include "CKVM.h"
